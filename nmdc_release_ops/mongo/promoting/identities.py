"""The `id` of every document that was validated, and what a round of a promotion changes about them."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from bson.raw_bson import RawBSONDocument

from nmdc_release_ops.mongo.delta.keys import key_of
from nmdc_release_ops.mongo.promoting.round_file import RoundFile
from nmdc_release_ops.mongo.server.raw import RAW

_AT_ONCE = 10_000
_CACHE_KIB = 65_536
# `collection` and `identifier` are what `schema.worker.validating.integrity.identifiers` reads.
_TABLES = """
CREATE TABLE IF NOT EXISTS collection (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS identifier (
    id TEXT, collection INTEGER NOT NULL, key BLOB NOT NULL, PRIMARY KEY (collection, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS before (
    collection INTEGER NOT NULL, key BLOB NOT NULL, had INTEGER NOT NULL, id TEXT, PRIMARY KEY (collection, key)
) WITHOUT ROWID;
"""


class Identities(RoundFile):
    """The id of each document by collection and key (`mongo.delta.keys`), in one file.

    A document without an `id` has the id None. One whose `id` is no text is not in it.

    What a round changes can be taken back until `commit`, also by another process after a crash.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, which is created if it is missing.

        Raises:
            FileNotWritten
        """
        super().__init__(path, _TABLES, _CACHE_KIB)
        self._numbers: dict[str, int] = {
            name: number for number, name in self._connection.execute("SELECT number, name FROM collection")
        }

    def clear(self) -> None:
        """Forget everything.

        Raises:
            FileNotWritten
        """
        with self._writing():
            self._connection.execute("DROP INDEX IF EXISTS by_id")
            self._connection.execute("DELETE FROM identifier")
            self._connection.execute("DELETE FROM before")

    def fill(self, collection: str, documents: Iterable[bytes]) -> None:
        """Add documents, as BSON, that were validated before. Call `finish_filling` after the last collection.

        Raises:
            FileNotWritten
        """
        number = self._number(collection)
        rows = ((id_of(document), number, key_of(document)) for document in documents)
        with self._writing():
            self._connection.executemany(
                "INSERT INTO identifier VALUES (?, ?, ?)",
                ((one, number, key) for one, number, key in rows if one is not ODD),
            )

    def finish_filling(self) -> None:
        """Build the index for looking up ids.

        Raises:
            FileNotWritten
        """
        with self._writing():
            self._connection.execute("CREATE INDEX by_id ON identifier (id, collection)")

    def put(self, collection: str, documents: Iterable[bytes]) -> None:
        """Documents, as BSON, that are new or different.

        Raises:
            FileNotWritten
        """
        number = self._number(collection)
        pairs = ((key_of(document), id_of(document)) for document in documents)
        while some := list(islice(pairs, _AT_ONCE)):
            with self._writing():
                self._keep_before(number, [key for key, _ in some])
                self._delete(number, [key for key, one in some if one is ODD])
                self._connection.executemany(
                    "INSERT OR REPLACE INTO identifier VALUES (?, ?, ?)",
                    ((one, number, key) for key, one in some if one is not ODD),
                )

    def remove(self, collection: str, keys: Iterable[bytes]) -> None:
        """Documents that are gone.

        Raises:
            FileNotWritten
        """
        number = self._number(collection)
        left = iter(keys)
        while some := list(islice(left, _AT_ONCE)):
            with self._writing():
                self._keep_before(number, some)
                self._delete(number, some)

    def empty(self, collection: str) -> None:
        """Remove all documents of a collection.

        Raises:
            FileNotWritten
        """
        number = self._number(collection)
        with self._writing():
            self._connection.execute(
                "INSERT OR IGNORE INTO before SELECT collection, key, 1, id FROM identifier WHERE collection = ?",
                (number,),
            )
            self._connection.execute("DELETE FROM identifier WHERE collection = ?", (number,))

    def _keep_before(self, number: int, keys: Iterable[bytes]) -> None:
        self._connection.executemany(
            "INSERT OR IGNORE INTO before SELECT ?1, ?2, count(*), max(id) FROM identifier "
            "WHERE collection = ?1 AND key = ?2",
            ((number, key) for key in keys),
        )

    def _delete(self, number: int, keys: Iterable[bytes]) -> None:
        self._connection.executemany(
            "DELETE FROM identifier WHERE collection = ? AND key = ?", ((number, key) for key in keys)
        )

    def gone(self) -> Iterator[tuple[str | None, str]]:
        """Each id that no document of a collection has any more, with the collection."""
        yield from self._connection.execute(
            "SELECT DISTINCT was.id, name FROM before AS was JOIN collection ON number = was.collection "
            "WHERE had AND NOT EXISTS (SELECT 1 FROM identifier AS now WHERE now.id IS was.id "
            "AND now.collection = was.collection)"
        )

    def missing(self, earlier: Path, collections: Iterable[str]) -> Iterator[tuple[str | None, str]]:
        """Each id that a document of these collections had, and none has now, with the collection.

        Args:
            earlier: a file with the tables `collection` and `identifier`, like this one.
        """
        self._connection.execute("ATTACH ? AS earlier", (f"{earlier}",))
        try:
            for name in collections:
                yield from self._connection.execute(
                    "SELECT DISTINCT was.id, of.name FROM earlier.identifier AS was "
                    "JOIN earlier.collection AS of ON of.number = was.collection WHERE of.name = ?1 "
                    "AND NOT EXISTS (SELECT 1 FROM main.identifier AS now WHERE now.id IS was.id AND now.collection = ?2)",
                    (name, self._numbers.get(name, -1)),
                )
        finally:
            self._connection.execute("DETACH earlier")

    def duplicates(self) -> dict[str, dict[str, int]]:
        """The ids of documents of this round that several documents have, with the number of these by collection."""
        found: dict[str, dict[str, int]] = {}
        for one, name, count in self._connection.execute(
            "SELECT id, name, count(*) FROM identifier JOIN collection ON number = collection WHERE id IN ("
            "SELECT now.id FROM before JOIN identifier AS now USING (collection, key) WHERE now.id IS NOT NULL) "
            "GROUP BY id, name"
        ):
            found.setdefault(one, {})[name] = count
        return {one: counts for one, counts in found.items() if sum(counts.values()) > 1}

    def keys(self, ids: Iterable[str | None], collection: str) -> Iterator[bytes]:
        """The keys of the documents of a collection that have one of these ids."""
        number = self._numbers.get(collection, -1)
        for one in ids:
            for (key,) in self._connection.execute(
                "SELECT key FROM identifier WHERE id IS ? AND collection = ?", (one, number)
            ):
                yield key

    def is_changed(self, collection: str, key: bytes) -> bool:
        """Whether this round put or removed the document with this key."""
        found = self._connection.execute(
            "SELECT 1 FROM before WHERE collection = ? AND key = ?", (self._numbers.get(collection, -1), key)
        )
        return found.fetchone() is not None

    def absent(self, ids: Iterable[str | None]) -> Iterator[str | None]:
        """Those of the ids that no document has."""
        for one in ids:
            if self._connection.execute("SELECT 1 FROM identifier WHERE id IS ? LIMIT 1", (one,)).fetchone() is None:
                yield one

    def commit(self) -> None:
        """Keep what the round changed.

        Raises:
            FileNotWritten
        """
        with self._writing():
            self._connection.execute("DELETE FROM before")
            self.round.end()

    def roll_back(self) -> None:
        """Take back what the round changed.

        Raises:
            FileNotWritten
        """
        with self._writing():
            self._connection.execute(
                "DELETE FROM identifier WHERE (collection, key) IN (SELECT collection, key FROM before)"
            )
            self._connection.execute("INSERT INTO identifier SELECT id, collection, key FROM before WHERE had")
            self._connection.execute("DELETE FROM before")
            self.round.end()

    def _number(self, collection: str) -> int:
        if collection not in self._numbers:
            with self._writing():
                self._numbers[collection] = len(self._numbers)
                self._connection.execute("INSERT INTO collection VALUES (?, ?)", (len(self._numbers) - 1, collection))
        return self._numbers[collection]


ODD = object()
"""In place of an `id` that is no text, which counts as none."""


def id_of(document: bytes) -> object:
    """The `id` of a document: a text, None if it has none or null, or else `ODD`."""
    found = RawBSONDocument(document, RAW).get("id")
    return found if found is None or isinstance(found, str) else ODD


def group_by_collection(pairs: Iterable[tuple[str | None, str]]) -> dict[str, set[str | None]]:
    """Ids by collection."""
    grouped: dict[str, set[str | None]] = {}
    for one, name in pairs:
        grouped.setdefault(name, set()).add(one)
    return grouped
