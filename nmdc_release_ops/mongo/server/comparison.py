"""Whether two collections are the same, and how they differ."""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import bson

from nmdc_release_ops.mongo.server.collections import Collection

# Name, namespace and storage format of an index.
_NOT_DEFINING = ("name", "ns", "v")
# Documents within an index whose field order the server chooses or ignores.
_UNORDERED_IN_INDEX = ("weights", "collation")


@dataclass(frozen=True)
class State:
    """A collection at one moment.

    Attributes:
        documents: how many; None to skip the comparison.
        hash: the server's `dbHash` of it; None to skip the comparison.
    """

    collection: Collection
    documents: int | None = None
    hash: str | None = None


@dataclass(frozen=True)
class Difference:
    """One difference between two collections.

    Attributes:
        what: "documents", "hash", "kind", "UUID", "option NAME" or "index NAME".
        expected: None where the first collection does not have it.
        found: None where the second collection does not have it.
    """

    what: str
    expected: Any
    found: Any

    @property
    def before(self) -> str:
        """What was expected, for people."""
        return _show(self.expected)

    @property
    def now(self) -> str:
        """What was found, for people."""
        return _show(self.found)

    def __str__(self) -> str:
        return f"{self.what} {self.now} instead of {self.before}"


def compare_collections(expected: State, found: State, *, same_uuid: bool = False) -> tuple[Difference, ...]:
    """All differences between two collections, except their names.

    Fields of documents within a definition (the key of an index, a filter, a validator) are compared in order, because
    order matters there. Numbers are compared by value: an integer 1 equals a double 1. What is None in either state is not
    compared.

    Args:
        same_uuid: whether it has to be the very same collection.
    """
    was, now = expected.collection, found.collection
    return (
        *_difference("kind", was.kind, now.kind),
        *(_difference("UUID", was.uuid, now.uuid) if same_uuid else ()),
        *_differences("option", dict(was.options), dict(now.options), comparable_options(was), comparable_options(now)),
        *_differences(
            "index",
            _definitions(was.indexes),
            _definitions(now.indexes),
            comparable_indexes(was.indexes),
            comparable_indexes(now.indexes),
        ),
        *_difference("documents", expected.documents, found.documents, optional=True),
        *_difference("hash", expected.hash, found.hash, optional=True),
    )


def digest_definition(collection: Collection) -> str:
    """sha256 of what identifies and defines the collection, except its documents: UUID, kind, options and indexes."""
    definition = (
        str(collection.uuid),
        collection.kind,
        sorted(comparable_options(collection).items()),
        sorted((name, sorted(index.items())) for name, index in comparable_indexes(collection.indexes).items()),
    )
    return hashlib.sha256(repr(definition).encode()).hexdigest()


def comparable_options(collection: Collection) -> dict[str, Any]:
    """The options of a collection by name, each in a form that is equal where the option is the same."""
    return {name: comparable(_plain_flag(value)) for name, value in collection.options.items()}


def comparable_indexes(indexes: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Index definitions by name, each in a form that is equal where the index is the same."""
    return {
        name: {
            field: _ignore_order(value) if field in _UNORDERED_IN_INDEX else comparable(_plain_flag(value))
            for field, value in definition.items()
        }
        for name, definition in _definitions(indexes).items()
    }


def comparable(value: Any) -> Any:
    """A BSON value in a form that is equal exactly where the values are, the order of fields included."""
    if isinstance(value, Mapping):
        return ("document", tuple((name, comparable(inner)) for name, inner in value.items()))
    if isinstance(value, list | tuple):
        return ("array", tuple(comparable(inner) for inner in value))
    if isinstance(value, bool):
        # In Python True == 1; in a filter they are not the same.
        return ("boolean", value)
    if isinstance(value, int | float):
        return ("number", "NaN" if math.isnan(value) else value)
    return ("other", bson.encode({"": value}))


def _plain_flag(value: Any) -> Any:
    """A flag of an index or a collection means the same as a boolean and as a number."""
    return int(value) if isinstance(value, bool) else value


def _ignore_order(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return comparable(value)
    return {name: comparable(_plain_flag(inner)) for name, inner in value.items()}


def _definitions(indexes: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {
        index["name"]: {field: value for field, value in index.items() if field not in _NOT_DEFINING}
        for index in indexes
    }


def _difference(what: str, expected: Any, found: Any, *, optional: bool = False) -> Iterator[Difference]:
    if optional and (expected is None or found is None):
        return
    if expected != found:
        yield Difference(what, expected, found)


def _differences(
    what: str, expected: Mapping[str, Any], found: Mapping[str, Any], was: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[Difference]:
    for name in sorted(was.keys() | now.keys()):
        if was.get(name) != now.get(name):
            yield Difference(f"{what} {name}", expected.get(name), found.get(name))


def _show(value: Any) -> str:
    """A value for people, in the notation of MongoDB's shell."""
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_show(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_show(inner) for inner in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) and " " in value else str(value)
