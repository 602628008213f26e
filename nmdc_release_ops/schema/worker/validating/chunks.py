"""Splitting collections of the transformer into chunks that processes can read side by side, and reading them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from bson import Int64, MaxKey
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from .batch import BATCH_DOCUMENTS, Batch
from .compiled import Document

CHUNK_DOCUMENTS = 5_000
_RAW = CodecOptions(document_class=RawBSONDocument)


@dataclass(frozen=True)
class Chunk:
    """About `CHUNK_DOCUMENTS` documents of one collection, consecutive in the order of `_id`.

    Attributes:
        first: a document with only the `_id` at which the chunk begins, as bytes: not every `_id` survives decoding.
        next_first: `first` of the next chunk; None for the last one.
    """

    collection: str
    first: bytes
    next_first: bytes | None


def split_into_chunks(database: Database[Document], collections: Iterable[str]) -> Iterator[Chunk]:
    """Every document of every collection, once.

    The bounds come from the index on `_id`, not from a comparison: a query with `$gt` only finds ids of the same type.
    """
    for name in collections:
        first = _bound(database, name, {})
        while first is not None:
            next_first = _bound(database, name, {"min": RawBSONDocument(first), "skip": CHUNK_DOCUMENTS})
            yield Chunk(name, first, next_first)
            first = next_first


def _bound(database: Database[Document], name: str, options: dict[str, Any]) -> bytes | None:
    command = {"find": name, "projection": {"_id": 1}, "hint": {"_id": 1}, "sort": {"_id": 1}, "limit": 1, **options}
    batch = database.command({**command, "singleBatch": True}, codec_options=_RAW)["cursor"]["firstBatch"]
    return bytes(batch[0].raw) if batch else None


def read_chunk(
    database: Database[Document],
    chunk: Chunk,
    codec: Callable[[], CodecOptions[Document]],
    fields: list[str] | None = None,
) -> Iterator[Batch]:
    """The documents of a chunk, or some of their fields.

    Args:
        codec: called for each batch.
        fields: names; `_id` is left out unless it is named.
    """
    projection = {} if fields is None else {"projection": {"_id": 0, **dict.fromkeys(fields, 1)}}
    bounds: dict[str, Any] = {"hint": {"_id": 1}, "min": RawBSONDocument(chunk.first)}
    if chunk.next_first is not None:
        bounds["max"] = RawBSONDocument(chunk.next_first)
    yield from _batches(database, chunk.collection, bounds | projection, codec)
    if chunk.next_first is None:
        # Without an upper bound, the server assumes MaxKey and leaves out the document with that `_id`.
        yield from _batches(database, chunk.collection, {"filter": {"_id": MaxKey()}} | projection, codec)


def _batches(
    database: Database[Document], name: str, options: dict[str, Any], codec: Callable[[], CodecOptions[Document]]
) -> Iterator[Batch]:
    command, key = {"find": name, "batchSize": BATCH_DOCUMENTS, **options}, "firstBatch"
    with database.client.start_session() as session:
        while True:
            batch = Batch.decode_reply(database.command(command, codec_options=_RAW, session=session), key, codec())
            yield batch
            if not batch.cursor:
                return
            command = {"getMore": Int64(batch.cursor), "collection": name, "batchSize": BATCH_DOCUMENTS}
            key = "nextBatch"
