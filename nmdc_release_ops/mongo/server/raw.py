"""Documents as raw bytes: read, split and written without being decoded."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from pymongo.collection import Collection as MongoCollection
from pymongo.database import Database
from pymongo.errors import BulkWriteError, OperationFailure

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.connection import Document, is_unauthorized

READ_BATCH = 10_000
"""Documents per request; the server sends at most 16 MB in any case."""
WRITE_BATCH_BYTES = 16_000_000
WRITE_BATCH_DOCUMENTS = 20_000

RAW = CodecOptions(
    document_class=RawBSONDocument,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    unicode_decode_error_handler="replace",
)
"""How to decode a document so that it never fails, whatever the document holds."""
# The most that a server accepts (BSONObjMaxInternalSize). Anything longer is not collected in memory.
_LONGEST_DOCUMENT = 16 * 1024 * 1024 + 16 * 1024
_NINE_ZEROS = bytes(9)
_EMPTY_TIMESTAMP = re.compile(rb"\x11[^\x00]*\x00{9}")


class BrokenBson(ValueError):
    """Bytes are not a series of whole documents; the message says why, without its subject."""


def read_raw(collection: MongoCollection[Document], batch: int = READ_BATCH, **find: Any) -> Iterator[bytes]:
    """The documents of a collection, in its natural order by default, as runs of concatenated BSON.

    Args:
        batch: documents per request.
        find: what `find` takes: a filter, a sort, a limit.
    """
    yield from collection.find_raw_batches(batch_size=batch, **find)


def read_raw_since(
    collection: MongoCollection[Document], moment: ClusterTime, batch: int = READ_BATCH
) -> Iterator[bytes]:
    """As `read_raw`; what is read contains everything that was written up to `moment`, also where a secondary is read."""
    with collection.database.client.start_session(causal_consistency=True) as session:
        session.advance_operation_time(moment.timestamp())
        yield from read_raw(collection, batch, session=session)


def count_documents(run: bytes) -> int:
    """How many documents a run of concatenated BSON holds.

    Raises:
        BrokenBson: it does not end where a document does.
    """
    return cut_after(run, 0, len(run))[1]


def cut_after(run: bytes, position: int, most: int) -> tuple[int, int]:
    """The end of the last document from `position` on that ends within `most` bytes, and how many documents that is.

    Args:
        run: of concatenated BSON that ends where a document does.

    Raises:
        BrokenBson: it does not end where a document does.
    """
    position, count = _walk(run, position, min(position + most, len(run)))
    if position < len(run):
        _end_of_document(run, position)
    return position, count


def cut_off(run: bytes) -> tuple[bytes, bytes, int]:
    """The whole documents at the start of concatenated BSON, the rest, and how many documents are whole.

    Raises:
        BrokenBson: the rest is longer than any document.
    """
    position, count = _walk(run, 0, len(run))
    if len(run) - position > _LONGEST_DOCUMENT:
        raise BrokenBson("holds something longer than any document")
    return run[:position], run[position:], count


def _walk(run: bytes, position: int, limit: int) -> tuple[int, int]:
    """The end of the last whole document from `position` on that ends at `limit` or before, and how many documents that is."""
    count = 0
    while limit - position >= 4:
        end = position + int.from_bytes(run[position : position + 4], "little")
        if end > limit or end <= position:
            break
        position = end
        count += 1
    return position, count


def _end_of_document(run: bytes, position: int) -> int:
    """Raises:
    BrokenBson: no whole document begins there.
    """
    end = position + int.from_bytes(run[position : position + 4], "little")
    if end > len(run) or end <= position:
        raise BrokenBson("ends in the middle of a document")
    return end


def whole_runs(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Concatenated BSON that comes in chunks, wherever they were cut, as runs that end where a document does.

    Raises:
        BrokenBson: after the documents that are whole.
    """
    rest = b""
    for chunk in chunks:
        run, rest, _ = cut_off(rest + chunk)
        if run:
            yield run
    if rest:
        raise BrokenBson("ends in the middle of a document")


