"""The adapter that migrators get: a release's own `MongoAdapter`, made fast for a scratch database.

It differs in four ways. A collection's documents are loaded when the migrator first uses it. A document that a pipeline
leaves byte-for-byte the same is not written. The others are written in unordered bulks. "Transactional" migrations run
without a transaction, because the transformer is loaded again after a failed migration anyway. The resulting database is
the same.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import bson
from bson import ObjectId
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from pymongo import ReplaceOne
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from .loader import Loader
from .watched_database import READ, WRITTEN, Uses, WatchedDatabase

BULK_BYTES = 16_000_000
BULK_DOCUMENTS = 5_000
LARGEST_DOCUMENT = 16_000_000
"""Bytes of BSON; the server may reject a larger document, so it is written alone."""

Document = dict[str, Any]
Pipeline = list[Callable[[Document], Document]]

# The driver decodes raw documents that it writes; it must not fail at a date beyond Python's range.
_RAW = CodecOptions(document_class=RawBSONDocument, datetime_conversion=DatetimeConversion.DATETIME_AUTO)
# Types of `_id` that are immutable, and that a query cannot mistake for an operator.
_PLAIN_IDS = (ObjectId, str, int)


class _Encoded(RawBSONDocument):
    """A replacement as bytes. It is never empty: without `__bool__`, the driver would decode it to check that."""

    def __bool__(self) -> bool:
        return True


@dataclass
class Outcome:
    """What an adapter did, for the report of its migrator.

    Attributes:
        written: documents that pipelines replaced, by collection.
        failed_at: collection and id of the document at which a pipeline, an action or the server failed.
        progress: called after each document with the collection and the number of documents read.
        loader: of the collections that the transformer does not hold yet.
    """

    written: Counter[str] = field(default_factory=Counter)
    failed_at: tuple[str, Any] | None = None
    progress: Callable[[str, int], None] = lambda _collection, _documents: None
    loader: Loader = field(default_factory=Loader)

    @cached_property
    def uses(self) -> Uses:
        """How each collection was used."""
        return Uses(self.loader)

    def count_written(self, collection: str) -> None:
        """A pipeline replaced a document."""
        self.written[collection] += 1
        self.uses.used[collection].add(WRITTEN)

    @contextmanager
    def at(self, collection: str, document: Document) -> Iterator[None]:
        """Record the document if the block raises; of nested blocks, the innermost one's."""
        # Taken before the block, which may change the document.
        identifier = document.get("id", document.get("_id"))
        try:
            yield
        except Exception:
            self.failed_at = self.failed_at or (collection, identifier)
            raise
        # The migrator has caught any error of a nested block.
        self.failed_at = None


class _FastAdapter:
    """A mixin for a release's `MongoAdapter`. It only overrides methods that every release has."""

    outcome: Outcome

    @property
    def _db(self) -> WatchedDatabase:
        """The database, for every method of the release's adapter. Pending writes are flushed before it is used.

        So a lookup in the middle of a pipeline finds what the release's own adapter would have written already.
        """
        return self._watched

    @_db.setter
    def _db(self, database: Database[Any]) -> None:
        self._database = database
        self._watched = WatchedDatabase(database, self.outcome.uses)
        self.outcome.uses.before_each = self._before_use
        self._pending: list[ReplaceOne[Any]] = []
        self._pending_target: tuple[str, Any] = ("", None)
        self._pending_bytes = 0
        self._used = False

    def _before_use(self) -> None:
        self._flush()
        self._used = True

    def process_each_document(self, collection_name: str, pipeline: Pipeline, session: Any = None) -> None:
        self._flush()
        database = self._database
        if collection_name not in database.list_collection_names():
            return
        self.outcome.uses.note(collection_name, READ)
        codec = database.codec_options
        self._used = False
        try:
            cursor = database.get_collection(collection_name, codec_options=_RAW).find({}, session=session)
            for read, raw in enumerate(cursor, start=1):
                document = bson.decode(raw.raw, codec)
                with self.outcome.at(collection_name, document):
                    # Taken before the pipeline, which may change it.
                    identifier = document["_id"]
                    if type(identifier) not in _PLAIN_IDS:
                        identifier = deepcopy(identifier)
                    for function in pipeline:
                        document = function(document)
                    self._replace(collection_name, identifier, raw.raw, document, session)
                self.outcome.progress(collection_name, read)
        finally:
            # If the pipeline raised, the documents before are written, as the release's own adapter would have done.
            self._flush()
            # This may have been called from the pipeline of another collection.
            self._used = True

    def _replace(self, name: str, identifier: Any, before: bytes, document: Document, session: Any) -> None:
        """Write what a pipeline made of a document, at once or with others, unless it is the same as before."""
        if not _is_ordinary(document, identifier):
            # The server or the driver will reject it: let it raise the error that the release's own adapter would get.
            self._flush()
            collection = self._database.get_collection(name)
            collection.replace_one({"_id": {"$eq": identifier}}, document, session=session)
            self.outcome.count_written(name)
            return
        after = bson.encode(document, codec_options=self._database.codec_options)
        # If a pipeline has used the adapter, stored documents may differ from what was read.
        if after == before and not self._used:
            return
        if len(after) > LARGEST_DOCUMENT or self._pending_target != (name, session):
            self._flush()
        self._pending_target = (name, session)
        # The release's adapter uses `$eq`, because an _id may be an object that looks like an operator. Without `$eq` the
        # server skips planning a query, which is half of its work. The replacement is kept as bytes, because the migrator
        # may keep the document and change it later.
        selector = identifier if type(identifier) in _PLAIN_IDS else {"$eq": identifier}
        self._pending.append(ReplaceOne({"_id": selector}, _Encoded(after, _RAW)))
        self._pending_bytes += len(after)
        self.outcome.count_written(name)
        if self._pending_bytes >= BULK_BYTES or len(self._pending) >= BULK_DOCUMENTS:
            self._flush()

    def _flush(self) -> None:
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        if not pending:
            return
        name, session = self._pending_target
        try:
            self._database.get_collection(name).bulk_write(pending, ordered=False, session=session)
        except BulkWriteError as error:
            for write_error in (error.details or {}).get("writeErrors", [])[:1]:
                replacement = write_error["op"]
                selector = replacement["q"]["_id"]
                identifier = selector if type(selector) in _PLAIN_IDS else selector["$eq"]
                self.outcome.failed_at = (name, replacement["u"].get("id", identifier))
            raise


