"""A file that rounds change, and which round does: after a crash it is known whether its change is to be kept or taken back."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from nmdc_release_ops.files import writing_database


class RoundMark:
    """The name of the round that changes a file, kept in the file itself from `begin` until `end`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        connection.execute("CREATE TABLE IF NOT EXISTS round (one INTEGER PRIMARY KEY CHECK (one = 1), name TEXT)")

    @property
    def name(self) -> str | None:
        """Of the round that began to change the file; None if all changes were kept or taken back."""
        found = self._connection.execute("SELECT name FROM round").fetchone()
        return None if found is None else str(found[0])

    def begin(self, name: str) -> None:
        """Call before the round changes anything.

        Raises:
            FileNotWritten
        """
        with writing_database(self._path), self._connection:
            self._connection.execute("INSERT OR REPLACE INTO round VALUES (1, ?)", (name,))

    def end(self) -> None:
        """Within the transaction that keeps the changes, or takes them back."""
        self._connection.execute("DELETE FROM round")


class RoundFile:
    """A file of SQLite that rounds change. Memory does not grow with what it holds.

    Attributes:
        round: see `RoundMark`.
    """

    def __init__(self, path: Path, tables: str, cache_kib: int) -> None:
        """Open the file, which is created if it is missing.

        Args:
            tables: what creates them where they are missing.

        Raises:
            FileNotWritten
        """
        self.path = path
        with writing_database(path):
            self._connection = sqlite3.connect(path, check_same_thread=False)
            self._connection.execute(f"PRAGMA cache_size = -{cache_kib}")
            self._connection.executescript(tables)
            self.round = RoundMark(path, self._connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction.

        Raises:
            FileNotWritten
        """
        with writing_database(self.path), self._connection:
            yield
