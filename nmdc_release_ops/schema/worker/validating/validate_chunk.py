"""Validating a chunk of documents in a process of the pool: the fast pass, LinkML for the documents that it rejects, and the
references, in one reading.
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
from .chunks import LENIENT, Batch, Chunk, read_chunk
from .compiled import CompiledSchema, Document
from .fast_pass import FastPass
from .integrity.identifiers import Id, Identifiers
from .integrity.references import ReferenceRules, References
from .violations import Groups, Violation, name_of

if TYPE_CHECKING:
    from .linkml_judge import Judge


@dataclass(frozen=True)
class ValidationInputs:
    """What every process of the pool needs.

    Attributes:
        database: on the transformer.
        schema: file that `compile_schema` wrote.
        identifiers: file of all ids, complete before the first chunk is validated.
        scratch: folder for the violations of each chunk.
    """

    database: str
    schema: Path
    identifiers: Path
    scratch: Path


@dataclass(frozen=True)
class ChunkResult:
    """The violations of a chunk's documents.

    Attributes:
        violations: file with a line for each violation of the schema; None if there are none.
        integrity: file with a line for each dangling or misplaced reference; None if there are none.
        groups: of the violations of the schema.
    """

    collection: str
    documents: int
    references: int
    violations: Path | None
    integrity: Path | None
    groups: Groups


def initialise_process(inputs: ValidationInputs) -> None:
    """Initialise this process of the pool."""
    global _validator
    _validator = ChunkValidator(inputs)


def read_ids(chunk: Chunk) -> tuple[str, list[Id]]:
    """Collection of a chunk, and the ids of its documents."""
    return chunk.collection, _get_validator().read_ids(chunk)


def validate_chunk(chunk: Chunk) -> ChunkResult:
    """Validate the documents of a chunk."""
    return _get_validator().validate(chunk)


class ChunkValidator:
    """The state of one process of the pool: its connection, and everything that is loaded once."""

    def __init__(self, inputs: ValidationInputs) -> None:
        self._inputs = inputs
        self._schema = CompiledSchema.read(inputs.schema)
        self._transformer = transformer(inputs.database)
        self._database: Database[Document] = self._transformer.__enter__()
        self._fast_passes: dict[str, FastPass] = {}
        # What exists now is never freed, and a chunk leaves no reference cycles: collecting garbage would only cost time, as
        # much as reading does.
        gc.freeze()
        gc.disable()

    @cached_property
    def _judge(self) -> "Judge":
        # Importing LinkML and reading the schema takes seconds, and most releases have nothing for it to validate.
        from .linkml_judge import Judge

        return Judge(self._schema, self._inputs.scratch)

    @cached_property
    def _references(self) -> References:
        rules = ReferenceRules(self._schema.content["references"])
        return References(rules, Identifiers.open(self._inputs.identifiers).find_collections)

    def read_ids(self, chunk: Chunk) -> list[Id]:
        """The ids of the documents of a chunk, without those that are neither text nor null."""
        ids: list[Id] = []
        for batch in read_chunk(self._database, chunk, lambda: LENIENT, ["id"]):
            for document in batch.documents or ():
                identifier = document.get("id")
                if identifier is None or isinstance(identifier, str):
                    ids.append(identifier)
        return ids

    def validate(self, chunk: Chunk) -> ChunkResult:
        """Validate the documents of a chunk, and write the violations to files of its own."""
        groups = Groups()
        documents = 0
        references_before = self._references.checked
        with (
            _LazyFile(self._inputs.scratch / f"{chunk.number}.violations") as violations,
            _LazyFile(self._inputs.scratch / f"{chunk.number}.integrity") as integrity,
        ):
            fast_pass = self._fast_pass(chunk.collection)
            for whole in read_chunk(self._database, chunk, lambda: fast_pass.codec):
                for batch in [whole] if whole.documents is not None else whole.split(fast_pass.codec):
                    documents += 1 if batch.documents is None else len(batch.documents)
                    for violation in self._find_violations(chunk.collection, batch):
                        groups.add(violation)
                        violations.write(violation.report_line())
                    for violation in self._references.find_violations(chunk.collection, batch.documents or ()):
                        integrity.write(violation.to_json() + "\n")
        # LinkML leaves reference cycles behind. What it keeps is frozen, so that it is not examined again for each chunk.
        gc.collect()
        gc.freeze()
        references = self._references.checked - references_before
        return ChunkResult(chunk.collection, documents, references, violations.path, integrity.path, groups)

    def _find_violations(self, collection: str, batch: Batch) -> Iterator[Violation]:
        """The violations of a batch; a document that cannot be decoded is in a batch of its own."""
        if batch.documents is None:
            yield Violation(
                collection, _name(batch.raw), "", "", "not readable", "The driver cannot read the document."
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


_validator: ChunkValidator | None = None


def _get_validator() -> ChunkValidator:
    if _validator is None:
        raise AssertionError("this process of the pool was not initialised")
    return _validator


class _LazyFile:
    """A file that is created by the first write; an earlier attempt's file is removed."""

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

    def __enter__(self) -> "_LazyFile":
        self._path.unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with writing(self._path):
                self._file.close()


def _name(raw: bytes) -> str:
    try:
        return name_of(bson.decode(raw, LENIENT))
    except InvalidBSON:
        return "unknown: the document cannot be decoded"
