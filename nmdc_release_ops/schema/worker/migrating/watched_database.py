"""The transformer's database as a release's adapter and its migrators see it: a collection is loaded when it is first used.

Everything here stands for an object of the driver. What is known to use one collection only is passed on after that collection
was loaded; anything else (a command, a client, a view, an aggregation that looks into other collections) is passed on after
all of them were.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from pymongo.collection import Collection
from pymongo.database import Database

from .loader import Loader

READ, WRITTEN, CREATED, RENAMED, DELETED = "read", "written", "created", "renamed", "deleted"

_READING = {
    *("find", "find_one", "find_raw_batches", "count_documents", "estimated_document_count", "distinct"),
    *("list_indexes", "index_information", "options"),
}
_WRITING = {
    *("insert_one", "insert_many", "replace_one", "update_one", "update_many", "delete_one", "delete_many"),
    *("find_one_and_delete", "find_one_and_replace", "find_one_and_update", "bulk_write"),
    *("create_index", "create_indexes", "drop_index", "drop_indexes"),
}
_DATABASE_FACTS = {"name", "codec_options", "read_preference", "write_concern", "read_concern"}
_COLLECTION_FACTS = {*_DATABASE_FACTS, "full_name"}
_LISTING = {"list_collection_names", "list_collections"}
# Stages of an aggregation that read or write another collection than the one that is aggregated.
_ELSEWHERE = {"$lookup", "$graphLookup", "$unionWith", "$out", "$merge"}


@dataclass
class Uses:
    """Which collections were used, and how; loads each before its first use.

    Attributes:
        used: how each collection was used, by name.
        before_each: called before every use.
    """

    loader: Loader
    used: dict[str, set[str]] = field(default_factory=dict)
    before_each: Callable[[], None] = lambda: None

    def note(self, name: str, how: str) -> None:
        """A collection is about to be read, written or renamed, or was created."""
        self.before_each()
        self.loader.load(name)
        self.used.setdefault(name, set()).add(how)

    def note_gone(self, name: str, how: str) -> None:
        """A collection was deleted, or another one has taken its name."""
        self.loader.forget(name)
        self.used.setdefault(name, set()).add(how)

    def note_all(self, database: Database[Any]) -> None:
        """Any collection may be about to be read and written."""
        self.before_each()
        self.loader.load_all()
        for name in database.list_collection_names():
            self.used.setdefault(name, set()).update((READ, WRITTEN))


class _Watched:
    """Stands for an object of the driver, and is the same to whoever compares or shows it.

    Attributes:
        _stands_for: the driver's class, for `isinstance`.
    """

    _watched: Any
    _stands_for: type[Any]

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return self._stands_for

    def __iter__(self) -> Any:
        # The driver's own refuses to be iterated over; without this, there would be no end of sub-collections.
        return next(self._watched)

    def __eq__(self, other: object) -> bool:
        return bool(self._watched == (other._watched if type(other) is type(self) else other))

    def __hash__(self) -> int:
        return hash(self._watched)

    def __bool__(self) -> bool:
        # The driver's own refuses to be one, and says how to ask.
        return bool(self._watched)

    def __repr__(self) -> str:
        return repr(self._watched)


class WatchedDatabase(_Watched):
    """Stands for a database."""

    _stands_for = Database

    def __init__(self, database: Database[Any], uses: Uses) -> None:
        self._watched = database
        self._uses = uses

    def get_collection(self, name: str, *arguments: Any, **named: Any) -> "WatchedCollection":
        return WatchedCollection(self._watched.get_collection(name, *arguments, **named), self)

    def create_collection(self, name: str, *arguments: Any, **named: Any) -> "WatchedCollection":
        if "viewOn" in named or "pipeline" in named:
            self._uses.note_all(self._watched)
        created = self._watched.create_collection(name, *arguments, **named)
        self._uses.note(name, CREATED)
        return WatchedCollection(created, self)

    def drop_collection(self, name_or_collection: Any, *arguments: Any, **named: Any) -> Any:
        name = name_or_collection if isinstance(name_or_collection, str) else name_or_collection.name
        self._uses.before_each()
        dropped = self._watched.drop_collection(name, *arguments, **named)
        self._uses.note_gone(name, DELETED)
        return dropped

    def with_options(self, *arguments: Any, **named: Any) -> "WatchedDatabase":
        return WatchedDatabase(self._watched.with_options(*arguments, **named), self._uses)

    def __getitem__(self, name: str) -> "WatchedCollection":
        return self.get_collection(name)

    def __getattr__(self, name: str) -> Any:
        if name in _DATABASE_FACTS | _LISTING:
            self._uses.before_each()
            return getattr(self._watched, name)
        if name.startswith("_") or hasattr(Database, name) or name in vars(self._watched):
            self._uses.note_all(self._watched)
            return getattr(self._watched, name)
        return self.get_collection(name)


class WatchedCollection(_Watched):
    """Stands for a collection."""

    _stands_for = Collection

    def __init__(self, collection: Collection[Any], database: WatchedDatabase) -> None:
        self._watched = collection
        self._watched_database = database
        self._uses = database._uses

    @property
    def database(self) -> WatchedDatabase:
        return self._watched_database

    def aggregate(self, pipeline: Sequence[Mapping[str, Any]], *arguments: Any, **named: Any) -> Any:
        if _looks_elsewhere(pipeline):
            self._note_all()
        self._uses.note(self._watched.name, READ)
        return self._watched.aggregate(pipeline, *arguments, **named)

    def rename(self, new_name: str, *arguments: Any, **named: Any) -> Any:
        old_name = self._watched.name
        self._uses.note(old_name, RENAMED)
        renamed = self._watched.rename(new_name, *arguments, **named)
        self._uses.note_gone(new_name, RENAMED)
        return renamed

    def drop(self, *arguments: Any, **named: Any) -> None:
        self._watched_database.drop_collection(self._watched.name, *arguments, **named)

    def with_options(self, *arguments: Any, **named: Any) -> "WatchedCollection":
        return WatchedCollection(self._watched.with_options(*arguments, **named), self._watched_database)

    def __getitem__(self, name: str) -> "WatchedCollection":
        return WatchedCollection(self._watched[name], self._watched_database)

    def __getattr__(self, name: str) -> Any:
        if name in _READING or name in _WRITING:
            return self._noting(getattr(self._watched, name), READ if name in _READING else WRITTEN)
        if name.startswith("_") or hasattr(Collection, name):
            if name not in _COLLECTION_FACTS:
                self._note_all()
        else:
            return self[name]
        return getattr(self._watched, name)

    def _noting(self, method: Callable[..., Any], how: str) -> Callable[..., Any]:
        """The method, which notes each call: a migrator may keep it and call it later."""

        @wraps(method)
        def noted(*arguments: Any, **named: Any) -> Any:
            self._uses.note(self._watched.name, how)
            return method(*arguments, **named)

        return noted

    def _note_all(self) -> None:
        self._uses.note_all(self._watched.database)


def _looks_elsewhere(part: Any) -> bool:
    """Whether an aggregation, or a part of one, reads or writes other collections."""
    if isinstance(part, Mapping):
        return not _ELSEWHERE.isdisjoint(part) or any(map(_looks_elsewhere, part.values()))
    return isinstance(part, list | tuple) and any(map(_looks_elsewhere, part))
