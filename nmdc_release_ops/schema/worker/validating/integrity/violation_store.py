"""All violations between documents, in a file of any size: dangling and misplaced references, and duplicate ids."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ..violations import Violation, key_of_target
from .identifiers import scratch_database

DUPLICATE = "duplicate id"


class ViolationStore:
    """Every violation between documents, in a file.

    Attributes:
        path: of the file. Other processes may read it after `commit`.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self.path = path

    @classmethod
    @contextmanager
    def create(cls, path: Path) -> Iterator["ViolationStore"]:
        """Create the file, for as long as the block lasts."""
        path.unlink(missing_ok=True)
        with scratch_database(path) as connection:
            connection.execute("CREATE TABLE violation (document_key TEXT, slot TEXT, target_key TEXT, json TEXT)")
            yield cls(connection, path)

    def add(self, violation: Violation) -> None:
        row = violation.document_key, violation.slot, violation.target_key, violation.to_json()
        self._connection.execute("INSERT INTO violation VALUES (?, ?, ?, ?)", row)

    def move_in(self, part: Path) -> None:
        """Add the violations of a file with a line for each, and remove the file."""
        with part.open(encoding="utf-8") as lines:
            for line in lines:
                self.add(Violation.from_json(line))
        part.unlink()

    @property
    def is_empty(self) -> bool:
        return self._connection.execute("SELECT 1 FROM violation").fetchone() is None

    def commit(self) -> None:
        """Call after the last `add`: builds the indexes for looking up documents and ids."""
        for column in ("document_key", "target_key"):
            self._connection.execute(f"CREATE INDEX by_{column} ON violation ({column})")
        self._connection.execute(
            "CREATE TABLE repetition (document_key TEXT, slot TEXT, target_key TEXT, times INTEGER, "
            "PRIMARY KEY (document_key, slot, target_key)) WITHOUT ROWID"
        )
        self._connection.execute(
            "INSERT INTO repetition SELECT document_key, slot, target_key, count(*) FROM violation "
            "GROUP BY document_key, slot, target_key"
        )
        self._connection.commit()

    def violations(self) -> Iterator[Violation]:
        """All violations, without whether they are new."""
        for (text,) in self._connection.execute("SELECT json FROM violation ORDER BY rowid"):
            yield Violation.from_json(text)

    def compared_violations(self, is_old: Callable[[Violation, int], bool]) -> Iterator[Violation]:
        """All violations, with whether they are new. Call `commit` first.

        Args:
            is_old: whether the data had a violation before the migration, at least a number of times. The number is how
                many references in the same field of the same document name the same target now.
        """
        rows = self._connection.execute(
            "SELECT json, times FROM violation JOIN repetition USING (document_key, slot, target_key) "
            "ORDER BY violation.rowid"
        )
        for text, times in rows:
            violation = Violation.from_json(text)
            yield replace(violation, new=not is_old(violation, times))


def duplicate_id(identifier: str, counts: dict[str, int]) -> Violation:
    """The violation of an id that several documents have.

    Args:
        counts: the number of these documents by collection.
    """
    where = ", ".join(f"{count} in {name}" for name, count in sorted(counts.items()))
    return Violation(
        collection=min(counts),
        id=identifier,
        class_name="",
        path="/id",
        kind=DUPLICATE,
        message=f"{sum(counts.values())} documents have this id: {where}",
        target=identifier,
        target_key=key_of_target(identifier),
        shared_by=counts,
    )
