"""A document's key: the BSON document `{_id: value}`, exactly as the document has the value.

Keys are compared by their bytes. The index on `_id` is coarser: it holds the numbers `1`, `1.0` and `Int64(1)` for equal, and
in a collection with a collation also texts that the collation holds for equal.
"""

from collections.abc import Iterable

from bson.raw_bson import RawBSONDocument

from nmdc_release_ops.mongo.server.raw import BrokenBson, document_of

_NAME = b"_id\0"
_VALUE = 9
"""Where the value begins in a key: after its length, a type and the name."""
_FIXED = {
    0x01: 8,  # double
    0x06: 0,  # undefined
    0x07: 12,  # ObjectId
    0x08: 1,  # bool
    0x09: 8,  # date
    0x0A: 0,  # null
    0x10: 4,  # int32
    0x11: 8,  # timestamp
    0x12: 8,  # int64
    0x13: 16,  # decimal
    0x7F: 0,  # MaxKey
    0xFF: 0,  # MinKey
}
"""Bytes of a value by its type (bsonspec.org)."""
_STRINGS = frozenset({0x02, 0x0D, 0x0E})  # string, code, symbol
_WHOLE = frozenset({0x03, 0x04, 0x0F})  # document, array, code with scope: their length counts itself
_BINARY, _REGEX, _DBPOINTER = 0x05, 0x0B, 0x0C
_OBJECT_ID, _STRING = 0x07, 0x02


def key_of(document: bytes) -> bytes:
    """The key of a raw document.

    Raises:
        BrokenBson: it has no `_id`, or its bytes are no document.
    """
    if document[5:_VALUE] != _NAME:
        return _search(document)
    kind = document[4]
    # What nearly every document has, an ObjectId or a short text, without a call.
    if kind == _OBJECT_ID:
        end = 21
    elif kind == _STRING and document[10:13] == b"\0\0\0":
        end = 13 + document[9]
    else:
        end = _end_of_value(document, kind, _VALUE)
    if end >= len(document):
        raise BrokenBson("ends in the middle of a document")
    if end < 255:
        return b"%c\0\0\0%b\0" % (end + 1, document[4:end])
    return (end + 1).to_bytes(4, "little") + document[4:end] + b"\0"


def element_of(key: bytes, name: bytes) -> bytes:
    """The value of a key as an element of another document or array.

    Args:
        name: of the element, without its end.
    """
    return b"%c%b\0%b" % (key[4], name, key[_VALUE:-1])


def equal_to(key: bytes) -> RawBSONDocument:
    """The condition that matches what the server holds for equal to a key: of the key's own bytes, whatever they mean as a
    condition.
    """
    return RawBSONDocument(document_of(b"\x03_id\0" + document_of(element_of(key, b"$eq"))))


def one_of(keys: Iterable[bytes]) -> RawBSONDocument:
    """As `equal_to`, for any of some keys."""
    values = document_of(b"".join(element_of(key, b"%d" % number) for number, key in enumerate(keys)))
    return RawBSONDocument(document_of(b"\x03_id\0" + document_of(b"\x04$in\0" + values)))


def _search(document: bytes) -> bytes:
    """The key of a document of which `_id` is not the first element."""
    position, last = 4, len(document) - 1
    while position < last:
        kind = document[position]
        value = document.find(b"\0", position + 1) + 1
        if value == 0:
            break
        end = _end_of_value(document, kind, value)
        if end > last:
            break
        if document[position + 1 : value] == _NAME:
            return (end - position + 5).to_bytes(4, "little") + document[position:end] + b"\0"
        position = end
    raise BrokenBson("has no _id" if position == last else "ends in the middle of a document")


def _end_of_value(document: bytes, kind: int, start: int) -> int:
    """Where a value ends that begins at `start`."""
    if (size := _FIXED.get(kind)) is not None:
        return start + size
    length = int.from_bytes(document[start : start + 4], "little")
    if kind in _STRINGS:
        return start + 4 + length
    if kind in _WHOLE:
        return start + length
    if kind == _BINARY:
        return start + 5 + length
    if kind == _DBPOINTER:
        return start + 4 + length + 12
    if kind == _REGEX:
        options = document.find(b"\0", start) + 1
        end = document.find(b"\0", options) + 1
        if options and end:
            return end
    raise BrokenBson(f"has a value of the unknown type {kind}, or one without an end")
