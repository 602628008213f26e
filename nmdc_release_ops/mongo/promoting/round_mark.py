"""Which round changes a file, so that after a crash it is known whether the change is to be kept or taken back."""

import sqlite3
from pathlib import Path

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
