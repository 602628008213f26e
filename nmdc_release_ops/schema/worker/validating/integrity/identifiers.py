"""The ids of all documents, in a file of any size, of which each process keeps little in memory."""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from ...disk import writing

CACHE_KILOBYTES = 32_000
"""How much of the file each process keeps in memory: some 300,000 ids. The rest is read from the file or the system's
cache."""
_IDS_PER_QUERY = 500

Id = str | None
"""None stands for a document without an id."""


class Identifiers:
    """The ids of all documents, and the collections they are in."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._names = {name: number for number, name in connection.execute("SELECT number, name FROM collection")}

    @classmethod
    @contextmanager
    def create(cls, path: Path) -> Iterator["Identifiers"]:
        """Create the file. Fill it with `add`; it is complete when the block ends."""
        path.unlink(missing_ok=True)
        with scratch_database(path) as connection:
            connection.execute("CREATE TABLE collection (number INTEGER PRIMARY KEY, name TEXT)")
            connection.execute("CREATE TABLE identifier (id TEXT, collection INTEGER)")
            yield cls(connection)
            connection.execute("CREATE INDEX by_id ON identifier (id, collection)")
            connection.commit()

    @classmethod
    def open(cls, path: Path) -> "Identifiers":
        """Open a complete file for reading."""
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)
        connection.execute(f"PRAGMA cache_size = -{CACHE_KILOBYTES}")
        return cls(connection)

    def add(self, collection: str, ids: Iterable[Id]) -> None:
        if collection not in self._names:
            self._names[collection] = len(self._names)
            self._connection.execute("INSERT INTO collection VALUES (?, ?)", (self._names[collection], collection))
        number = self._names[collection]
        self._connection.executemany(
            "INSERT INTO identifier VALUES (?, ?)", ((identifier, number) for identifier in ids)
        )

    def count(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM identifier WHERE id IS NOT NULL").fetchone()[0])

    def find_collections(self, ids: Iterable[Id]) -> dict[Id, frozenset[str]]:
        """The collections of the documents with these ids; an id that no document has is left out."""
        remaining = set(ids)
        collections: dict[Id, set[str]] = {}
        if None in remaining:
            remaining.discard(None)
            rows = self._connection.execute(
                "SELECT DISTINCT NULL, name FROM identifier JOIN collection ON number = collection WHERE id IS NULL"
            )
            for _, name in rows:
                collections.setdefault(None, set()).add(name)
        for some in _slices([one for one in remaining if one is not None]):
            marks = ", ".join("?" * len(some))
            for one, name in self._connection.execute(
                f"SELECT id, name FROM identifier JOIN collection ON number = collection WHERE id IN ({marks})",  # noqa: S608
                some,
            ):
                collections.setdefault(one, set()).add(name)
        return {one: frozenset(names) for one, names in collections.items()}

    def duplicates(self) -> Iterator[tuple[str, dict[str, int]]]:
        """Each id that several documents have, with the number of these documents by collection."""
        rows = self._connection.execute(
            "SELECT id, name, count(*) FROM identifier JOIN collection ON number = collection WHERE id IN "
            "(SELECT id FROM identifier WHERE id IS NOT NULL GROUP BY id HAVING count(*) > 1) GROUP BY id, name ORDER BY id"
        )
        last: str | None = None
        counts: dict[str, int] = {}
        for one, name, count in rows:
            if one != last:
                if last is not None:
                    yield last, counts
                last, counts = one, {}
            counts[name] = count
        if last is not None:
            yield last, counts


@contextmanager
def scratch_database(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database file, which need not survive a crash, for as long as the block lasts."""
    # Sorting needs space beside the file: the system's folder for temporary files may be small or in memory.
    os.environ["SQLITE_TMPDIR"] = str(path.parent)
    with writing(path), closing(sqlite3.connect(path)) as connection:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KILOBYTES}"):
            connection.execute(f"PRAGMA {pragma}")
        yield connection
        connection.commit()


def _slices(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _IDS_PER_QUERY):
        yield ids[start : start + _IDS_PER_QUERY]
