"""The collections of a database: their options, indexes and sizes, and the server's hash of each."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from pymongo.database import Database
from pymongo.errors import OperationFailure

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.connection import Document

_NAMESPACE_NOT_FOUND = 26


class HashUnavailable(MongoError):
    """The server has no `dbHash` (a `mongos`), or does not allow us to use it."""


@dataclass(frozen=True)
class Collection:
    """What is known of a collection without reading its documents.

    Attributes:
        kind: "collection", "view" or "timeseries", in MongoDB's words.
        uuid: stays the same over a rename within the database; None for a view and for a time series.
        options: as `create` takes them, without the `uuid`.
        indexes: as `listIndexes` gives them, `_id_` among them.
    """

    name: str
    kind: str
    uuid: UUID | None
    options: Mapping[str, Any]
    indexes: tuple[Mapping[str, Any], ...] = field(default=())


def list_collections(
    database: Database[Document], names: Iterable[str] | None = None, *, indexes_of: Container[str] | None = None
) -> dict[str, Collection]:
    """Every collection and view of a database, or those of `names` that exist, by name, except the server's own.

    Args:
        indexes_of: names of the collections of which indexes are wanted; the others come without. None for all.
    """
    wanted = None if names is None else set(names)
    found = {}
    for listed in database.list_collections():
        name = listed["name"]
        if name.startswith("system.") or (wanted is not None and name not in wanted):
            continue
        has_indexes = listed["type"] != "view" and (indexes_of is None or name in indexes_of)
        found[name] = Collection(
            name=name,
            kind=listed["type"],
            uuid=uuid_of(listed),
            options=dict(listed["options"]),
            indexes=tuple(dict(index) for index in database[name].list_indexes()) if has_indexes else (),
        )
    return dict(sorted(found.items()))


def find_names(database: Database[Document]) -> dict[UUID, str]:
    """The name of each collection of a database by its UUID; views and time series have none."""
    return {uuid: listed["name"] for listed in database.list_collections() if (uuid := uuid_of(listed))}


def uuid_of(listed: Mapping[str, Any]) -> UUID | None:
    """The UUID in an entry of `listCollections`; None for a view and for a time series."""
    uuid = listed["info"].get("uuid")
    return None if uuid is None else UUID(bytes=bytes(uuid))


def describe_unrenamable(found: Mapping[str, Collection], names: Iterable[str]) -> list[str]:
    """A line for each of `names` that is taken by a view or a time series, which cannot be moved aside."""
    return [
        f"{name} is a {found[name].kind}, which cannot be renamed, and its name is needed. Save what it holds, and drop it."
        for name in sorted(set(names))
        if name in found and found[name].uuid is None
    ]


@dataclass(frozen=True)
class Size:
    """How much a collection holds: documents (from its metadata, so approximate) and bytes of BSON."""

    documents: int
    bytes: int


def collection_size(database: Database[Document], name: str) -> Size:
    """Size of a collection; (0, 0) where it does not exist."""
    try:
        statistics = next(database[name].aggregate([{"$collStats": {"storageStats": {}, "count": {}}}]), None)
    except OperationFailure as error:
        if error.code == _NAMESPACE_NOT_FOUND:
            return Size(0, 0)
        raise
    if statistics is None:
        return Size(0, 0)
    return Size(int(statistics["count"]), int(statistics["storageStats"].get("size", 0)))


def collection_hashes(database: Database[Document], names: Iterable[str]) -> dict[str, str]:
    """The server's own md5 of each collection's documents (`dbHash`), by name.

    It does not depend on the collection's name, options or indexes. A collection that does not exist is left out.

    Raises:
        HashUnavailable: on a `mongos`, or without the privilege.
    """
    wanted = sorted(set(names))
    if not wanted:
        return {}
    try:
        answer = database.command("dbHash", collections=wanted)
    except OperationFailure as error:
        raise HashUnavailable(f"The server did not hash the collections of {database.name}: {error}") from error
    return {name: answer["collections"][name] for name in wanted if name in answer["collections"]}
