"""Which violations between documents the data had before the migration.

A violation of a reference is old only if the archive shows the same one: the same field of the same document named the same
target at least as often, and that was a violation of the same kind by the rules of the schema that the database had. All
others are new. The archive is read only if there are violations, and once, for the documents and target ids concerned.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...disk import writing
from ...process_pool import ProcessPool
from ..archived_blocks import ArchivedBlock, ArchivedFile
from ..batch import LENIENT
from ..compiled import Document
from ..violations import Violation, key_of_document, key_of_target
from .identifiers import scratch_database
from .references import ReferenceRules
from .violation_store import DUPLICATE, ViolationStore

_DOCUMENTS_PER_QUERY = 500


@dataclass(frozen=True)
class ArchivedDatabase:
    """The database before the migration.

    Attributes:
        list_files: gives the files of the archive, given the file of the `ViolationStore`; files that hold only the documents and
            ids that violations name do as well.
        references: file with the rules of that time, which `reference_rules.reference_rules` wrote.
    """

    list_files: Callable[[Path], Sequence[ArchivedFile]]
    references: Path


@dataclass(frozen=True)
class _Search:
    """A block of the archive, to be searched for documents and ids that violations name.

    Attributes:
        violations: file of the `ViolationStore`.
        output: file to write.
    """

    block: ArchivedBlock
    references: Path
    violations: Path
    output: Path


class PriorViolations:
    """What the archive holds of the documents and ids that violations name."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    @contextmanager
    def read(
        cls, archived: ArchivedDatabase, store: ViolationStore, pool: ProcessPool, scratch: Path
    ) -> Iterator["PriorViolations"]:
        """Search the archive.

        Args:
            store: the violations; nothing may be added to it afterwards.
            scratch: folder for temporary files.

        Raises:
            ArchiveFileDamaged: a file is missing, or a block is not what the manifest describes.
            NotWritten: the disk is full.
        """
        store.commit()
        # The largest first: where `mongodump` wrote a file, it is one block.
        blocks = sorted(
            (block for file in archived.list_files(store.path) for block in file.blocks()),
            key=lambda block: -block.size,
        )
        searches = (
            _Search(block, archived.references, store.path, scratch / f"{number}.before")
            for number, block in enumerate(blocks)
        )
        with scratch_database(scratch / "before") as connection:
            connection.execute("CREATE TABLE reference (document_key TEXT, slot TEXT, target_key TEXT, allowed TEXT)")
            connection.execute("CREATE TABLE identifier (target_key TEXT, collection TEXT)")
            for output in pool.map(search, searches):
                with output.open(encoding="utf-8") as lines:
                    for row in map(json.loads, lines):
                        into = "identifier VALUES (?, ?)" if len(row) == 2 else "reference VALUES (?, ?, ?, ?)"
                        connection.execute(f"INSERT INTO {into}", row)
                output.unlink()
            connection.execute("CREATE INDEX by_reference ON reference (document_key, slot, target_key)")
            connection.execute("CREATE INDEX by_target ON identifier (target_key)")
            yield cls(connection)

    def contains(self, violation: Violation, times: int) -> bool:
        """Whether the data had this violation before the migration, at least `times` times."""
        rows = self._connection.execute(
            "SELECT collection FROM identifier WHERE target_key = ?", (violation.target_key,)
        )
        collections = Counter(name for (name,) in rows)
        if violation.kind == DUPLICATE:
            return all(count <= collections[name] for name, count in violation.shared_by.items())
        found_in = set(violation.found_in)
        if not found_in <= collections.keys() or (collections and not found_in):
            # The target is new, moved from another collection, or was deleted.
            return False
        rows = self._connection.execute(
            "SELECT allowed, count(*) FROM reference WHERE document_key = ? AND slot = ? AND target_key = ? "
            "GROUP BY allowed",
            (violation.document_key, violation.slot, violation.target_key),
        )
        times_before = sum(count for names, count in rows if collections.keys().isdisjoint(json.loads(names)))
        return bool(times_before >= times)


def search(request: _Search) -> Path:
    """Search a block of the archive; write a line for each id and each reference that a violation names."""
    rules = ReferenceRules(json.loads(request.references.read_text(encoding="utf-8")))
    violations = sqlite3.connect(f"{request.violations.as_uri()}?mode=ro", uri=True)
    collection = request.block.collection
    null = key_of_target(None)
    # Null counts as the id of documents without one. One such document is enough: there may be millions.
    null_is_written = collection not in rules.collections_with_ids()
    with writing(request.output), request.output.open("w", encoding="utf-8") as file:
        for documents in _read_documents(request.block):
            ids = [key_of_target(one) for document in documents if _is_id(one := document.get("id"))]
            named = _named_by_violations(violations, "target_key", ids)
            for one in ids:
                if one in named and not (one == null and null_is_written):
                    null_is_written = null_is_written or one == null
                    file.write(json.dumps([one, collection]) + "\n")
            keys = [key_of_document(collection, document) for document in documents]
            named = _named_by_violations(violations, "document_key", keys)
            for key, document in zip(keys, documents, strict=True):
                if key in named:
                    for reference in _references(rules, collection, document):
                        file.write(json.dumps([key, *reference]) + "\n")
    violations.close()
    return request.output


def _is_id(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _references(rules: ReferenceRules, collection: str, document: Document) -> Iterator[tuple[str, str, str]]:
    """Each reference of a document: its field, the key of its target, and the collections where the target was allowed."""
    for rule in rules.of(collection, document.get("type")):
        if rule.name in document:
            value = document[rule.name]
            allowed = json.dumps(sorted(rule.allowed))
            for target in value if isinstance(value, list) else [value]:
                yield rule.name, key_of_target(target), allowed


def _named_by_violations(violations: sqlite3.Connection, column: str, keys: Sequence[str]) -> set[str]:
    """Those of the keys that some violation names."""
    marks = ", ".join("?" * len(keys))
    rows = violations.execute(f"SELECT DISTINCT {column} FROM violation WHERE {column} IN ({marks})", keys)  # noqa: S608
    return {key for (key,) in rows}


def _read_documents(block: ArchivedBlock) -> Iterator[list[Document]]:
    """The documents of a block, some at a time, without those that cannot be decoded: nothing shows what is in them."""
    for whole in block.batches(lambda: LENIENT, _DOCUMENTS_PER_QUERY):
        for batch in whole.split(LENIENT):
            if batch.documents is not None:
                yield batch.documents