def make_adapter(database: Database[Any], base: type[Any], outcome: Outcome) -> Any:
    """An instance of a subclass of `base`, the release's `MongoAdapter`, on `database`.

    It is a subclass because migrators check `isinstance`. Methods that not every release has are only overridden if `base`
    has them.
    """
    overrides = {
        name: method(getattr(base, name))
        for name, method in (
            ("get_document_having_value_in_field", _keep_used),
            ("get_document_having_one_of_values_in_field", _keep_used),
            ("do_for_each_document", _record_document),
            ("process_collections_in_transaction", _without_transaction_over_collections),
            ("execute_in_transaction", _without_transaction),
        )
        if hasattr(base, name)
    }
    adapter_class = type(base.__name__, (_FastAdapter, base), {**overrides, "outcome": outcome})
    return adapter_class(database=database)


def _keep_used(original: Callable[..., Any]) -> Callable[..., Any]:
    """The method, which only reads, so that stored documents are still what was read before."""

    def read(self: Any, *arguments: Any, **named: Any) -> Any:
        used = self._used
        result = original(self, *arguments, **named)
        self._used = used
        return result

    return read


def _record_document(original: Callable[..., None]) -> Callable[..., None]:
    """The method, which records the document at which an action fails, and reports progress."""

    def do_for_each_document(
        self: Any, collection_name: str, action: Callable[[Document], None], *session: Any, **named: Any
    ) -> None:
        read = 0

        def recording_action(document: Document) -> None:
            nonlocal read
            with self.outcome.at(collection_name, document):
                action(document)
            read += 1
            self.outcome.progress(collection_name, read)

        original(self, collection_name, recording_action, *session, **named)

    return do_for_each_document


def _without_transaction_over_collections(original: Callable[..., None]) -> Callable[..., None]:
    def process_collections_in_transaction(
        self: Any,
        collection_names: list[str],
        document_processor: Callable[[Document], Document],
        commit_changes: bool = False,
    ) -> None:
        if not commit_changes:
            original(self, collection_names, document_processor, commit_changes)
            return
        for name in collection_names:
            self.process_each_document(name, [document_processor])

    return process_collections_in_transaction


def _without_transaction(original: Callable[..., None]) -> Callable[..., None]:
    def execute_in_transaction(
        self: Any, operations_callback: Callable[[Any, Any], None], commit_changes: bool = False
    ) -> None:
        if not commit_changes:
            original(self, operations_callback, commit_changes)
            return
        operations_callback(self, None)

    return execute_in_transaction


def _is_ordinary(document: Any, identifier: Any) -> bool:
    """Whether a pipeline's result can replace the document in a bulk: neither the driver nor the server will reject it."""
    if not isinstance(document, dict):
        return False
    if "_id" in document and (document["_id"] != identifier or type(document["_id"]) is not type(identifier)):
        return False
    first = next(iter(document), "")
    return not (isinstance(first, str) and first.startswith("$"))
