"""A delta on disk: the keys of the documents that were written, and the collections that were themselves changed."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Self

from nmdc_release_ops.files import writing_database
from nmdc_release_ops.mongo.server.clock import ClusterTime

Contains = Callable[[bytes], bool]
"""Whether a key is in the delta."""

FEW_KEYS = 200_000
"""Of one collection, to be held in memory."""
_MOST_BITS = 1 << 28
"""32 MB; with 30 million keys one key in ten that is not in the delta is looked up on disk."""
_BITS_A_KEY = 16
_CACHE_KIB = 65_536
_KEYS_AT_ONCE = 100_000
_TABLES = """
CREATE TABLE IF NOT EXISTS collections (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, keys INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS keys (
    collection INTEGER NOT NULL, key BLOB NOT NULL, PRIMARY KEY (collection, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS redefined (name TEXT NOT NULL, operation TEXT NOT NULL, PRIMARY KEY (name, operation));
CREATE TABLE IF NOT EXISTS position (one INTEGER PRIMARY KEY CHECK (one = 1), token BLOB, seconds INTEGER, increment INTEGER);
"""


@dataclass(frozen=True)
class Position:
    """How far a change stream was read.

    Attributes:
        token: a resume token, as BSON; everything before it is in the delta. None if nothing has been read.
        passed: the last moment up to which the delta is known to be complete.
    """

    token: bytes | None = None
    passed: ClusterTime | None = None


@dataclass
class Batch:
    """What is added to a delta at once.

    Attributes:
        keys: by collection.
        redefined: the operations that changed a collection itself, by collection.
    """

    keys: dict[str, set[bytes]] = field(default_factory=dict)
    redefined: dict[str, set[str]] = field(default_factory=dict)


class Delta:
    """The keys of written documents by collection, in one file. Memory does not grow with their number.

    What a `Batch` adds and the position that belongs to it are kept together or not at all: whoever was killed reads on
    from the position.
    """

    def __init__(self, path: Path) -> None:
        """Open the delta at `path`, which is created if it is missing.

        Raises:
            FileNotWritten
        """
        self.path = path
        with writing_database(path):
            self._connection = _connect(path)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            self._connection.executescript(_TABLES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        self._connection.close()

    def add(self, collection: str, keys: Iterable[bytes]) -> None:
        """Add keys of a collection; those that it has already change nothing.

        Raises:
            FileNotWritten
        """
        self.record(Batch(keys={collection: set(keys)}))

    def record(self, batch: Batch, position: Position | None = None) -> None:
        """Add a batch, and set the position to which it reaches.

        Raises:
            FileNotWritten: nothing of it was added.
        """
        with writing_database(self.path), self._connection:
            for name, keys in batch.keys.items():
                self._add_keys(name, keys)
            self._connection.executemany(
                "INSERT OR IGNORE INTO redefined VALUES (?, ?)",
                ((name, operation) for name, operations in batch.redefined.items() for operation in operations),
            )
            if position is not None:
                passed = position.passed
                self._connection.execute(
                    "INSERT OR REPLACE INTO position VALUES (1, ?, ?, ?)",
                    (position.token, passed and passed.seconds, passed and passed.increment),
                )

    def _add_keys(self, name: str, keys: Iterable[bytes]) -> None:
        number = self._number(name)
        # In order, neighbours fall on the same page.
        cursor = self._connection.executemany(
            "INSERT OR IGNORE INTO keys VALUES (?, ?)", ((number, key) for key in sorted(keys))
        )
        self._connection.execute(
            "UPDATE collections SET keys = keys + ? WHERE number = ?", (max(cursor.rowcount, 0), number)
        )

    def _number(self, name: str) -> int:
        found = self._connection.execute("SELECT number FROM collections WHERE name = ?", (name,)).fetchone()
        if found is None:
            found = (self._connection.execute("INSERT INTO collections (name, keys) VALUES (?, 0)", (name,)).lastrowid,)
        return int(found[0])

    @property
    def position(self) -> Position:
        """How far the stream was read."""
        found = self._connection.execute("SELECT token, seconds, increment FROM position").fetchone()
        if found is None:
            return Position()
        token, seconds, increment = found
        return Position(token, None if seconds is None else ClusterTime(seconds=seconds, increment=increment))

    @property
    def counts(self) -> Mapping[str, int]:
        """How many keys there are of each collection that has any, by name."""
        return dict(self._connection.execute("SELECT name, keys FROM collections WHERE keys > 0 ORDER BY name"))

    def count(self, collection: str) -> int:
        return self.counts.get(collection, 0)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def redefined(self) -> Mapping[str, frozenset[str]]:
        """The collections that were dropped, renamed, created or changed in their options or indexes, by name, each with the
        operations that did it, in the words of change streams.

        A server before 6.0 reports only `drop`, `rename`, `dropDatabase` and `invalidate`.
        """
        found: dict[str, frozenset[str]] = {}
        for name, operation in self._connection.execute("SELECT name, operation FROM redefined ORDER BY name"):
            found[name] = found.get(name, frozenset()) | {operation}
        return found

    def take_redefined(self) -> Mapping[str, frozenset[str]]:
        """As `redefined`; what was taken is not given again."""
        taken = self.redefined
        with writing_database(self.path), self._connection:
            self._connection.execute("DELETE FROM redefined")
        return taken

    def move_into(self, other: "Delta") -> None:
        """Add every key to another delta, and remove it from this one; the position stays.

        Raises:
            FileNotWritten
        """
        for name in self.counts:
            self.copy_into(other, name)
        other.sync()
        with writing_database(self.path), self._connection:
            self._connection.execute("DELETE FROM keys")
            self._connection.execute("UPDATE collections SET keys = 0")

    def copy_into(self, other: "Delta", collection: str) -> None:
        """Add every key of a collection to another delta.

        Raises:
            FileNotWritten
        """
        keys = self.keys(collection)
        while some := set(islice(keys, _KEYS_AT_ONCE)):
            other.add(collection, some)

    def sync(self) -> None:
        """Make what was added outlive a loss of power.

        Raises:
            FileNotWritten
        """
        with writing_database(self.path):
            self._connection.execute("PRAGMA wal_checkpoint(FULL)").fetchall()

    def keys(self, collection: str) -> Iterator[bytes]:
        """Each key of a collection once, in the order of their bytes."""
        for (key,) in self._connection.execute(
            "SELECT key FROM keys JOIN collections ON collection = number WHERE name = ? ORDER BY key", (collection,)
        ):
            yield key

    def has(self, collection: str, key: bytes) -> bool:
        """Whether a key of a collection is in the delta; for single keys, see `membership` for many."""
        found = self._connection.execute(
            "SELECT 1 FROM keys JOIN collections ON collection = number WHERE name = ? AND key = ?", (collection, key)
        )
        return found.fetchone() is not None

    def membership(self, collection: str) -> Contains:
        """A fast test of whether a key of a collection is in the delta, for many keys that mostly are not.

        It knows the keys that are in the delta now, may be used from any thread, and not after `close`.
        """
        if self.count(collection) <= FEW_KEYS:
            return frozenset(self.keys(collection)).__contains__
        return _Membership(self, collection).contains


class _Membership:
    """A bitmap of hashes in memory, and behind it the file."""

    def __init__(self, delta: Delta, collection: str) -> None:
        bits = 1 << min(delta.count(collection) * _BITS_A_KEY, _MOST_BITS).bit_length()
        self._mask = min(bits, _MOST_BITS) - 1
        self._bitmap = bytearray((self._mask + 1) // 8)
        for key in delta.keys(collection):
            place = hash(key) & self._mask
            self._bitmap[place >> 3] |= 1 << (place & 7)
        self._connection = _connect(delta.path)
        self._lock = Lock()
        (self._number,) = self._connection.execute(
            "SELECT number FROM collections WHERE name = ?", (collection,)
        ).fetchone()

    def contains(self, key: bytes) -> bool:
        place = hash(key) & self._mask
        if not self._bitmap[place >> 3] >> (place & 7) & 1:
            return False
        with self._lock:
            found = self._connection.execute("SELECT 1 FROM keys WHERE collection = ? AND key = ?", (self._number, key))
            return found.fetchone() is not None


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, check_same_thread=False)
