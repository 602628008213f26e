"""The adapter that migrators are given: a release's own `MongoAdapter`, made fast for a scratch database.

It differs in three ways. A document that a pipeline leaves byte-for-byte the same is not written; the others are
written in unordered bulks; and "transactional" migrations run without a transaction, since the transformer is loaded
anew whenever a migration failed. What the database holds in the end is the same.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from inspect import Parameter, signature
from typing import Any

import bson
from bson import ObjectId
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from pymongo import ReplaceOne
from pymongo.database import Database
from pymongo.errors import BulkWriteError

BULK_BYTES = 16_000_000
BULK_DOCUMENTS = 5_000
LARGEST_DOCUMENT = 16_000_000
"""Bytes of BSON beyond which the server may refuse a document, and is asked about that one alone."""

Document = dict[str, Any]
Pipeline = list[Callable[[Document], Document]]

# The driver looks into raw documents that it writes; a date that Python cannot hold must not stop it there.
_RAW = CodecOptions(document_class=RawBSONDocument, datetime_conversion=DatetimeConversion.DATETIME_AUTO)
# Ids that nobody can change, and that no query can take for an operator.
_PLAIN = (ObjectId, str, int)


class _Encoded(RawBSONDocument):
    """A replacement as bytes. It is never empty; without saying so, the driver would decode it to find out."""

    def __bool__(self) -> bool:
        return True


@dataclass
class Outcome:
    """What an adapter did, for the report of its migrator.

    Attributes:
        written: documents that pipelines replaced, by collection.
        created, renamed, deleted: collections, as the adapter's own callbacks tell.
        failed_at: collection and id of the document that a pipeline, an action or the server stumbled over.
        progress: told the collection and the number of documents read, after each.
    """

    written: Counter[str] = field(default_factory=Counter)
    created: list[str] = field(default_factory=list)
    renamed: list[tuple[str, str]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    failed_at: tuple[str, Any] | None = None
    progress: Callable[[str, int], None] = lambda _collection, _documents: None

    @contextmanager
    def at(self, collection: str, document: Document) -> Iterator[None]:
        """Remember the document if the block raises; where blocks are nested, the innermost one's."""
        # Before the block, which may tamper with it.
        identifier = document.get("id", document.get("_id"))
        try:
            yield
        except Exception:
            self.failed_at = self.failed_at or (collection, identifier)
            raise
        # Whatever was raised further in has been caught by the migrator.
        self.failed_at = None


class _Fast:
    """What is put before a release's `MongoAdapter`; only methods that every release has are overridden here."""

    outcome: Outcome

    @property
    def _db(self) -> Database[Any]:
        """The database, for every method of the release's adapter: whatever is waiting is written before it is used.

        So a lookup in the middle of a pipeline finds what the release's own adapter would have written by then.
        """
        self._flush()
        self._used = True
        return self._database

    @_db.setter
    def _db(self, database: Database[Any]) -> None:
        self._database = database
        self._waiting: list[ReplaceOne[Any]] = []
        self._waiting_for: tuple[str, Any] = ("", None)
        self._waiting_bytes = 0
        self._used = False

    def process_each_document(self, collection_name: str, pipeline: Pipeline, session: Any = None) -> None:
        database = self._db
        if collection_name not in database.list_collection_names():
            return
        codec = database.codec_options
        self._used = False
        try:
            cursor = database.get_collection(collection_name, codec_options=_RAW).find({}, session=session)
            for read, raw in enumerate(cursor, start=1):
                document = bson.decode(raw.raw, codec)
                with self.outcome.at(collection_name, document):
                    # Before the pipeline, which may tamper with it.
                    identifier = document["_id"]
                    if type(identifier) not in _PLAIN:
                        identifier = deepcopy(identifier)
                    for function in pipeline:
                        document = function(document)
                    self._replace(collection_name, identifier, raw.raw, document, session)
                self.outcome.progress(collection_name, read)
        finally:
            # What came before a document that made the pipeline raise is written, as without bulks.
            self._flush()
            # For the pipeline of another collection that this may have been called from.
            self._used = True

    def _replace(self, name: str, identifier: Any, before: bytes, document: Document, session: Any) -> None:
        if not _is_ordinary(document, identifier):
            # The server or the driver has something to say about it: let it, as the release's adapter would.
            self._flush()
            collection = self._database.get_collection(name)
            collection.replace_one({"_id": {"$eq": identifier}}, document, session=session)
            self.outcome.written[name] += 1
            return
        after = bson.encode(document, codec_options=self._database.codec_options)
        # Once a pipeline has written by the adapter, stored documents may no longer be what was read before.
        if after == before and not self._used:
            return
        if len(after) > LARGEST_DOCUMENT or self._waiting_for != (name, session):
            self._flush()
        self._waiting_for = (name, session)
        # `$eq`, as the release's adapter has it: an _id may be an object that looks like an operator. Without it the
        # server goes straight to the document and plans no query, which is half of its work. The bytes and not the
        # document, which the migrator may keep and change later.
        wanted = identifier if type(identifier) in _PLAIN else {"$eq": identifier}
        self._waiting.append(ReplaceOne({"_id": wanted}, _Encoded(after, _RAW)))
        self._waiting_bytes += len(after)
        self.outcome.written[name] += 1
        if self._waiting_bytes >= BULK_BYTES or len(self._waiting) >= BULK_DOCUMENTS:
            self._flush()

    def _flush(self) -> None:
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if not waiting:
            return
        name, session = self._waiting_for
        try:
            self._database.get_collection(name).bulk_write(waiting, ordered=False, session=session)
        except BulkWriteError as error:
            for refused in (error.details or {}).get("writeErrors", [])[:1]:
                asked = refused["op"]
                wanted = asked["q"]["_id"]
                identifier = wanted if type(wanted) in _PLAIN else wanted["$eq"]
                self.outcome.failed_at = (name, asked["u"].get("id", identifier))
            raise


