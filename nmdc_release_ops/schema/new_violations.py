"""Which violations are new since the last audit: files of any length are compared, of which little is kept in memory."""

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nmdc_release_ops.files import writing, writing_database

FIRST = 50
"""How many of the new ones are listed in `NewViolations.first`."""


@dataclass(frozen=True)
class NewViolations:
    """A comparison of the violations of two audits.

    Attributes:
        by_kind: all that there are now, by kind.
        new: those that the last audit did not find.
        documents: that have new ones.
        gone: those that the last audit found and this one did not.
        first: the first new ones, as the worker reported them.
    """

    by_kind: Mapping[str, int]
    new: int
    documents: int
    gone: int
    first: Sequence[Mapping[str, Any]]

    @property
    def total(self) -> int:
        return sum(self.by_kind.values())


def find_new_violations(now: Path, before: Path | None, new: Path) -> NewViolations:
    """Compare the violations of two audits, and write those that are new to a file of their own.

    A violation is the same if it is of the same document (by collection, and by `id` or else `_id`), of the same kind, and says
    the same; its place in the document may have moved. Where a document has more of the same than before, the rest is new.

    Args:
        now: of this audit, JSON lines.
        before: of the last one; None if there was none, and then all are new.
        new: to be written, JSON lines.

    Raises:
        FileNotWritten.
    """
    scratch = new.with_suffix(".sqlite")
    scratch.unlink(missing_ok=True)
    by_kind: Counter[str] = Counter()
    first: list[Mapping[str, Any]] = []
    count = documents = 0
    with writing_database(scratch), closing(sqlite3.connect(scratch)) as seen, writing(new), new.open("wb") as file:
        # It need not survive a crash.
        seen.execute("PRAGMA journal_mode = OFF")
        seen.execute("PRAGMA synchronous = OFF")
        seen.execute("CREATE TABLE violation (digest BLOB PRIMARY KEY, not_found INTEGER) WITHOUT ROWID")
        seen.execute("CREATE TABLE document (digest BLOB PRIMARY KEY) WITHOUT ROWID")
        for _, violation in _read(before) if before else ():
            seen.execute(
                "INSERT INTO violation VALUES (?, 1) ON CONFLICT DO UPDATE SET not_found = not_found + 1",
                (_digest_violation(violation),),
            )
        for line, violation in _read(now):
            by_kind[violation["violation"]] += 1
            if seen.execute(
                "UPDATE violation SET not_found = not_found - 1 WHERE digest = ? AND not_found > 0",
                (_digest_violation(violation),),
            ).rowcount:
                continue
            count += 1
            document = (_digest(violation["collection"], violation["id"]),)
            documents += seen.execute("INSERT OR IGNORE INTO document VALUES (?)", document).rowcount
            file.write(line)
            if len(first) < FIRST:
                first.append(violation)
        (gone,) = seen.execute("SELECT coalesce(sum(not_found), 0) FROM violation").fetchone()
    scratch.unlink()
    return NewViolations(dict(by_kind), count, documents, int(gone), first)


def _read(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    with path.open("rb") as lines:
        for line in lines:
            yield line, json.loads(line)


def _digest_violation(violation: Mapping[str, Any]) -> bytes:
    return _digest(*(violation[key] for key in ("collection", "id", "violation", "message")))


def _digest(*parts: Any) -> bytes:
    return hashlib.sha256(json.dumps(parts).encode()).digest()
