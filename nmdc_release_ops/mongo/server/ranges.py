"""Ranges of a collection in the order of `_id`, which several connections can read side by side."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bson import Int64, MaxKey
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from nmdc_release_ops.mongo.server.collections import Collection
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.raw import RAW, READ_BATCH


@dataclass(frozen=True)
class IdRange:
    """Documents of a collection that follow one another in the order of `_id`.

    Attributes:
        first: a document with only the `_id` at which the range begins, as bytes: not every `_id` survives decoding.
        next_first: `first` of the next range; None for the last one.
    """

    first: bytes
    next_first: bytes | None


def has_ranges(collection: Collection) -> bool:
    """Whether a collection can be read in ranges: it has an index on `_id`, and the order of its documents does not matter."""
    options = collection.options
    has_index = any(index["name"] == "_id_" and not index.get("clustered") for index in collection.indexes)
    return has_index and not options.get("capped")


def find_ranges(database: Database[Document], name: str, documents: int) -> Iterator[IdRange]:
    """Ranges of `documents` documents each, which together hold every document of the collection once.

    The bounds come from the index on `_id`, not from a comparison: a query with `$gt` only finds ids of the same type.
    """
    first = _bound(database, name, {})
    while first is not None:
        next_first = _bound(database, name, {"min": RawBSONDocument(first), "skip": documents})
        yield IdRange(first, next_first)
        first = next_first


def _bound(database: Database[Document], name: str, options: dict[str, Any]) -> bytes | None:
    command = {"find": name, "projection": {"_id": 1}, "hint": {"_id": 1}, "sort": {"_id": 1}, "limit": 1, **options}
    batch = database.command({**command, "singleBatch": True}, codec_options=RAW)["cursor"]["firstBatch"]
    return bytes(batch[0].raw) if batch else None


def read_range(database: Database[Document], name: str, one: IdRange) -> Iterator[bytes]:
    """The documents of a range as runs of concatenated BSON, in the order of `_id`."""
    bounds: dict[str, Any] = {"hint": {"_id": 1}, "min": RawBSONDocument(one.first)}
    if one.next_first is not None:
        bounds["max"] = RawBSONDocument(one.next_first)
    yield from _runs(database, name, bounds)
    if one.next_first is None:
        # Without an upper bound, the server assumes MaxKey and leaves out the document with that `_id`.
        yield from _runs(database, name, {"filter": {"_id": MaxKey()}})


def _runs(database: Database[Document], name: str, options: dict[str, Any]) -> Iterator[bytes]:
    command, key = {"find": name, "batchSize": READ_BATCH, **options}, "firstBatch"
    cursor_id = 0
    # The driver's own cursor would decode the bounds.
    with database.client.start_session() as session:
        try:
            while True:
                reply = database.command(command, codec_options=RAW, session=session)
                cursor = reply["cursor"]
                cursor_id = int(cursor["id"])
                if run := b"".join(document.raw for document in cursor[key]):
                    yield run
                if not cursor_id:
                    return
                command, key = {"getMore": Int64(cursor_id), "collection": name, "batchSize": READ_BATCH}, "nextBatch"
        finally:
            if cursor_id:
                database.command({"killCursors": name, "cursors": [Int64(cursor_id)]}, session=session)