def split(run: bytes) -> Iterator[bytes]:
    """Each document of a run of concatenated BSON.

    Raises:
        BrokenBson: after the documents that are whole.
    """
    position = 0
    while position < len(run):
        end = _end_of_document(run, position)
        yield run[position:end]
        position = end


def document_of(elements: bytes) -> bytes:
    """The document, or array, of elements that are BSON already."""
    return (len(elements) + 5).to_bytes(4, "little") + elements + b"\0"


def has_empty_timestamp(document: bytes) -> bool:
    """Whether a field of the document itself, not of one within it, is `Timestamp(0, 0)`.

    A server that inserts a document replaces such a timestamp with the present moment, unless it is the `_id`.
    """
    # Cheap checks first; nearly every document fails them: a name's end and eight zeros, after the type's byte.
    if not may_hold_empty_timestamp(document):
        return False
    fields = RawBSONDocument(document, RAW).items()
    return any(name != "_id" and isinstance(value, Timestamp) and value == Timestamp(0, 0) for name, value in fields)


def may_hold_empty_timestamp(bson: bytes) -> bool:
    """Whether BSON holds `Timestamp(0, 0)` anywhere, in an `_id` or nested; one document or a run of them.

    May be a false positive: a number in the right place has the same bytes.
    """
    return _NINE_ZEROS in bson and _EMPTY_TIMESTAMP.search(bson) is not None


class UpdateNotAllowed(MongoError):
    """A document cannot be written unchanged without a privilege that the user lacks."""


class RawWriter:
    """Inserts raw documents into a collection in their order, in batches bounded in number and bytes.

    Validation by the collection's own rules is bypassed: every document was in such a collection before. A document with an
    empty timestamp is written by an update, which keeps it unchanged; the user needs the privilege to update.
    """

    def __init__(self, database: Database[Any], name: str) -> None:
        self._collection = database.get_collection(name, codec_options=RAW)
        self._batch: list[RawBSONDocument] = []
        self._bytes = 0
        self.written = 0

    def add(self, document: bytes) -> bool:
        """Add one document; return whether a batch was written.

        Raises:
            UpdateNotAllowed: for a document with an empty timestamp.
        """
        if has_empty_timestamp(document):
            self.flush()
            self._put(RawBSONDocument(document, RAW))
            return True
        self._batch.append(RawBSONDocument(document))
        self._bytes += len(document)
        if self._bytes >= WRITE_BATCH_BYTES or len(self._batch) >= WRITE_BATCH_DOCUMENTS:
            self.flush()
            return True
        return False

    def flush(self) -> None:
        """Write the pending batch.

        Raises:
            pymongo.errors.BulkWriteError: naming the first document that was refused.
        """
        if not self._batch:
            return
        try:
            self._collection.insert_many(self._batch, ordered=False, bypass_document_validation=True)
        except BulkWriteError as error:
            first = (error.details or {}).get("writeErrors", [{}])[0]
            raise BulkWriteError(
                {"writeErrors": [{"errmsg": first.get("errmsg"), "code": first.get("code")}]}
            ) from None
        self.written += len(self._batch)
        self._batch = []
        self._bytes = 0

    def _put(self, document: RawBSONDocument) -> None:
        try:
            self._collection.update_one(
                {"_id": {"$eq": document["_id"]}},
                [{"$replaceWith": {"$literal": document}}],
                upsert=True,
                bypass_document_validation=True,
            )
        except OperationFailure as error:
            if is_unauthorized(error):
                raise UpdateNotAllowed(
                    f"the document {document['_id']!r} holds an empty timestamp, Timestamp(0, 0), which only an update can "
                    "write, and the user is not allowed to update. Give the field another value, or grant the user the action "
                    "update on the database"
                ) from error
            raise
        self.written += 1