def make_adapter(database: Database[Any], base: type[Any], outcome: Outcome) -> Any:
    """An instance of a subclass of `base`, the release's `MongoAdapter`, on `database`.

    Migrators check `isinstance`, and releases differ in the methods they have: those that came later are only
    replaced where `base` has them.
    """
    later = {
        name: method(getattr(base, name))
        for name, method in (
            ("get_document_having_value_in_field", _reading),
            ("get_document_having_one_of_values_in_field", _reading),
            ("do_for_each_document", _noting),
            ("process_collections_in_transaction", _without_transaction_over_collections),
            ("execute_in_transaction", _without_transaction),
        )
        if hasattr(base, name)
    }
    callbacks: dict[str, Callable[..., None]] = {
        "on_collection_created": outcome.created.append,
        "on_collection_renamed": lambda old, new: outcome.renamed.append((old, new)),
        "on_collection_deleted": outcome.deleted.append,
    }
    # Before 10.2.0 there were no callbacks.
    if not any(parameter.kind is Parameter.VAR_KEYWORD for parameter in signature(base).parameters.values()):
        later |= {
            "create_collection": _calling(base.create_collection, callbacks.pop("on_collection_created")),
            "rename_collection": _calling(base.rename_collection, callbacks.pop("on_collection_renamed")),
            "delete_collection": _calling(base.delete_collection, callbacks.pop("on_collection_deleted")),
        }
    adapter_class = type(base.__name__, (_Fast, base), {**later, "outcome": outcome})
    return adapter_class(database=database, **callbacks)


def _calling(original: Callable[..., None], callback: Callable[..., None]) -> Callable[..., None]:
    """The method, which calls back when it did something: the collection first named is there afterwards, or no more."""

    def change(self: Any, *names: str, **named: str) -> None:
        all_names = (*names, *named.values())
        there = all_names[0] in self._db.list_collection_names()
        original(self, *names, **named)
        if there != (all_names[0] in self._db.list_collection_names()):
            callback(*all_names)

    return change


def _reading(original: Callable[..., Any]) -> Callable[..., Any]:
    def read(self: Any, *arguments: Any, **named: Any) -> Any:
        used = self._used
        found = original(self, *arguments, **named)
        self._used = used
        return found

    return read


def _noting(original: Callable[..., None]) -> Callable[..., None]:
    def do_for_each_document(
        self: Any, collection_name: str, action: Callable[[Document], None], *session: Any, **named: Any
    ) -> None:
        read = 0

        def noting(document: Document) -> None:
            nonlocal read
            with self.outcome.at(collection_name, document):
                action(document)
            read += 1
            self.outcome.progress(collection_name, read)

        original(self, collection_name, noting, *session, **named)

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
    """Whether a pipeline's result can replace the document in a bulk: neither driver nor server will refuse it."""
    if not isinstance(document, dict):
        return False
    if "_id" in document and (document["_id"] != identifier or type(document["_id"]) is not type(identifier)):
        return False
    first = next(iter(document), "")
    return not (isinstance(first, str) and first.startswith("$"))
