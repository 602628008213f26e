"""Validates every document of the migrated database by the release's own schema, and every reference between them.

Argument: the file that `compile_schema` wrote, which is then read before the task begins; may be left out.
Parameters: `database` on the transformer, or null if everything is read from the archive; `schema_version`, `collections`
(number of documents by name), `compiled` (file that `compile_schema` wrote), `violations_path` (output file, JSON lines),
`summary_path` (output file, JSON). `archived` are the collections to be read from the archive instead of the transformer: by
name, each with its `path` and `blocks` (`offset`,
`size`, `documents`, `bytes` and `sha256` each). `before` is only given if new violations between documents are to be
distinguished from old ones: `files` of the archive by collection in the same form, and `references`, which `compile_schema`
wrote of the schema that the database had. `known` is only given if what is validated are documents that were written since
everything was: `identifiers`, the file of the ids of all documents, and `duplicates`, the ids of the written ones that several
documents have, each with the number of these by collection. Then `before` has a `files_path` instead of `files`: the process that
started this one is asked, with the path of a file of violations, to write there a list of files, in the same form and each with
its `collection`, with the documents and ids that the violations name.
`kept` is only given if verdicts on blocks are kept for the next audit: `last` and `present`, folders of those of the last audit
and of this one.
`identifiers_path` is only given if the file of all ids is to be kept: it is moved
there when everything is validated, whatever was found.
Messages: `progress`; `violation` for the first few, and `summary` when both output files are complete. Without a `summary`,
or with an exit code other than 0, nothing is proved: `not_written` names a file that could not be written, and
`archive_damaged` a file of the archive that is not what was dumped.
"""

import json
import os
import shutil
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from dagster_pipes import PipesContext, open_dagster_pipes
from pymongo.database import Database

from ..disk import NotWritten, run_main, writing
from ..ending import die_with_parent, end_now
from ..messages import ProgressReports, forward_messages
from ..process_pool import ProcessPool
from ..release import require_version, transformer
from ..task import ask, take_channel, wait_for_task
from .archived_blocks import ArchivedBlock, ArchivedFile, ArchiveFileDamaged
from .chunks import Chunk, split_into_chunks
from .compiled import CompiledSchema, Document
from .integrity.identifiers import Identifiers
from .integrity.prior_violations import ArchivedDatabase, PriorViolations
from .integrity.references import ReferenceRules
from .integrity.violation_store import ViolationStore, duplicate_id
from .kept_verdicts import KeptVerdicts
from .tally import Tally
from .validate_unit import Unit, UnitResult, ValidationInputs, initialise_process, read_ids, validate_unit

SCRATCH = "validating."


def main() -> int:
    die_with_parent(os.getppid())
    channel = take_channel()
    pool = ProcessPool(initialise_process, *map(Path, sys.argv[1:]))
    pool.start()
    wait_for_task(channel)
    with open_dagster_pipes() as pipes, forward_messages(pipes):
        extras = pipes.extras
        require_version(extras["schema_version"])
        try:
            _validate(pipes, extras, pool, channel)
        except (NotWritten, ArchiveFileDamaged) as error:
            return error.report(pipes)
    return 0


def _validate(pipes: PipesContext, extras: Mapping[str, Any], pool: ProcessPool, channel: socket.socket | None) -> None:
    """Raises:
    NotWritten, ArchiveFileDamaged.
    """
    violations = Path(extras["violations_path"])
    for abandoned in violations.parent.glob(f"{SCRATCH}*"):
        # A process that was killed left it behind.
        shutil.rmtree(abandoned, ignore_errors=True)
    with (
        writing(violations),
        ExitStack() as stack,
        tempfile.TemporaryDirectory(prefix=SCRATCH, dir=violations.parent) as folder,
        violations.open("wb") as file,
    ):
        scratch = Path(folder)
        name = extras["database"]
        sources = _Sources(
            None if name is None else stack.enter_context(transformer(name)),
            _archived_files(extras.get("archived") or {}),
        )
        tally = Tally(dict(extras["collections"]))
        known, kept = extras.get("known"), extras.get("kept")
        inputs = ValidationInputs(
            os.environ["NMDC_TRANSFORMER_URI"],
            name,
            Path(extras["compiled"]),
            Path(known["identifiers"]) if known else scratch / "identifiers",
            scratch,
            KeptVerdicts(Path(kept["last"]), Path(kept["present"])) if kept else None,
        )
        # The pool ends before its files are removed.
        with pool, ViolationStore.create(scratch / "integrity") as store:
            if known:
                for identifier, counts in known["duplicates"].items():
                    store.add(duplicate_id(identifier, counts))
            else:
                pipes.log.info("Reading the ids of all documents.")
                _read_identifiers(pipes, sources, inputs, pool, tally, store)
            results = pool.map(partial(validate_unit, inputs), sources.split(tally.totals))
            _collect(tally.count_results(pipes, results), file, violations, store)
            with writing(violations):
                archived = _archived_database(extras.get("before"), channel)
                _write_integrity_violations(pipes, archived, scratch, pool, tally, store, file)
        if kept := extras.get("identifiers_path"):
            _keep_identifiers(inputs.identifiers, Path(kept))
    tally.report(pipes, violations, Path(extras["summary_path"]))


