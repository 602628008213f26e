"""Dividing collections into lots, so that processes can work on them side by side, and reading them."""

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
"""How to look into a document of which only a part is wanted."""
LOT_DOCUMENTS = 5_000
_RUN_DOCUMENTS = 1_000
_RAW = CodecOptions(document_class=RawBSONDocument)


@dataclass(frozen=True)
class Lot:
    """Documents of one collection in order of `_id`, about `LOT_DOCUMENTS` of them.

    Attributes:
        number: tells it from every other.
        first: the document with the `_id` that the lot begins with, and no other field; as bytes, since not every `_id`
            survives decoding.
        following: that of the lot that follows; None for the last.
    """

    number: int
    collection: str
    first: bytes
    following: bytes | None


def lots(database: Database[Document], collections: Iterable[str]) -> Iterator[Lot]:
    """Every document of every collection, once.

    Bounds are found in the index on `_id`, and not by comparing: a query with `$gt` only sees ids of the same type.
    """
    number = 0
    for name in collections:
        first = _bound(database, name, {})
        while first is not None:
            following = _bound(database, name, {"min": RawBSONDocument(first), "skip": LOT_DOCUMENTS})
            yield Lot(number, name, first, following)
            number += 1
            first = following


def _bound(database: Database[Document], name: str, where: dict[str, Any]) -> bytes | None:
    command = {"find": name, "projection": {"_id": 1}, "hint": {"_id": 1}, "sort": {"_id": 1}, "limit": 1, **where}
    batch = database.command({**command, "singleBatch": True}, codec_options=_RAW)["cursor"]["firstBatch"]
    return bytes(batch[0].raw) if batch else None


@dataclass(frozen=True)
class Run:
    """Some documents of a lot, as a server answers with them.

    Attributes:
        raw: the answer, BSON.
        documents: None where the driver cannot read all of them.
        alone: the documents, each as BSON, where it cannot.
        cursor: by which the server hands out the rest; 0 where there is none.
    """

    raw: bytes
    documents: list[Document] | None
    alone: list[bytes]
    cursor: int

    @classmethod
    def of(cls, answer: RawBSONDocument, batch: str, codec: CodecOptions[Document]) -> Self:
        # All of it in one go: the driver's own way to raw documents makes an object of each first.
        raw = cast("bytes", answer.raw)
        try:
            cursor = bson.decode(raw, codec)["cursor"]
        except InvalidBSON:
            raw_cursor = answer["cursor"]
            return cls(raw, None, [one.raw for one in raw_cursor[batch]], int(raw_cursor["id"]))
        return cls(raw, cursor[batch], [], int(cursor["id"]))

    def apart(self, codec: CodecOptions[Document]) -> Iterator[Self]:
        """Each document that could not be read together with the others, as a run of its own; None where it cannot."""
        for raw in self.alone:
            try:
                documents: list[Document] | None = [bson.decode(raw, codec)]
            except InvalidBSON:
                documents = None
            yield replace(self, raw=raw, documents=documents, alone=[raw], cursor=0)


def read(
    database: Database[Document],
    lot: Lot,
    codec: Callable[[], CodecOptions[Document]],
    fields: list[str] | None = None,
) -> Iterator[Run]:
    """The documents of a lot, or some fields of them.

    Args:
        codec: asked for each run.
        fields: names; `_id` is not among them unless named.
    """
    projection = {} if fields is None else {"projection": {"_id": 0, **dict.fromkeys(fields, 1)}}
    bounds: dict[str, Any] = {"hint": {"_id": 1}, "min": RawBSONDocument(lot.first)}
    if lot.following is not None:
        bounds["max"] = RawBSONDocument(lot.following)
    yield from _answers(database, lot.collection, bounds | projection, codec)
    if lot.following is None:
        # Where no upper bound is given, the server takes MaxKey for one, and leaves out the document with that `_id`.
        yield from _answers(database, lot.collection, {"filter": {"_id": MaxKey()}} | projection, codec)


def _answers(
    database: Database[Document], name: str, find: dict[str, Any], codec: Callable[[], CodecOptions[Document]]
) -> Iterator[Run]:
    command, batch = {"find": name, "batchSize": _RUN_DOCUMENTS, **find}, "firstBatch"
    with database.client.start_session() as session:
        while True:
            run = Run.of(database.command(command, codec_options=_RAW, session=session), batch, codec())
            yield run
            if not run.cursor:
                return
            command = {"getMore": Int64(run.cursor), "collection": name, "batchSize": _RUN_DOCUMENTS}
            batch = "nextBatch"
