"""What a layout is: the fields of a flat document and their BSON types, in order, and the bytes that such documents have.

A layout's pattern finds the values of many documents at once, but it proves less than it seems: a text's length is not
looked at, nor is a document's. `judge_by_layout.py` proves the rest.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from operator import add
from struct import Struct, error
from typing import Any

_int32, _int64, _double = Struct("<i"), Struct("<q"), Struct("<d")
_STRING, _OBJECT_ID, _BOOLEAN, _DATE, _NULL, _INT32, _INT64, _DOUBLE = 0x02, 0x07, 0x08, 0x09, 0x0A, 0x10, 0x12, 0x01
_SIZES = {_OBJECT_ID: 12, _BOOLEAN: 1, _DATE: 8, _NULL: 0, _INT32: 4, _INT64: 8, _DOUBLE: 8}
# What a value may be. `_id` is not judged, and its value is only looked at if it might not be decodable.
_JUDGED = {_STRING, _BOOLEAN, _NULL, _INT32, _INT64, _DOUBLE}
_IDENTIFYING = {_STRING, _OBJECT_ID, _DATE, _INT32, _INT64}
_MOST_FIELDS = 50
"""A pattern can have a hundred groups in some versions of Python; documents with many fields are of many layouts anyway."""


class NotDecided(Exception):
    """A value, or a document, that is not for this way of judging. It need not be invalid."""


@dataclass(frozen=True)
class Field:
    """A field of a layout whose value is not the same in every document.

    Attributes:
        kind: BSON type.
    """

    name: str
    kind: int

    @property
    def is_text(self) -> bool:
        return self.kind == _STRING

    @property
    def is_judged(self) -> bool:
        return self.name != "_id"

    def decode(self, value: bytes) -> Any:
        """The value as it is judged, from its bytes; of a text, its length and its characters without the zero at the end.

        Raises:
            NotDecided: it is not a value of this type, or one that JSON cannot represent.
        """
        return _DECODERS[self.kind](value)


@dataclass(frozen=True)
class Layout:
    """The fields and types of a document, in order. All documents of a layout have the same `type`.

    Attributes:
        type_: of the documents.
        fields: those whose values the pattern captures.
        fixed: bytes of a document without the captured values of its texts. A captured text includes its length.
    """

    type_: str
    fields: tuple[Field, ...]
    fixed: int
    _parts: tuple[bytes, ...]

    @cached_property
    def split(self) -> Callable[[bytes], list[bytes]]:
        """Splits bytes where there are documents of this layout.

        It gives what is before a document, the document's own length, and the value of each field; so for each document, and
        then what is after the last one.
        """
        split: Callable[[bytes], list[bytes]] = re.compile(b"".join(self._parts), re.DOTALL).split
        return split

    def lengths(self, columns: Sequence[Sequence[bytes]], documents: int) -> list[int]:
        """The length of each document.

        Args:
            columns: for each field, its value in each document.
        """
        texts = [column for field, column in zip(self.fields, columns, strict=True) if field.is_text]
        lengths: Iterable[int] = repeat(self.fixed, documents)
        for column in texts:
            lengths = map(add, lengths, map(len, column))
        return list(lengths)


_TEXT = rb"(.{4}[^\x00]*)"
_OF_SIZE = {size: b"(.{%d})" % size for size in (1, 4, 8)}


def layout_of(raw: bytes) -> Layout:
    """The layout of a document.

    Raises:
        NotDecided: it has none, because it holds anything but plain values, or the same key twice, or names no `type`.
    """
    type_: str | None = None
    fields: list[Field] = []
    names: set[bytes] = set()
    parts = [_OF_SIZE[4]]
    fixed = 5
    for kind, name, value in _elements(raw):
        if name in names or kind not in (_IDENTIFYING if name == b"_id" else _JUDGED):
            raise NotDecided
        names.add(name)
        key = b"%c%s\x00" % (kind, name)
        parts.append(re.escape(key))
        fixed += len(key)
        field = Field(_decode_text(name), kind)
        if name == b"type":
            if kind != _STRING:
                raise NotDecided
            type_ = _decode_string(value)
            parts.append(re.escape(value))
            fixed += len(value)
        elif kind == _STRING:
            fields.append(field)
            parts.append(_TEXT)
        elif field.is_judged and kind != _NULL:
            fields.append(field)
            parts.append(_OF_SIZE[_SIZES[kind]])
            fixed += _SIZES[kind]
        else:
            parts.append(b".{%d}" % _SIZES[kind])
            fixed += _SIZES[kind]
        if kind == _STRING:
            parts.append(rb"\x00")
            fixed += 1
    if type_ is None or len(fields) > _MOST_FIELDS:
        raise NotDecided
    return Layout(type_, tuple(fields), fixed, (*parts, rb"\x00"))


def _elements(raw: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Type, name and value of each element of a flat document; of a text, without the zero at the end.

    Raises:
        NotDecided
    """
    position, end = 4, len(raw) - 1
    if raw[end] != 0:
        raise NotDecided
    while position < end:
        kind = raw[position]
        name_end = raw.find(b"\x00", position, end)
        if name_end < 0:
            raise NotDecided
        start = name_end + 1
        try:
            size = _int32.unpack_from(raw, start)[0] + 4 if kind == _STRING else _SIZES[kind]
        except (KeyError, error):
            raise NotDecided from None
        if size < (5 if kind == _STRING else 0) or start + size > end:
            raise NotDecided
        yield kind, raw[position + 1 : name_end], raw[start : start + size - (kind == _STRING)]
        position = start + size


def _decode_string(value: bytes) -> str:
    text = value[4:]
    if _int32.unpack_from(value)[0] != len(text) + 1 or b"\x00" in text:
        raise NotDecided
    return _decode_text(text)


def _decode_text(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise NotDecided from None


def _decode_boolean(value: bytes) -> bool:
    if value not in (b"\x00", b"\x01"):
        raise NotDecided
    return value == b"\x01"


def _decode_double(value: bytes) -> float:
    number: float = _double.unpack(value)[0]
    if not math.isfinite(number):
        raise NotDecided
    return number


def _decode_int32(value: bytes) -> int:
    return int(_int32.unpack(value)[0])


def _decode_int64(value: bytes) -> int:
    return int(_int64.unpack(value)[0])


_DECODERS: Mapping[int, Callable[[bytes], Any]] = {
    _STRING: _decode_string,
    _BOOLEAN: _decode_boolean,
    _DOUBLE: _decode_double,
    _INT32: _decode_int32,
    _INT64: _decode_int64,
}
