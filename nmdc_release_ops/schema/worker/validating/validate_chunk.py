"""Judging a lot of documents, in a process of its own: the fast pass, LinkML on what it does not let through, and the
references in the same reading.
"""

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bson
from bson.errors import InvalidBSON
from pymongo.database import Database

from ..disk import writing
from ..release import transformer
from .chunks import LENIENT, Lot, Run, read
from .compiled import CompiledSchema, Document
from .fast_pass import Screen
from .integrity.identifiers import Id, Identifiers
from .integrity.references import ReferenceRules, References
from .violations import Groups, Violation, named

if TYPE_CHECKING:
    from .linkml_judge import Judge


@dataclass(frozen=True)
class Assignment:
    """What every process that judges has to know.

    Attributes:
        database: on the transformer.
        schema: file that `compile_schema` wrote.
        identifiers: file of all ids, complete when the first lot is judged.
        parts: folder for what is found in each lot.
    """

    database: str
    schema: Path
    identifiers: Path
    parts: Path


@dataclass(frozen=True)
class Verdict:
    """What is wrong with the documents of a lot.

    Attributes:
        violations: file with a line for each violation of the schema; None where there is none.
        integrity: file with a line for each dangling or misplaced reference; None where there is none.
        groups: of the former.
    """

    collection: str
    documents: int
    references: int
    violations: Path | None
    integrity: Path | None
    groups: Groups


def sit_down(assignment: Assignment) -> None:
    """Make this process ready to judge."""
    global _seat
    _seat = Seat(assignment)


def ids_of_lot(lot: Lot) -> tuple[str, list[Id]]:
    """Collection of a lot, and the ids of its documents."""
    return lot.collection, _taken().ids(lot)


def judge_lot(lot: Lot) -> Verdict:
    """What is wrong with the documents of a lot."""
    return _taken().judge(lot)


class Seat:
    """Where one process judges: its connection, and what it has made ready to judge by."""

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._schema = CompiledSchema.read(assignment.schema)
        self._transformer = transformer(assignment.database)
        self._database: Database[Document] = self._transformer.__enter__()
        self._screens: dict[str, Screen] = {}
        # What is there by now stays, and what is made of a lot is gone with it: looking for garbage in between takes as
        # long as reading.
        gc.freeze()
        gc.disable()

    @cached_property
    def _judge(self) -> "Judge":
        # Importing LinkML and reading the schema takes seconds, and most releases have nothing for it to judge.
        from .linkml_judge import Judge

        return Judge(self._schema, self._assignment.parts)

    @cached_property
    def _references(self) -> References:
        rules = ReferenceRules(self._schema.content["references"])
        return References(rules, Identifiers.read(self._assignment.identifiers).where)

    def ids(self, lot: Lot) -> list[Id]:
        """The ids of the documents of a lot; of one that has something else than a text for its id, none."""
        found: list[Id] = []
        for run in read(self._database, lot, lambda: LENIENT, ["id"]):
            for document in run.documents or ():
                identifier = document.get("id")
                if identifier is None or isinstance(identifier, str):
                    found.append(identifier)
        return found

    def judge(self, lot: Lot) -> Verdict:
        """Judge the documents of a lot, and write what is wrong to files of its own."""
        groups = Groups()
        judged = 0
        before = self._references.checked
        with (
            _Part(self._assignment.parts / f"{lot.number}.violations") as violations,
            _Part(self._assignment.parts / f"{lot.number}.integrity") as integrity,
        ):
            screen = self._screen(lot.collection)
            for run in read(self._database, lot, lambda: screen.codec):
                for part in [run] if run.documents is not None else run.apart(screen.codec):
                    judged += 1 if part.documents is None else len(part.documents)
                    for violation in self._wrong(lot.collection, part):
                        groups.add(violation)
                        violations.write(violation.line())
                    for violation in self._references.violations(lot.collection, part.documents or ()):
                        integrity.write(violation.packed())
        # LinkML leaves some behind. What it needed to begin with stays, and is not looked at again and again.
        gc.collect()
        gc.freeze()
        checked = self._references.checked - before
        return Verdict(lot.collection, judged, checked, violations.path, integrity.path, groups)

    def _wrong(self, collection: str, run: Run) -> Iterator[Violation]:
        """What is wrong with the documents of a run; one that cannot be read is in a run of its own."""
        if run.documents is None:
            yield Violation(collection, _name(run.raw), "", "", "not readable", "The driver cannot read the document.")
            return
        refused = self._screen(collection).not_let_through(run.raw, run.documents)
        for place in sorted(refused):
            yield from self._violations(collection, run.documents[place], refused[place])

    def _violations(self, collection: str, document: Document, conforms: bool | None) -> list[Violation]:
        found = list(self._judge.violations(collection, document))
        if conforms is None or found:
            return found
        message = (
            "LinkML's validator accepts what the fast pass does not. This is a fault of nmdc-release-ops: please report it "
            "with this document and the schema's version."
        )
        return [Violation(collection, named(document), "", "", "validators disagree", message)]

    def _screen(self, collection: str) -> Screen:
        if collection not in self._screens:
            rules = self._judge.rules_accept if self._schema.calls_plugin else None
            self._screens[collection] = Screen(self._schema, collection, rules)
        return self._screens[collection]


_seat: Seat | None = None


def _taken() -> Seat:
    if _seat is None:
        raise AssertionError("nobody sits down before it is said what is to be judged")
    return _seat


class _Part:
    """A file that is made when there is something to write to it; what an earlier attempt wrote is gone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = None

    @property
    def path(self) -> Path | None:
        return self._path if self._file else None

    def write(self, line: str) -> None:
        with writing(self._path):
            if self._file is None:
                self._file = self._path.open("w", encoding="utf-8")
            self._file.write(line)

    def __enter__(self) -> "_Part":
        self._path.unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with writing(self._path):
                self._file.close()


def _name(raw: bytes) -> str:
    try:
        return named(bson.decode(raw, LENIENT))
    except InvalidBSON:
        return "one that cannot be read at all"
