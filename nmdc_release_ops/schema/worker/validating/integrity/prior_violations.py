"""Which violations between documents the data had before the migration.

A reference is old only if the archive shows the same one: the same field of the same document named the same target at
least as often, and that was a violation of the same kind by the rules of the schema that the database had. Everything else
is new. The archive is read only if there are violations, and once, for the documents and the target ids concerned.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...disk import writing
from ...process_pool import Crew
from ..compiled import Document
from ..violations import Violation, key_of, lookup_of
from .archived_file import ArchivedFile
from .identifiers import scratch_file
from .references import ReferenceRules
from .violation_store import DUPLICATE, Found

_AT_ONCE = 500


@dataclass(frozen=True)
class Before:
    """The database as it was before the migration.

    Attributes:
        files: of the archive, by collection.
        references: file with the rules that held then, as `reference_rules.reference_rules` describes them.
    """

    files: dict[str, ArchivedFile]
    references: Path


@dataclass(frozen=True)
class _Question:
    """One file of the archive, to be read for what is in question.

    Attributes:
        found: file with the violations.
        answer: file to write.
    """

    collection: str
    file: ArchivedFile
    references: Path
    found: Path
    answer: Path


class Earlier:
    """What the archive says of documents and ids that are in question."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    @contextmanager
    def looked_up(cls, before: Before, found: Found, crew: Crew, scratch: Path) -> Iterator["Earlier"]:
        """Read the archive for what is in question.

        Args:
            found: what is; nothing is added to it any more.
            scratch: folder for files that are gone afterwards.

        Raises:
            ArchiveFileDamaged: a file is missing, or its sha256 is not the manifest's.
            NotWritten: the disk is full.
        """
        found.commit()
        by_size = sorted(before.files.items(), key=lambda item: -item[1].size())
        questions = (
            _Question(name, file, before.references, found.path, scratch / f"{number}.before")
            for number, (name, file) in enumerate(by_size)
        )
        with scratch_file(scratch / "before") as connection:
            connection.execute("CREATE TABLE reference (key TEXT, slot TEXT, lookup TEXT, allowed TEXT)")
            connection.execute("CREATE TABLE identifier (lookup TEXT, collection TEXT)")
            for answered in crew.do(answer, questions):
                with answered.open(encoding="utf-8") as lines:
                    for row in map(json.loads, lines):
                        into = "identifier VALUES (?, ?)" if len(row) == 2 else "reference VALUES (?, ?, ?, ?)"
                        connection.execute(f"INSERT INTO {into}", row)
                answered.unlink()
            connection.execute("CREATE INDEX by_reference ON reference (key, slot, lookup)")
            connection.execute("CREATE INDEX by_lookup ON identifier (lookup)")
            yield cls(connection)

    def had(self, violation: Violation, times: int) -> bool:
        """Whether the data had this violation before the migration, at least this many times."""
        rows = self._connection.execute("SELECT collection FROM identifier WHERE lookup = ?", (violation.lookup,))
        places = Counter(name for (name,) in rows)
        if violation.kind == DUPLICATE:
            return all(count <= places[name] for name, count in violation.sharing.items())
        now = set(violation.found_in)
        if not now <= places.keys() or (places and not now):
            # The target is new, was in another collection, or is gone.
            return False
        allowed = self._connection.execute(
            "SELECT allowed, count(*) FROM reference WHERE key = ? AND slot = ? AND lookup = ? GROUP BY allowed",
            (violation.key, violation.slot, violation.lookup),
        )
        before = sum(count for names, count in allowed if places.keys().isdisjoint(json.loads(names)))
        return bool(before >= times)


def answer(question: _Question) -> Path:
    """Write what a collection of the archive says, a line for each id and for each reference that is in question."""
    rules = ReferenceRules(json.loads(question.references.read_text(encoding="utf-8")))
    found = sqlite3.connect(f"{question.found.as_uri()}?mode=ro", uri=True)
    nobody = lookup_of(None)
    told_of_nobody = question.collection not in rules.collections_with_ids()
    with writing(question.answer), question.answer.open("w", encoding="utf-8") as file:
        for documents in _batches(question.file.documents()):
            ids = [lookup_of(one) for document in documents if _is_id(one := document.get("id"))]
            asked = _asked(found, "lookup", ids)
            for one in ids:
                # For documents without an id, one is enough: there may be millions.
                if one in asked and not (one == nobody and told_of_nobody):
                    told_of_nobody = told_of_nobody or one == nobody
                    file.write(json.dumps([one, question.collection]) + "\n")
            keys = [key_of(question.collection, document) for document in documents]
            asked = _asked(found, "key", keys)
            for key, document in zip(keys, documents, strict=True):
                if key in asked:
                    for reference in _references(rules, question.collection, document):
                        file.write(json.dumps([key, *reference]) + "\n")
    found.close()
    return question.answer


def _is_id(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _references(rules: ReferenceRules, collection: str, document: Document) -> Iterator[tuple[str, str, str]]:
    """Each reference of a document: its field, its target, and the collections where the target was allowed."""
    for rule in rules.of(collection, document.get("type")):
        if rule.name in document:
            value = document[rule.name]
            allowed = json.dumps(sorted(rule.allowed))
            for target in value if isinstance(value, list) else [value]:
                yield rule.name, lookup_of(target), allowed


def _asked(found: sqlite3.Connection, column: str, values: Sequence[str]) -> set[str]:
    """Those of the values that some violation names."""
    marks = ", ".join("?" * len(values))
    rows = found.execute(f"SELECT DISTINCT {column} FROM violation WHERE {column} IN ({marks})", values)  # noqa: S608
    return {value for (value,) in rows}


def _batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    for document in documents:
        batch.append(document)
        if len(batch) == _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch
