"""Whether a collection holds exactly the documents that it should: by sums of digests, and where these differ, by key."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from nmdc_release_ops.files import writing_database
from nmdc_release_ops.mongo.delta.delta import Contains
from nmdc_release_ops.mongo.delta.keys import key_of
from nmdc_release_ops.mongo.promoting.staged_documents import digest

BUCKETS = 1 << 14
"""Only the documents of buckets whose sums differ are compared one by one."""
FEW_KEYS = 5
"""How many of the documents that differ are named."""
_ONE_DOCUMENT = 1 << 128
_CACHE_KIB = 65_536
_TABLES = "CREATE TABLE document (key BLOB PRIMARY KEY, wanted BLOB, found BLOB) WITHOUT ROWID"

Digested = Iterable[tuple[bytes, bytes]]
"""The key of each document (`mongo.delta.keys`) with the digest of its content. The digest of no document is empty."""


@dataclass(frozen=True)
class Compared:
    """How a collection differs from what it should hold.

    Attributes:
        documents: how many it should hold.
        differing: how many are missing, different or too many.
        first: the keys of the first `FEW_KEYS` of them.
        left_out: how many more differ that are known to have been written since.
    """

    documents: int
    differing: int = 0
    first: tuple[bytes, ...] = ()
    left_out: int = 0


def digest_documents(documents: Iterable[bytes]) -> Digested:
    """The digests of documents, as BSON."""
    for document in documents:
        yield key_of(document), digest(document)


def compare_documents(
    wanted: Callable[[], Digested],
    found: Callable[[], Digested],
    file: Path,
    written_since: Callable[[], Contains],
) -> Compared:
    """Compare the documents that a collection should hold with those that it holds, in any order.

    Both are read once where they agree, and once more where they do not. Memory does not grow with their number.

    Args:
        wanted: reads the documents that it should hold.
        found: reads those that it holds.
        file: a path for documents that may differ; it is removed.
        written_since: called after `found` was read; gives the keys that were written since `wanted` was true.

    Raises:
        FileNotWritten
        Whatever `wanted`, `found` and `written_since` raise.
    """
    sums = _Sums(wanted())
    suspect = sums.find_differing(_Sums(found()))
    if not suspect:
        return Compared(sums.documents)
    with _Suspects(file) as suspects:
        suspects.add_wanted(_only(wanted(), suspect))
        suspects.add_found(_only(found(), suspect))
        is_written = written_since()
        differing = left_out = 0
        first: list[bytes] = []
        for key in suspects.find_differing():
            if is_written(key):
                left_out += 1
                continue
            differing += 1
            if len(first) < FEW_KEYS:
                first.append(key)
    return Compared(sums.documents, differing, tuple(first), left_out)


def _bucket(key: bytes) -> int:
    return hash(key) % BUCKETS


def _only(digested: Digested, buckets: frozenset[int]) -> Digested:
    return ((key, one) for key, one in digested if _bucket(key) in buckets)


class _Sums:
    """The sum of the digests of documents, by bucket. Documents with the same sums are the same, in whatever order they came:
    that two different sets have the same sum is as improbable as that two documents have the same digest.

    Attributes:
        documents: how many there are.
    """

    def __init__(self, digested: Digested) -> None:
        self._sums = [0] * BUCKETS
        self.documents = 0
        for key, one in digested:
            self._sums[_bucket(key)] += int.from_bytes(one) + _ONE_DOCUMENT
            self.documents += 1

    def find_differing(self, other: Self) -> frozenset[int]:
        """The buckets that differ."""
        return frozenset(number for number, sum_ in enumerate(self._sums) if sum_ != other._sums[number])


class _Suspects:
    """Documents by key, with the digest that they should have and the one that they have, in one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.unlink(missing_ok=True)
        with writing_database(path):
            self._connection = sqlite3.connect(path)
            # After a crash it is not read.
            self._connection.execute("PRAGMA journal_mode = OFF")
            self._connection.execute("PRAGMA synchronous = OFF")
            self._connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            self._connection.execute(_TABLES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._path.unlink(missing_ok=True)

    def add_wanted(self, digested: Digested) -> None:
        with writing_database(self._path), self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO document (key, wanted) VALUES (?, ?)", digested)

    def add_found(self, digested: Digested) -> None:
        with writing_database(self._path), self._connection:
            self._connection.executemany(
                "INSERT INTO document (key, found) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET found = excluded.found",
                digested,
            )

    def find_differing(self) -> Iterator[bytes]:
        for (key,) in self._connection.execute("SELECT key FROM document WHERE wanted IS NOT found ORDER BY key"):
            yield key