@dataclass(frozen=True)
class _Sources:
    """Where the documents are: in the archive, or else in the transformer."""

    database: Database[Document] | None
    archived: Mapping[str, ArchivedFile]

    def split(self, collections: Iterable[str]) -> Iterator[Unit]:
        """Every document of these collections, once.

        Raises:
            ArchiveFileDamaged: a file is missing, or is not as long as its blocks.
        """
        for number, source in enumerate(self._split(collections)):
            yield Unit(number, source)

    def _split(self, collections: Iterable[str]) -> Iterator[Chunk | ArchivedBlock]:
        for name in collections:
            if name in self.archived:
                yield from self.archived[name].blocks()
            elif self.database is not None:
                yield from split_into_chunks(self.database, [name])


def _read_identifiers(
    pipes: PipesContext,
    sources: _Sources,
    inputs: ValidationInputs,
    pool: ProcessPool,
    tally: Tally,
    store: ViolationStore,
) -> None:
    """Write the id of every document to a file, and add those that are not unique to the violations."""
    rules = ReferenceRules(CompiledSchema.read(inputs.schema).content["references"])
    names = [name for name in rules.collections_with_ids() if name in tally.totals]
    progress, read = ProgressReports(pipes, "read the ids of"), Counter[str]()
    with Identifiers.create(inputs.identifiers) as new:
        for collection, ids in pool.map(partial(read_ids, inputs), sources.split(names)):
            new.add(collection, ids)
            read[collection] += len(ids)
            progress.report(read)
    identifiers = Identifiers.open(inputs.identifiers)
    tally.identifiers = identifiers.count()
    for identifier, counts in identifiers.duplicates():
        store.add(duplicate_id(identifier, counts))


def _keep_identifiers(file: Path, kept: Path) -> None:
    """Move the file of ids out of the scratch folder, durably. Whoever has the earlier one open, or a link to it, keeps it."""
    with writing(kept):
        with file.open("rb") as complete:
            os.fsync(complete.fileno())
        file.replace(kept)


def _collect(results: Iterable[UnitResult], file: IO[bytes], path: Path, store: ViolationStore) -> None:
    """Append the violations of single documents to the file, and add those between documents to the store."""
    for result in results:
        if result.violations:
            with writing(path), result.violations.open("rb") as part:
                shutil.copyfileobj(part, file)
            result.violations.unlink()
        if result.integrity:
            store.move_in(result.integrity)


def _write_integrity_violations(
    pipes: PipesContext,
    archived: ArchivedDatabase | None,
    scratch: Path,
    pool: ProcessPool,
    tally: Tally,
    store: ViolationStore,
    file: IO[bytes],
) -> None:
    """Append the violations between documents to the file, and determine which of them are new if there is an archive."""
    with ExitStack() as stack:
        violations = store.violations()
        if archived is not None and not store.is_empty:
            pipes.log.info("Comparing with the archive to determine which violations between documents are new.")
            prior = stack.enter_context(PriorViolations.read(archived, store, pool, scratch))
            violations = store.compared_violations(prior.contains)
        for violation in violations:
            tally.count_integrity_violation(violation)
            file.write(violation.report_line().encode())


def _archived_database(before: dict[str, Any] | None, channel: socket.socket | None) -> ArchivedDatabase | None:
    if before is None:
        return None

    def list_files(violations: Path) -> list[ArchivedFile]:
        if "files" in before:
            return list(_archived_files(before["files"]).values())
        ask(channel, str(violations))
        listed = json.loads(Path(before["files_path"]).read_text("utf-8"))
        return [ArchivedFile.from_parameter(one["collection"], one) for one in listed]

    return ArchivedDatabase(list_files, Path(before["references"]))


def _archived_files(parameter: Mapping[str, Any]) -> dict[str, ArchivedFile]:
    return {name: ArchivedFile.from_parameter(name, file) for name, file in parameter.items()}


if __name__ == "__main__":
    end_now(run_main(main))
