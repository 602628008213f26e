"""What is wrong between documents: dangling or misplaced references, ids that are not unique."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ..violations import Violation, lookup_of, unpacked
from .identifiers import scratch_file

DUPLICATE = "duplicate id"


class Found:
    """Every violation between documents, in a file that may be of any size.

    Attributes:
        path: of the file. Others may ask it after `commit`.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self.path = path

    @classmethod
    @contextmanager
    def making(cls, path: Path) -> Iterator["Found"]:
        """A new file, for as long as the block lasts."""
        path.unlink(missing_ok=True)
        with scratch_file(path) as connection:
            connection.execute("CREATE TABLE violation (key TEXT, slot TEXT, lookup TEXT, packed TEXT)")
            yield cls(connection, path)

    def add(self, violation: Violation) -> None:
        row = violation.key, violation.slot, violation.lookup, violation.packed()
        self._connection.execute("INSERT INTO violation VALUES (?, ?, ?, ?)", row)

    def take_in(self, part: Path) -> None:
        """Add the violations of a file with a line for each, and remove the file."""
        with part.open(encoding="utf-8") as lines:
            for line in lines:
                self.add(unpacked(line))
        part.unlink()

    @property
    def is_empty(self) -> bool:
        return self._connection.execute("SELECT 1 FROM violation").fetchone() is None

    def commit(self) -> None:
        """Call after the last `add`: builds the indexes for looking up documents and ids."""
        for column in ("key", "lookup"):
            self._connection.execute(f"CREATE INDEX by_{column} ON violation ({column})")
        self._connection.execute(
            "CREATE TABLE same (key TEXT, slot TEXT, lookup TEXT, times INTEGER, PRIMARY KEY (key, slot, lookup)) WITHOUT ROWID"
        )
        self._connection.execute(
            "INSERT INTO same SELECT key, slot, lookup, count(*) FROM violation GROUP BY key, slot, lookup"
        )
        self._connection.commit()

    def violations(self) -> Iterator[Violation]:
        """All of them, without whether they are new."""
        for (packed,) in self._connection.execute("SELECT packed FROM violation ORDER BY rowid"):
            yield unpacked(packed)

    def compared(self, was_there: Callable[[Violation, int], bool]) -> Iterator[Violation]:
        """All of them, with whether they are new. Call `commit` first.

        Args:
            was_there: whether the data had a violation before the migration, at least a number of times. The number is how
                many references in the same field of the same document name the same target now.
        """
        rows = self._connection.execute(
            "SELECT packed, times FROM violation JOIN same USING (key, slot, lookup) ORDER BY violation.rowid"
        )
        for packed, times in rows:
            violation = unpacked(packed)
            yield replace(violation, new=not was_there(violation, times))


def duplicate(identifier: str, counts: dict[str, int]) -> Violation:
    """The violation that an id of several documents is."""
    where = ", ".join(f"{count} in {name}" for name, count in sorted(counts.items()))
    return Violation(
        collection=min(counts),
        id=identifier,
        class_name="",
        path="/id",
        kind=DUPLICATE,
        message=f"{sum(counts.values())} documents have this id: {where}",
        target=identifier,
        lookup=lookup_of(identifier),
        sharing=counts,
    )
