"""The adapter that migrators are given: a release's own `MongoAdapter`, made fast for a scratch database.

It differs in three ways. A document that a pipeline leaves byte-for-byte the same is not written; the others are
written in unordered bulks; and "transactional" migrations run without a transaction, since the transformer is loaded
anew whenever a migration failed. What the database holds in the end is the same.
"""

import inspect
from collections import Counter
from collections.abc import Callable
from typing import Any

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import ReplaceOne
from pymongo.database import Database

BULK_BYTES = 16_000_000
BULK_DOCUMENTS = 5_000

Document = dict[str, Any]
Pipeline = list[Callable[[Document], Document]]

# Raw on the wire, to be compared with what comes out of the pipeline, and decoded as the release's own adapter does.
_RAW = CodecOptions(document_class=RawBSONDocument)
# Methods of MongoAdapter that read or write the database besides: whatever is waiting has to be there for them.
_OTHER_METHODS = (
    "create_collection",
    "rename_collection",
    "delete_collection",
    "insert_document",
    "get_document_having_value_in_field",
    "get_document_having_one_of_values_in_field",
    "delete_documents_having_value_in_field",
    "set_field_of_each_document",
    "remove_field_from_each_document",
    "do_for_each_document",
    "copy_value_from_field_to_field_in_each_document",
)


class Outcome:
    """What an adapter did, for the report of its migrator.

    Attributes:
        written: documents replaced by pipelines, by collection.
        current: collection and id of the document that is in a pipeline or an action now.
    """

    def __init__(self) -> None:
        self.written: Counter[str] = Counter()
        self.current: tuple[str, Any] | None = None


def make_adapter(database: Database[Any], base: type[Any], outcome: Outcome) -> Any:
    """An instance of a subclass of `base`, the release's `MongoAdapter`, on `database`.

    Migrators check `isinstance`, and releases differ in the methods they have; only those that `base` has are replaced.
    """

    class FastMongoAdapter(base):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(database=database)
            self._waiting: list[tuple[str, ReplaceOne[Any]]] = []
            self._waiting_bytes = 0

        def process_each_document(
            self,
            collection_name: str,
            pipeline: Pipeline,
            session: Any = None,  # noqa: ARG002 - the release's own adapter takes one; there is no transaction here
        ) -> None:
            self._flush()
            if collection_name not in self._db.list_collection_names():
                return
            collection = self._db.get_collection(collection_name, codec_options=_RAW)
            try:
                for raw in collection.find({}):
                    before = raw.raw
                    document = bson.decode(before, self._db.codec_options)
                    # Before the pipeline, which may tamper with it.
                    identifier = document["_id"]
                    outcome.current = (collection_name, document.get("id", identifier))
                    for function in pipeline:
                        document = function(document)
                    after = bson.encode(document)
                    if after != before:
                        self._replace(collection_name, identifier, document, len(after))
                outcome.current = None
            finally:
                # What came before a document that made the pipeline raise is written, as without bulks.
                self._flush()

        def _replace(self, collection_name: str, identifier: Any, document: Document, size: int) -> None:
            # `$eq`, as the release's adapter has it: an _id may be an object that looks like an operator.
            self._waiting.append((collection_name, ReplaceOne({"_id": {"$eq": identifier}}, document)))
            self._waiting_bytes += size
            outcome.written[collection_name] += 1
            if self._waiting_bytes >= BULK_BYTES or len(self._waiting) >= BULK_DOCUMENTS:
                self._flush()

        def _flush(self) -> None:
            waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
            by_collection: dict[str, list[ReplaceOne[Any]]] = {}
            for name, request in waiting:
                by_collection.setdefault(name, []).append(request)
            for name, requests in by_collection.items():
                self._db.get_collection(name).bulk_write(requests, ordered=False)

        def process_collections_in_transaction(
            self,
            collection_names: list[str],
            document_processor: Callable[[Document], Document],
            commit_changes: bool = False,
        ) -> None:
            if not commit_changes:
                super().process_collections_in_transaction(collection_names, document_processor, commit_changes)
                return
            for name in collection_names:
                self.process_each_document(name, [document_processor])

        def execute_in_transaction(
            self, operations_callback: Callable[[Any, Any], None], commit_changes: bool = False
        ) -> None:
            if not commit_changes:
                super().execute_in_transaction(operations_callback, commit_changes)
                return
            operations_callback(self, None)

        def do_for_each_document(
            self, collection_name: str, action: Callable[[Document], None], session: Any = None
        ) -> None:
            self._flush()

            def noting(document: Document) -> None:
                outcome.current = (collection_name, document.get("id", document["_id"]))
                action(document)

            if session is None:
                super().do_for_each_document(collection_name, noting)
            else:
                super().do_for_each_document(collection_name, noting, session)
            outcome.current = None

    for name in _OTHER_METHODS:
        if hasattr(base, name) and name not in FastMongoAdapter.__dict__:
            setattr(FastMongoAdapter, name, _flushing(getattr(base, name)))
    for name in ("process_collections_in_transaction", "execute_in_transaction", "do_for_each_document"):
        if not hasattr(base, name):
            delattr(FastMongoAdapter, name)
    return FastMongoAdapter()


def _flushing(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, after whatever is waiting has been written."""

    def flushed(self: Any, *arguments: Any, **named: Any) -> Any:
        self._flush()
        return method(self, *arguments, **named)

    flushed.__name__ = method.__name__
    flushed.__signature__ = inspect.signature(method)  # type: ignore[attr-defined]
    return flushed
