"""Judges every document of the transformer by the release's own schema, and every reference between them.

Parameters: `database`, `schema_version`, `collections`, `compiled` (file that `compile_schema` wrote), `violations_path`
(file to write, JSON lines), `summary_path` (file to write, JSON), and `before` where it matters which violations between
documents are new: `files` of the archive by collection, each with its `path` and `sha256`, and the `references` that
`compile_schema` wrote of the schema that held then.
Messages: `validated` per collection, `violation` for the first few, and one `summary` at the end. Without a summary,
or with an exit code other than 0, nothing has been proved: `not_written` names a file that could not be written, and
`archive_damaged` a file of the archive that is not what was dumped.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from dagster_pipes import PipesContext, open_dagster_pipes
from pymongo.database import Database

from ..disk import NotWritten, run_main, writing
from ..messages import telling
from ..parent import die_with_parent
from ..process_pool import Crew
from ..release import require_version, transformer
from .chunks import lots
from .compiled import CompiledSchema, Document
from .integrity.archived_file import ArchivedFile, ArchiveFileDamaged
from .integrity.identifiers import Identifiers
from .integrity.prior_violations import Before, Earlier
from .integrity.references import ReferenceRules
from .integrity.violation_store import Found, duplicate
from .tally import Tally
from .validate_chunk import Assignment, Verdict, ids_of_lot, judge_lot, sit_down

SCRATCH = "validating."


def main() -> int:
    die_with_parent(os.getppid())
    with open_dagster_pipes() as pipes, telling(pipes):
        extras = pipes.extras
        require_version(extras["schema_version"])
        try:
            _validate(pipes, extras)
        except (NotWritten, ArchiveFileDamaged) as error:
            return error.tell(pipes)
    return 0


def _validate(pipes: PipesContext, extras: Mapping[str, Any]) -> None:
    """Raises:
    NotWritten, ArchiveFileDamaged.
    """
    violations = Path(extras["violations_path"])
    for left in violations.parent.glob(f"{SCRATCH}*"):
        # Left by a process that was killed.
        shutil.rmtree(left, ignore_errors=True)
    with (
        writing(violations),
        transformer(extras["database"]) as database,
        tempfile.TemporaryDirectory(prefix=SCRATCH, dir=violations.parent) as scratch,
        violations.open("wb") as file,
    ):
        names = extras["collections"]
        tally = Tally({name: database[name].estimated_document_count() for name in names})
        assignment = Assignment(
            database.name, Path(extras["compiled"]), Path(scratch, "identifiers"), parts=Path(scratch)
        )
        pipes.log.info("Gathering the ids of all documents.")
        with Crew(sit_down, assignment) as crew, Found.making(Path(scratch, "found")) as found:
            _gather_identifiers(database, assignment, crew, tally, found)
            _judge(tally.judged(pipes, crew.do(judge_lot, lots(database, names))), file, violations, found)
            with writing(violations):
                _judge_between(pipes, _before(extras.get("before")), Path(scratch), crew, tally, found, file)
    tally.tell(pipes, violations, Path(extras["summary_path"]))


def _gather_identifiers(
    database: Database[Document], assignment: Assignment, crew: Crew, tally: Tally, found: Found
) -> None:
    """Write down the id of every document, and find those that are not unique."""
    rules = ReferenceRules(CompiledSchema.read(assignment.schema).content["references"])
    names = [name for name in rules.collections_with_ids() if name in tally.totals]
    with Identifiers.making(assignment.identifiers) as making:
        for collection, ids in crew.do(ids_of_lot, lots(database, names)):
            making.add(collection, ids)
    identifiers = Identifiers.read(assignment.identifiers)
    tally.identifiers = identifiers.count()
    for identifier, counts in identifiers.duplicates():
        found.add(duplicate(identifier, counts))


def _judge(verdicts: Iterable[Verdict], file: IO[bytes], path: Path, found: Found) -> None:
    """Bring what is wrong with single documents into the file, and what is wrong between them to the rest of it."""
    for verdict in verdicts:
        if verdict.violations:
            with writing(path), verdict.violations.open("rb") as part:
                shutil.copyfileobj(part, file)
            verdict.violations.unlink()
        if verdict.integrity:
            found.take_in(verdict.integrity)


def _judge_between(
    pipes: PipesContext,
    before: Before | None,
    scratch: Path,
    crew: Crew,
    tally: Tally,
    found: Found,
    file: IO[bytes],
) -> None:
    """Bring what is wrong between documents into the file, and find out what of it is new."""
    with ExitStack() as stack:
        violations = found.violations()
        if before is not None and not found.is_empty:
            pipes.log.info("Looking up in the archive which violations between documents are new.")
            earlier = stack.enter_context(Earlier.looked_up(before, found, crew, scratch))
            violations = found.compared(earlier.had)
        for violation in violations:
            tally.found_between(violation)
            file.write(violation.line().encode())


def _before(described: dict[str, Any] | None) -> Before | None:
    if described is None:
        return None
    files = {name: ArchivedFile(Path(file["path"]), file["sha256"]) for name, file in described["files"].items()}
    return Before(files, Path(described["references"]))


if __name__ == "__main__":
    sys.exit(run_main(main))
