"""What each staged document is, by a digest, so that only those that come out different are written again."""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Self

from nmdc_release_ops.files import writing_database
from nmdc_release_ops.mongo.delta.keys import key_of

_AT_ONCE = 500
_CACHE_KIB = 32_768
_TABLES = """
CREATE TABLE IF NOT EXISTS staged (
    collection TEXT NOT NULL, key BLOB NOT NULL, digest BLOB, PRIMARY KEY (collection, key)
) WITHOUT ROWID;
"""


class StagedDocuments:
    """The digest of each staged document by collection and key, in one file.

    Before a staged document is written its digest is forgotten, and noted again after it: after a crash in between it counts as
    different from anything.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, which is created if it is missing.

        Raises:
            FileNotWritten
        """
        self.path = path
        with writing_database(path):
            self._connection = sqlite3.connect(path, check_same_thread=False)
            self._connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            self._connection.executescript(_TABLES)
        self.matched = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def count(self, collection: str) -> int:
        """How many documents are staged, or being written."""
        found = self._connection.execute("SELECT count(*) FROM staged WHERE collection = ?", (collection,)).fetchone()
        return int(found[0])

    def unfinished(self, collection: str) -> frozenset[bytes]:
        """The keys of the documents that were being written when a process died; a thousand at most for each time."""
        rows = self._connection.execute("SELECT key FROM staged WHERE collection = ? AND digest IS NULL", (collection,))
        return frozenset(key for (key,) in rows)

    def differing(self, collection: str, documents: Iterable[bytes]) -> Iterator[bytes]:
        """Those of the documents, as BSON, that are not staged as they are.

        Afterwards `matched` is how many of them are staged at all.
        """
        self.matched = 0
        left = iter(documents)
        while some := list(islice(left, _AT_ONCE)):
            keys = [key_of(document) for document in some]
            known = self._digests(collection, keys)
            self.matched += len(known)
            for key, document in zip(keys, some, strict=True):
                if known.get(key) != digest(document):
                    yield document

    def others(self, collection: str, keys: Iterable[bytes]) -> list[bytes]:
        """The keys of staged documents that are not among `keys`.

        Raises:
            FileNotWritten
        """
        with writing_database(self.path), self._connection:
            self._connection.execute("CREATE TEMP TABLE IF NOT EXISTS present (key BLOB PRIMARY KEY) WITHOUT ROWID")
            self._connection.execute("DELETE FROM present")
            self._connection.executemany("INSERT OR IGNORE INTO present VALUES (?)", ((key,) for key in keys))
        rows = self._connection.execute(
            "SELECT key FROM staged WHERE collection = ? AND key NOT IN (SELECT key FROM present)", (collection,)
        )
        return [key for (key,) in rows]

    def _digests(self, collection: str, keys: list[bytes]) -> dict[bytes, bytes | None]:
        marks = ", ".join("?" * len(keys))
        rows = self._connection.execute(
            f"SELECT key, digest FROM staged WHERE collection = ? AND key IN ({marks})",  # noqa: S608
            (collection, *keys),
        )
        return dict(rows)

    def forget(self, collection: str, keys: Iterable[bytes]) -> None:
        """These documents are about to be written or deleted.

        Raises:
            FileNotWritten
        """
        with writing_database(self.path), self._connection:
            self._connection.executemany(
                "INSERT OR REPLACE INTO staged VALUES (?, ?, NULL)", ((collection, key) for key in keys)
            )

    def note(self, collection: str, documents: Iterable[bytes], deleted: Iterable[bytes]) -> None:
        """These documents, as BSON, were written, and those with the keys `deleted` deleted.

        Raises:
            FileNotWritten
        """
        with writing_database(self.path), self._connection:
            self._connection.executemany(
                "DELETE FROM staged WHERE collection = ? AND key = ?", ((collection, key) for key in deleted)
            )
            self._connection.executemany(
                "INSERT OR REPLACE INTO staged VALUES (?, ?, ?)",
                ((collection, key_of(document), digest(document)) for document in documents),
            )

    def drop_all(self) -> None:
        """Nothing is staged.

        Raises:
            FileNotWritten
        """
        with writing_database(self.path), self._connection:
            self._connection.execute("DELETE FROM staged")

    def drop(self, collection: str) -> None:
        """Nothing of the collection is staged.

        Raises:
            FileNotWritten
        """
        with writing_database(self.path), self._connection:
            self._connection.execute("DELETE FROM staged WHERE collection = ?", (collection,))

    def unlike(self, collection: str, documents: Iterable[bytes]) -> Iterator[bytes]:
        """The keys of documents, as BSON, that are not as they were noted."""
        for document in self.differing(collection, documents):
            yield key_of(document)


def digest(document: bytes) -> bytes:
    """16 bytes that stand for the content of a document."""
    return hashlib.blake2b(document, digest_size=16).digest()
