"""Some documents that are decoded together."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument

from .compiled import Document
from .violations import name_of

LENIENT: CodecOptions[Document] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_AUTO, unicode_decode_error_handler="replace"
)
"""For decoding documents of which only some fields matter."""
BATCH_DOCUMENTS = 1_000
_SHALLOW = CodecOptions(
    document_class=RawBSONDocument,
    datetime_conversion=LENIENT.datetime_conversion,
    unicode_decode_error_handler=LENIENT.unicode_decode_error_handler,
)


@dataclass(frozen=True)
class Batch:
    """Some consecutive documents.

    Attributes:
        raw: BSON that contains them.
        documents: None if the driver cannot decode all of them.
        raw_documents: each document as BSON, if the driver cannot decode all of them.
        cursor: the id of the server's cursor; 0 if it is exhausted, or if the documents are not from a server.
    """

    raw: bytes
    documents: list[Document] | None
    raw_documents: Sequence[bytes]
    cursor: int = 0

    @classmethod
    def decode_reply(cls, reply: RawBSONDocument, batch: str, codec: CodecOptions[Document]) -> Self:
        """The documents in a reply of the server.

        Args:
            batch: the field that holds them, "firstBatch" or "nextBatch".
        """
        # All documents at once: the driver's raw batches create an object for each document first.
        raw = cast("bytes", reply.raw)
        try:
            cursor = bson.decode(raw, codec)["cursor"]
        except InvalidBSON:
            raw_cursor = reply["cursor"]
            return cls(raw, None, [one.raw for one in raw_cursor[batch]], int(raw_cursor["id"]))
        return cls(raw, cursor[batch], [], int(cursor["id"]))

    @classmethod
    def decode_documents(cls, raw_documents: Sequence[bytes], codec: CodecOptions[Document]) -> Self:
        """Documents as they are in an archive."""
        raw = b"".join(raw_documents)
        try:
            return cls(raw, bson.decode_all(raw, codec), [])
        except InvalidBSON:
            return cls(raw, None, raw_documents)

    def split(self, codec: CodecOptions[Document]) -> Iterator[Self]:
        """This batch if it is decoded; else each document as a batch of its own.

        `documents` is None for a document that cannot be decoded.
        """
        if self.documents is not None:
            yield self
            return
        for raw in self.raw_documents:
            try:
                documents: list[Document] | None = [bson.decode(raw, codec)]
            except InvalidBSON:
                documents = None
            yield type(self)(raw, documents, [raw])


def decode_batches(
    raw_documents: Sequence[bytes], codec: Callable[[], CodecOptions[Document]], documents: int = BATCH_DOCUMENTS
) -> Iterator[Batch]:
    """Documents as they are in an archive, decoded.

    Args:
        codec: called for each batch.
        documents: the most in a batch.
    """
    for start in range(0, len(raw_documents), documents):
        yield Batch.decode_documents(raw_documents[start : start + documents], codec())


def ids_of(batch: Batch) -> list[Any]:
    """The value of `id` of each document, None for those without; a document that is no BSON at all is left out."""
    if batch.documents is not None:
        return [document.get("id") for document in batch.documents]
    try:
        return [RawBSONDocument(batch.raw, _SHALLOW).get("id")]
    except InvalidBSON:
        return []


def name_in(raw: bytes) -> str:
    """The name of a document for people, even if it cannot be decoded."""
    try:
        return name_of(bson.decode(raw, LENIENT))
    except InvalidBSON:
        return "unknown: the document cannot be decoded"
