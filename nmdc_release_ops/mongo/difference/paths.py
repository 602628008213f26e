"""What changed within a document: at which paths, and how.

`deepdiff` does this for any Python objects, but takes ten to thirty times as long, while the origin is frozen. The tests
compare the paths found here with those that it finds.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

import bson
from bson.raw_bson import RawBSONDocument

from nmdc_release_ops.mongo.server.raw import RAW

_LONGEST_PATH = 200
# Every removed object is compared with every added one: only if they are few.
_FEW_PAIRS = 400
# Equal values of these types are equal to the last byte.
_PLAIN = {str, int, bool, type(None), bson.Int64, bson.ObjectId}
# Types by their names in MongoDB (`$type`), where Python has another name.
_TYPE_NAMES = {
    "str": "string",
    "bool": "bool",
    "int": "int",
    "Int64": "long",
    "float": "double",
    "NoneType": "null",
    "RawBSONDocument": "object",
    "list": "array",
    "bytes": "binData",
    "Binary": "binData",
    "ObjectId": "objectId",
    "datetime": "date",
    "DatetimeMS": "date",
    "Decimal128": "decimal",
    "Timestamp": "timestamp",
    "Regex": "regex",
    "Code": "javascript",
}


class Kind(StrEnum):
    """What happened to the value at a path."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    TYPE = "type"
    """It has another type, even if it is an equal number."""
    RENAMED = "renamed"
    """Its value, or a similar object, has another key in the same object."""
    ORDER = "order of keys"
    ENCODING = "encoding"
    """The bytes differ in what decoding does not show, such as a duplicate key."""


class Change(NamedTuple):
    """One change of a document.

    Attributes:
        path: keys joined by dots, `[]` for any element of an array; empty for the document itself.
        detail: the new key where it was renamed; both types, as MongoDB calls them, where the type changed.
    """

    path: str
    kind: Kind
    detail: str = ""

    @property
    def place(self) -> str:
        """Where it happened, for people."""
        where = self.path or "the document"
        return f"{where} → {self.detail}" if self.kind is Kind.RENAMED else where

    @property
    def what(self) -> str:
        """What happened there, for people."""
        return f"{self.kind}: {self.detail}" if self.kind is Kind.TYPE else str(self.kind)

    def __str__(self) -> str:
        return self.place if self.kind is Kind.RENAMED else f"{self.place} ({self.what})"


def changes(was: bytes, now: bytes) -> set[Change]:
    """Every change from one document to another, both as BSON; none if they are the same to the last byte.

    A value that was added or removed is one change, whatever is in it. A change within a renamed object has the new path. If
    an array became longer or shorter, equal elements at its start and end are skipped before the rest is compared one by one.
    """
    if was == now:
        return set()
    found = set(_of_objects("", RawBSONDocument(was, RAW), RawBSONDocument(now, RAW)))
    return found or {Change("", Kind.ENCODING)}


def _of_objects(path: str, before: RawBSONDocument, after: RawBSONDocument) -> Iterator[Change]:
    was, now = dict(before.items()), dict(after.items())
    removed = [key for key in was if key not in now]
    added = [key for key in now if key not in was]
    renamed = _renames({key: was[key] for key in removed}, {key: now[key] for key in added})
    for old, new in renamed.items():
        yield Change(_at(path, old), Kind.RENAMED, _short(new))
        if not _same(was[old], now[new]):
            yield from _of_values(_at(path, new), was[old], now[new])
    for key in removed:
        if key not in renamed:
            yield Change(_at(path, key), Kind.REMOVED)
    new_names = set(renamed.values())
    for key in added:
        if key not in new_names:
            yield Change(_at(path, key), Kind.ADDED)
    kept = [key for key in was if key in now]
    if kept != [key for key in now if key in was]:
        yield Change(path, Kind.ORDER)
    for key in kept:
        if not _same(was[key], now[key]):
            yield from _of_values(_at(path, key), was[key], now[key])


def _renames(removed: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, str]:
    """The new key of each value that was removed under one key and added, the same or similar, under another."""
    if not removed or not added:
        return {}
    waiting: dict[bytes, list[str]] = {}
    for key, value in reversed(list(added.items())):
        waiting.setdefault(_encode(value), []).append(key)
    renamed = {key: same.pop() for key, value in removed.items() if (same := waiting.get(_encode(value)))}
    taken = set(renamed.values())
    left = [key for key in added if key not in taken]
    gone = [key for key in removed if key not in renamed]
    if len(gone) * len(left) <= _FEW_PAIRS:
        alone = len(gone) == len(left) == 1
        for key in gone:
            new = next((other for other in left if _alike(removed[key], added[other], alone=alone)), None)
            if new is not None:
                renamed[key] = new
                left.remove(new)
    return renamed


def _alike(was: Any, now: Any, *, alone: bool) -> bool:
    """Whether two objects have half of their values in common, under any keys.

    Args:
        alone: there is no other candidate; then a third of the smaller object's values is enough.
    """
    if not (_is_object(was) and _is_object(now)):
        return False
    before, after = ({_encode(value) for value in document.values()} for document in (was, now))
    common = len(before & after)
    return common > 0 and (3 * common >= min(len(before), len(after)) if alone else 2 * common >= len(before | after))


def _of_values(path: str, was: Any, now: Any) -> Iterator[Change]:
    """Changes from one value to another that is not the same."""
    if _is_object(was) and _is_object(now):
        yield from _of_objects(path, was, now)
    elif isinstance(was, list) and isinstance(now, list):
        yield from _of_arrays(_short(f"{path}[]"), was, now)
    elif _type_name(was) != _type_name(now):
        yield Change(path, Kind.TYPE, f"{_type_name(was)} → {_type_name(now)}")
    else:
        yield Change(path, Kind.CHANGED)


def _of_arrays(path: str, was: list[Any], now: list[Any]) -> Iterator[Change]:
    if len(was) != len(now):
        was, now = _without_equal_ends(was, now)
        if len(was) != len(now):
            yield Change(path, Kind.REMOVED if len(was) > len(now) else Kind.ADDED)
    for before, after in zip(was, now, strict=False):
        if not _same(before, after):
            yield from _of_values(path, before, after)


def _without_equal_ends(was: list[Any], now: list[Any]) -> tuple[list[Any], list[Any]]:
    shorter = min(len(was), len(now))
    start = 0
    while start < shorter and _same(was[start], now[start]):
        start += 1
    end = 0
    while end < shorter - start and _same(was[-1 - end], now[-1 - end]):
        end += 1
    return was[start : len(was) - end], now[start : len(now) - end]


def _same(was: Any, now: Any) -> bool:
    """Whether two values are the same to the last byte."""
    if type(was) is not type(now):
        return False
    if type(was) in _PLAIN:
        return bool(was == now)
    if _is_object(was):
        return bool(was.raw == now.raw)
    # 0.0 == -0.0, and NaN is not even equal to itself.
    return _encode(was) == _encode(now)


def _encode(value: Any) -> bytes:
    return bson.encode({"": value}, codec_options=RAW)


def _is_object(value: Any) -> bool:
    # `isinstance` takes several times as long with an abstract class.
    return type(value) is RawBSONDocument


def _type_name(value: Any) -> str:
    name = type(value).__name__
    return _TYPE_NAMES.get(name, name)


def _at(path: str, key: str) -> str:
    name = key or '""'
    return _short(f"{path}.{name}" if path else name)


def _short(path: str) -> str:
    """Keys may be of any length, as long as the document is."""
    return path if len(path) <= _LONGEST_PATH else f"{path[: _LONGEST_PATH - 1]}…"
