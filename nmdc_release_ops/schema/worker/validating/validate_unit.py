"""Validating some documents in a process of the pool: the fast pass, LinkML for the documents that it rejects, and the
references, in one reading.
"""

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from bson.codec_options import CodecOptions
from pymongo.database import Database

from ..release import transformer
from .archived_blocks import ArchivedBlock
from .batch import LENIENT, Batch, decode_batches, ids_of, name_in
from .chunks import Chunk, read_chunk
from .compiled import CompiledSchema, Document
from .fast_pass import FastPass
from .integrity.identifiers import Id, Identifiers
from .integrity.references import ReferenceRules, References
from .judge_by_layout import JudgeByLayout
from .kept_verdicts import MOST_VIOLATIONS, KeptVerdicts, Verdict
from .violations import Groups, LazyFile, Violation, name_of

if TYPE_CHECKING:
    from .linkml_judge import Judge


@dataclass(frozen=True)
class Unit:
    """Some documents of one collection, for one process: a chunk of the transformer, or a block of the archive.

    Attributes:
        number: unique among the units of all collections.
    """

    number: int
    source: Chunk | ArchivedBlock

    @property
    def collection(self) -> str:
        return self.source.collection


@dataclass(frozen=True)
class ValidationInputs:
    """What every process of the pool needs.

    Attributes:
        transformer: its connection string.
        database: on the transformer; None if everything is read from the archive.
        schema: file that `compile_schema` wrote.
        identifiers: file of all ids, complete before the first unit is validated.
        scratch: folder for the violations of each unit.
        kept: verdicts on blocks; None if none are kept.
    """

    transformer: str = field(repr=False)
    database: str | None
    schema: Path
    identifiers: Path
    scratch: Path
    kept: KeptVerdicts | None = None


@dataclass(frozen=True)
class UnitResult:
    """The violations of a unit's documents.

    Attributes:
        violations: file with a line for each violation of the schema; None if there are none.
        integrity: file with a line for each dangling or misplaced reference; None if there are none.
        groups: of the violations of the schema.
        was_kept: whether the verdict is that of an earlier audit.
    """

    collection: str
    documents: int
    references: int
    violations: Path | None
    integrity: Path | None
    groups: Groups
    was_kept: bool = False


def initialise_process(schema: Path | None = None) -> None:
    """Initialise this process of the pool.

    Args:
        schema: file that `compile_schema` wrote, to be read ahead.
    """
    if schema is not None:
        _read_schema(schema).prepare()


def read_ids(inputs: ValidationInputs, unit: Unit) -> tuple[str, list[Id]]:
    """Collection of a unit, and the ids of its documents."""
    return unit.collection, _validator(inputs).read_ids(unit)


def validate_unit(inputs: ValidationInputs, unit: Unit) -> UnitResult:
    """Validate the documents of a unit."""
    return _validator(inputs).validate(unit)


