"""Splitting collections into chunks that processes can read side by side, and reading them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Self, cast

import bson
from bson import Int64, MaxKey
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from .compiled import Document

LENIENT: CodecOptions[Document] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_AUTO, unicode_decode_error_handler="replace"
)
"""For decoding documents of which only some fields matter."""
CHUNK_DOCUMENTS = 5_000
_BATCH_DOCUMENTS = 1_000
_RAW = CodecOptions(document_class=RawBSONDocument)


@dataclass(frozen=True)
class Chunk:
    """About `CHUNK_DOCUMENTS` documents of one collection, consecutive in the order of `_id`.

    Attributes:
        number: unique among the chunks of all collections.
        first: a document with only the `_id` at which the chunk begins, as bytes: not every `_id` survives decoding.
        next_first: `first` of the next chunk; None for the last one.
    """

    number: int
    collection: str
    first: bytes
    next_first: bytes | None


def split_into_chunks(database: Database[Document], collections: Iterable[str]) -> Iterator[Chunk]:
    """Every document of every collection, once.

    The bounds come from the index on `_id`, not from a comparison: a query with `$gt` only finds ids of the same type.
    """
    number = 0
    for name in collections:
        first = _bound(database, name, {})
        while first is not None:
            next_first = _bound(database, name, {"min": RawBSONDocument(first), "skip": CHUNK_DOCUMENTS})
            yield Chunk(number, name, first, next_first)
            number += 1
            first = next_first


def _bound(database: Database[Document], name: str, options: dict[str, Any]) -> bytes | None:
    command = {"find": name, "projection": {"_id": 1}, "hint": {"_id": 1}, "sort": {"_id": 1}, "limit": 1, **options}
    batch = database.command({**command, "singleBatch": True}, codec_options=_RAW)["cursor"]["firstBatch"]
    return bytes(batch[0].raw) if batch else None


@dataclass(frozen=True)
class Batch:
    """Some documents of a chunk: one reply of the server.

    Attributes:
        raw: the reply, BSON.
        documents: None if the driver cannot decode all of them.
        raw_documents: each document as BSON, if the driver cannot decode all of them.
        cursor: the id of the server's cursor; 0 if it is exhausted.
    """

    raw: bytes
    documents: list[Document] | None
    raw_documents: list[bytes]
    cursor: int

    @classmethod
    def decode(cls, reply: RawBSONDocument, batch: str, codec: CodecOptions[Document]) -> Self:
        # All documents at once: the driver's raw batches create an object for each document first.
        raw = cast("bytes", reply.raw)
        try:
            cursor = bson.decode(raw, codec)["cursor"]
        except InvalidBSON:
            raw_cursor = reply["cursor"]
            return cls(raw, None, [one.raw for one in raw_cursor[batch]], int(raw_cursor["id"]))
        return cls(raw, cursor[batch], [], int(cursor["id"]))

    def split(self, codec: CodecOptions[Document]) -> Iterator[Self]:
        """Each of `raw_documents` as a batch of its own, whose `documents` is None if it cannot be decoded."""
        for raw in self.raw_documents:
            try:
                documents: list[Document] | None = [bson.decode(raw, codec)]
            except InvalidBSON:
                documents = None
            yield replace(self, raw=raw, documents=documents, raw_documents=[raw], cursor=0)


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
    command, key = {"find": name, "batchSize": _BATCH_DOCUMENTS, **options}, "firstBatch"
    with database.client.start_session() as session:
        while True:
            batch = Batch.decode(database.command(command, codec_options=_RAW, session=session), key, codec())
            yield batch
            if not batch.cursor:
                return
            command = {"getMore": Int64(batch.cursor), "collection": name, "batchSize": _BATCH_DOCUMENTS}
            key = "nextBatch"
