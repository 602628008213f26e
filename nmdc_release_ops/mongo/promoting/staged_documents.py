"""What each staged document is, by a digest, so that only those that come out different are written again."""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from nmdc_release_ops.mongo.delta.keys import key_of
from nmdc_release_ops.mongo.promoting.round_file import RoundFile

_AT_ONCE = 500
_CACHE_KIB = 32_768
_MISSING = b""
_TABLES = """
CREATE TABLE IF NOT EXISTS staged (
    collection TEXT NOT NULL, key BLOB NOT NULL, digest BLOB, PRIMARY KEY (collection, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS changed (
    collection TEXT NOT NULL, key BLOB NOT NULL, PRIMARY KEY (collection, key)
) WITHOUT ROWID;
"""


class StagedDocuments(RoundFile):
    """The digest of each staged document by collection and key, in one file.

    Before a staged document is written its digest is forgotten, and noted again after it: after a crash in between it counts as
    different from anything. So does, after `roll_back`, whatever a round wrote or deleted that did not come to its end: what was
    noted about these documents elsewhere was taken back too.

    Attributes:
        matched: see `differing` and `unlike`.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, which is created if it is missing.

        Raises:
            FileNotWritten
        """
        super().__init__(path, _TABLES, _CACHE_KIB)
        self.matched = 0

    def count(self, collection: str) -> int:
        """How many documents are staged, or being written."""
        found = self._connection.execute("SELECT count(*) FROM staged WHERE collection = ?", (collection,)).fetchone()
        return int(found[0])

    def digests(self, collection: str) -> Iterator[tuple[bytes, bytes]]:
        """The key and the digest of each staged document; the digest is empty while it is being written."""
        for key, noted in self._connection.execute(
            "SELECT key, digest FROM staged WHERE collection = ?", (collection,)
        ):
            yield key, noted or b""

    def differing(self, collection: str, documents: Iterable[bytes]) -> Iterator[bytes]:
        """Those of the documents, as BSON, that are not staged as they are.

        Afterwards `matched` is how many of them are staged at all.
        """
        self.matched = 0
        for _key, document, noted in self._with_digests(collection, documents):
            self.matched += noted != _MISSING
            if noted != digest(document):
                yield document

    def others(self, collection: str, keys: Iterable[bytes]) -> list[bytes]:
        """The keys of staged documents that are not among `keys`.

        Raises:
            FileNotWritten
        """
        with self._writing():
            self._connection.execute("CREATE TEMP TABLE IF NOT EXISTS present (key BLOB PRIMARY KEY) WITHOUT ROWID")
            self._connection.execute("DELETE FROM present")
            self._connection.executemany("INSERT OR IGNORE INTO present VALUES (?)", ((key,) for key in keys))
        rows = self._connection.execute(
            "SELECT key FROM staged WHERE collection = ? AND key NOT IN (SELECT key FROM present)", (collection,)
        )
        return [key for (key,) in rows]

    def _with_digests(self, collection: str, documents: Iterable[bytes]) -> Iterator[tuple[bytes, bytes, bytes | None]]:
        """Each document, as BSON, with its key before it, and after it the digest that was noted: None while it is being written,
        `_MISSING` if it is not staged.
        """
        left = iter(documents)
        while some := list(islice(left, _AT_ONCE)):
            keys = [key_of(document) for document in some]
            marks = ", ".join("?" * len(keys))
            rows = self._connection.execute(
                f"SELECT key, digest FROM staged WHERE collection = ? AND key IN ({marks})",  # noqa: S608
                (collection, *keys),
            )
            noted: dict[bytes, bytes | None] = dict(rows)
            yield from ((key, one, noted.get(key, _MISSING)) for key, one in zip(keys, some, strict=True))

    def forget(self, collection: str, keys: Iterable[bytes]) -> None:
        """These documents are about to be written or deleted.

        Raises:
            FileNotWritten
        """
        rows = [(collection, key) for key in keys]
        with self._writing():
            self._connection.executemany("INSERT OR IGNORE INTO changed VALUES (?, ?)", rows)
            self._connection.executemany("INSERT OR REPLACE INTO staged VALUES (?, ?, NULL)", rows)

    def note(self, collection: str, documents: Iterable[bytes], deleted: Iterable[bytes]) -> None:
        """These documents, as BSON, were written, and those with the keys `deleted` deleted.

        Raises:
            FileNotWritten
        """
        with self._writing():
            self._connection.executemany(
                "DELETE FROM staged WHERE collection = ? AND key = ?", ((collection, key) for key in deleted)
            )
            self._connection.executemany(
                "INSERT OR REPLACE INTO staged VALUES (?, ?, ?)",
                ((collection, key_of(document), digest(document)) for document in documents),
            )

    def drop(self, collection: str) -> None:
        """Nothing of the collection is staged.

        Raises:
            FileNotWritten
        """
        with self._writing():
            self._connection.execute(
                "INSERT OR IGNORE INTO changed SELECT collection, key FROM staged WHERE collection = ?", (collection,)
            )
            self._connection.execute("DELETE FROM staged WHERE collection = ?", (collection,))

    def commit(self) -> None:
        """Keep what the round noted.

        Raises:
            FileNotWritten
        """
        with self._writing():
            self._connection.execute("DELETE FROM changed")
            self.round.end()

    def roll_back(self) -> None:
        """Hold what the round changed for different from anything.

        Raises:
            FileNotWritten
        """
        with self._writing():
            self._connection.execute("INSERT OR REPLACE INTO staged SELECT collection, key, NULL FROM changed")
            self._connection.execute("DELETE FROM changed")
            self.round.end()

    def unlike(self, collection: str, documents: Iterable[bytes]) -> Iterator[bytes]:
        """The keys of documents, as BSON, that are not as they were noted.

        Those that were being written when a round was interrupted are passed over: the next round writes them again. Afterwards
        `matched` is how many are as they were noted.
        """
        self.matched = 0
        for key, document, noted in self._with_digests(collection, documents):
            if noted == digest(document):
                self.matched += 1
            elif noted is not None:
                yield key

    def count_noted(self, collection: str) -> int:
        """How many documents are staged, without those that were being written."""
        found = self._connection.execute(
            "SELECT count(*) FROM staged WHERE collection = ? AND digest IS NOT NULL", (collection,)
        ).fetchone()
        return int(found[0])


def digest(document: bytes) -> bytes:
    """16 bytes that stand for the content of a document."""
    return hashlib.blake2b(document, digest_size=16).digest()