class UnitValidator:
    """The state of one process of the pool: its connection, and everything that is loaded once."""

    def __init__(self, inputs: ValidationInputs) -> None:
        self._inputs = inputs
        self._schema = _read_schema(inputs.schema)
        self._fast_passes: dict[str, FastPass] = {}
        self._judge_by_layout: JudgeByLayout | None = None
        # What exists now is never freed, and a unit leaves no reference cycles: collecting garbage would only cost time, as
        # much as reading does.
        gc.freeze()
        gc.disable()

    @cached_property
    def _database(self) -> Database[Document]:
        # Not needed where everything is read from the archive.
        if self._inputs.database is None:
            raise AssertionError("chunks are of a database")
        self._transformer = transformer(self._inputs.database, self._inputs.transformer)
        return self._transformer.__enter__()

    @cached_property
    def _judge(self) -> "Judge":
        # Importing LinkML and reading the schema takes seconds, and most releases have nothing for it to validate.
        from .linkml_judge import Judge

        return Judge(self._schema, self._inputs.scratch)

    @cached_property
    def _references(self) -> References:
        rules = ReferenceRules(self._schema.content["references"])
        return References(rules, Identifiers.open(self._inputs.identifiers).find_collections)

    def read_ids(self, unit: Unit) -> list[Id]:
        """The ids of the documents of a unit, without those that are neither text nor null."""
        kept = self._inputs.kept
        if kept is not None and isinstance(unit.source, ArchivedBlock):
            if (known := kept.read_ids(unit.source)) is None:
                known = self._read_ids(unit)
                kept.write_ids(unit.source, known)
            return known
        return self._read_ids(unit)

    def _read_ids(self, unit: Unit) -> list[Id]:
        ids: list[Id] = []
        for whole in self._read(unit, lambda: LENIENT, ["id"]):
            for batch in whole.split(LENIENT):
                for identifier in ids_of(batch):
                    if identifier is None or isinstance(identifier, str):
                        ids.append(identifier)
        return ids

    def validate(self, unit: Unit) -> UnitResult:
        """Validate the documents of a unit, or take over an earlier verdict, and write the violations to files of its own."""
        kept = self._inputs.kept
        if kept is None or not isinstance(unit.source, ArchivedBlock):
            return self._validate(unit)[0]
        verdict = kept.read(unit.source)
        if verdict is not None and self._references.are_valid(verdict.targets):
            return self._take_over(unit, verdict)
        targets: dict[frozenset[str], set[Id]] = {}
        self._references.noted = targets
        result, violations = self._validate(unit)
        self._references.noted = None
        if result.integrity is None:
            kept.write(unit.source, Verdict(result.documents, result.references, violations, targets))
        return result

    def _take_over(self, unit: Unit, verdict: Verdict) -> UnitResult:
        groups = Groups()
        with LazyFile(self._inputs.scratch / f"{unit.number}.violations") as violations:
            for violation in verdict.violations:
                groups.add(violation)
                violations.write(violation.report_line())
        return UnitResult(
            unit.collection, verdict.documents, verdict.references, violations.path, None, groups, was_kept=True
        )

    def _validate(self, unit: Unit) -> tuple[UnitResult, list[Violation]]:
        """The result, and the first violations of the schema: one more than are kept, at most."""
        groups = Groups()
        found: list[Violation] = []
        documents = 0
        references_before = self._references.checked
        with (
            LazyFile(self._inputs.scratch / f"{unit.number}.violations") as violations,
            LazyFile(self._inputs.scratch / f"{unit.number}.integrity") as integrity,
        ):
            fast_pass = self._fast_pass(unit.collection)
            by_layout = self._by_layout(unit.collection)
            accepted_before = by_layout.accepted
            for whole in self._read_undecided(unit, by_layout, lambda: fast_pass.codec):
                for batch in whole.split(fast_pass.codec):
                    documents += 1 if batch.documents is None else len(batch.documents)
                    for violation in self._find_violations(unit.collection, batch):
                        groups.add(violation)
                        violations.write(violation.report_line())
                        if len(found) <= MOST_VIOLATIONS:
                            found.append(violation)
                    for violation in self._references.find_violations(unit.collection, batch.documents or ()):
                        integrity.write(violation.to_json() + "\n")
        documents += by_layout.accepted - accepted_before
        # LinkML leaves reference cycles behind. What it keeps is frozen, so that it is not examined again for each unit.
        gc.collect()
        gc.freeze()
        references = self._references.checked - references_before
        return UnitResult(unit.collection, documents, references, violations.path, integrity.path, groups), found

    def _read(
        self, unit: Unit, codec: Callable[[], CodecOptions[Document]], fields: list[str] | None = None
    ) -> Iterator[Batch]:
        """The documents of a unit; the server is asked for these fields only."""
        if isinstance(unit.source, ArchivedBlock):
            return unit.source.batches(codec)
        return read_chunk(self._database, unit.source, codec, fields)

    def _read_undecided(
        self, unit: Unit, by_layout: JudgeByLayout, codec: Callable[[], CodecOptions[Document]]
    ) -> Iterator[Batch]:
        """The documents of a unit, without those of a block that are valid by their layout."""
        if isinstance(unit.source, ArchivedBlock):
            for piece in unit.source.pieces():
                yield from decode_batches(by_layout.find_undecided(piece), codec)
        else:
            yield from self._read(unit, codec)

    def _find_violations(self, collection: str, batch: Batch) -> Iterator[Violation]:
        """The violations of a batch; a document that cannot be decoded is in a batch of its own."""
        if batch.documents is None:
            yield Violation(
                collection, name_in(batch.raw), "", "", "not readable", "The driver cannot read the document."
            )
            return
        rejected = self._fast_pass(collection).find_rejected(batch.raw, batch.documents)
        for index in sorted(rejected):
            yield from self._judge_rejected(collection, batch.documents[index], rejected[index])

    def _judge_rejected(self, collection: str, document: Document, verdict: bool | None) -> list[Violation]:
        """LinkML's violations of a document that the fast pass rejected with this verdict."""
        violations = list(self._judge.violations(collection, document))
        if verdict is None or violations:
            return violations
        message = (
            "LinkML's validator accepts a document that the fast pass rejects. This is a fault of nmdc-release-ops: please "
            "report it with this document and the schema's version."
        )
        return [Violation(collection, name_of(document), "", "", "validators disagree", message)]

    def _fast_pass(self, collection: str) -> FastPass:
        if collection not in self._fast_passes:
            rules = self._judge.rules_accept if self._schema.calls_plugin else None
            self._fast_passes[collection] = FastPass(self._schema, collection, rules)
        return self._fast_passes[collection]

    def _by_layout(self, collection: str) -> JudgeByLayout:
        # Only one is kept, because it remembers values. Collections come one after the other.
        if self._judge_by_layout is None or self._judge_by_layout.collection != collection:
            self._judge_by_layout = JudgeByLayout(self._schema, collection, self._references)
        return self._judge_by_layout


@lru_cache(1)
def _validator(inputs: ValidationInputs) -> UnitValidator:
    """That of this process."""
    return UnitValidator(inputs)


@lru_cache(1)
def _read_schema(path: Path) -> CompiledSchema:
    return CompiledSchema.read(path)
