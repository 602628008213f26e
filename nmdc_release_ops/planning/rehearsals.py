"""The rehearsals of an origin: which of them can be promoted, and what keeps the others from it."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pymongo.database import Database

from nmdc_release_ops.files import sha256_of
from nmdc_release_ops.folders import ARCHIVE, IDENTIFIERS
from nmdc_release_ops.lineage import ArchiveReplaced, LineageBroken, read_archive, require_lineage
from nmdc_release_ops.mongo.archive.manifest import ArchiveDamaged, ArchiveTooNew, Manifest
from nmdc_release_ops.mongo.delta.moment import oplog_reaches_back_to
from nmdc_release_ops.mongo.delta.stream import for_people
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.state.bookkeeping import LedgerChanged, require_conforming
from nmdc_release_ops.mongo.state.ledger import LedgerUnusable
from nmdc_release_ops.mongo.swapping.released import require_in_force
from nmdc_release_ops.planning.refusal import PlanRefused
from nmdc_release_ops.records.data_release import ReleasePlan
from nmdc_release_ops.records.record import RecordAltered, RecordUnreadable
from nmdc_release_ops.records.rehearsed import REHEARSED, RehearsalRecords
from nmdc_release_ops.schema.packages.candidate import Candidate, release_named
from nmdc_release_ops.schema.version import InvalidSchemaVersion

_SQLITE = b"SQLite format 3\0"
_AGAIN = "Launch the job `rehearsal`, and `promote` when it has succeeded."


class NothingToPromote(PlanRefused):
    """No rehearsal can be promoted, or not the one that was asked for.

    Attributes:
        problems: a reason for each rehearsal that was looked at.
    """

    def __init__(self, text: str, problems: list[str]) -> None:
        super().__init__([text])
        self.problems = problems


class NotPromotable(Exception):
    """A rehearsal cannot be promoted; the text is the reason, for a list."""


@dataclass(frozen=True)
class Rehearsal:
    """A complete rehearsal with everything that its promotion needs.

    Attributes:
        folder: of the rehearsal, with its archive and its file of ids.
        manifest: of its archive.
    """

    folder: Path
    records: RehearsalRecords
    manifest: Manifest

    @property
    def plan(self) -> ReleasePlan:
        return self.records.plan


def choose_rehearsal(
    folders: Sequence[Path], database: Database[Document], schema_folder: Path, wanted: str | None
) -> tuple[Rehearsal, list[str]]:
    """The newest rehearsal that can be promoted, or the one that is wanted; and what an operator should know of it.

    Args:
        folders: of all rehearsals of the origin and the database, newest first, named after them.
        schema_folder: where packages and environments of schema releases are kept.
        wanted: id of a rehearsal; None for the newest.

    Raises:
        NothingToPromote: naming a reason for each.
    """
    if wanted is not None:
        folders = _find_wanted(folders, wanted)
    reasons: list[str] = []
    for folder in folders:
        try:
            rehearsal = read_rehearsal(folder, schema_folder)
            return rehearsal, check_against_origin(rehearsal, database)
        except NotPromotable as reason:
            reasons.append(f"{folder.name}: {reason}")
    if not reasons:
        raise NothingToPromote(f"There is no rehearsal of the database {database.name} of this origin. {_AGAIN}", [])
    listed = "".join(f"\n- {reason}" for reason in reasons)
    raise NothingToPromote(
        f"{'This rehearsal' if wanted else 'No rehearsal'} can{'not' if wanted else ''} be promoted:{listed}\n{_AGAIN}",
        reasons,
    )


def _find_wanted(folders: Sequence[Path], wanted: str) -> list[Path]:
    found = [folder for folder in folders if folder.name == wanted.strip()]
    if not found:
        known = ", ".join(folder.name for folder in folders) or "none"
        raise NothingToPromote(
            f"There is no rehearsal {wanted} of this origin. These are there: {known}. Correct `rehearsal` in the config of "
            "`choose`, or leave it out to promote the newest one.",
            [],
        )
    return found


def read_rehearsal(folder: Path, schema_folder: Path) -> Rehearsal:
    """A rehearsal, from its folder. Nothing large is read.

    Raises:
        NotPromotable: it is not complete, was removed or damaged, or another version of the project made it.
    """
    records = _read_records(folder)
    manifest = _read_archive(folder / ARCHIVE, records)
    for damage in (find_damage(folder / ARCHIVE, manifest), _find_damage_of_ids(folder / IDENTIFIERS)):
        if damage:
            raise NotPromotable(damage)
    for name in _find_lost_candidates(records.plan, schema_folder):
        raise NotPromotable(f"the package and the environment of the release candidate {name} were removed")
    return Rehearsal(folder, records, manifest)


def _read_records(folder: Path) -> RehearsalRecords:
    try:
        records = RehearsalRecords.read(folder)
        require_lineage(plan=records.plan, migrate=records.migrated, validate=records.validation)
    except FileNotFoundError:
        raise NotPromotable(
            "it was not completed, or was made by a version of the project that could not promote"
        ) from None
    except (RecordUnreadable, LineageBroken) as error:
        raise NotPromotable(f"another version of the project made it ({REHEARSED}: {str(error).rstrip('.')})") from None
    except RecordAltered as error:
        raise NotPromotable(f"{folder / REHEARSED} was changed after it was written: {error}") from None
    if records.validation.identifiers_path is None:
        raise NotPromotable("another version of the project made it, which did not keep the ids of its documents")
    return records


def _read_archive(archive: Path, records: RehearsalRecords) -> Manifest:
    if not archive.is_dir():
        raise NotPromotable("its archive was removed: there was a later rehearsal, or a release")
    try:
        return read_archive(archive, records.migrated.manifest_sha256)
    except ArchiveReplaced:
        raise NotPromotable("it was dumped again, and not completed since: re-execute it from `migrate`") from None
    except ArchiveTooNew:
        raise NotPromotable("a newer version of the project wrote its archive") from None
    except ArchiveDamaged as error:
        raise NotPromotable(f"its archive is damaged: {error}") from None


def find_damage(archive: Path, manifest: Manifest) -> str:
    """What is wrong with the files of an archive as far as it shows without reading all of it; empty if nothing is.

    Every block is checked against its digest when it is read.
    """
    small = {one.metadata_file: one.metadata_sha256 for one in manifest.collections}
    sizes = {one.file: one.file_bytes for one in manifest.collections}
    for name in (*sizes, *small, *manifest.other_files):
        path = archive / name
        if not path.is_file():
            return f"its archive is damaged: {path} is missing"
        if name in sizes and (found := path.stat().st_size) != sizes[name]:
            return f"its archive is damaged: {path} has {found:,} bytes, and {sizes[name]:,} were dumped"
        if name in small and sha256_of(path) != small[name]:
            return f"its archive is damaged: {path} is not what was dumped"
    return ""


def _find_damage_of_ids(path: Path) -> str:
    """Whether the file is as long as its header says (https://www.sqlite.org/fileformat.html, 1.3)."""
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except FileNotFoundError:
        return f"the ids of its documents are gone: {path} is missing"
    page, pages = struct.unpack_from(">H10xI", header, 16) if len(header) == 100 else (0, 0)
    # 65,536 does not fit into two bytes.
    expected = (65_536 if page == 1 else page) * pages
    if not header.startswith(_SQLITE) or path.stat().st_size != expected:
        return f"the ids of its documents are damaged: {path} is not as long as it was when it was written"
    return ""


def _find_lost_candidates(plan: ReleasePlan, schema_folder: Path) -> Iterable[str]:
    """Release candidates that the plan needs and that cannot be installed again: no package index has them."""
    for name in dict.fromkeys([plan.target, *(hop.environment for hop in plan.migrators if hop.environment)]):
        try:
            is_candidate = isinstance(release_named(name), Candidate)
        except InvalidSchemaVersion:
            raise NotPromotable(f"another version of the project made it: {name} is not a schema release") from None
        if is_candidate and not any((schema_folder / kind / name).is_dir() for kind in ("packages", "environments")):
            yield name


def check_against_origin(rehearsal: Rehearsal, database: Database[Document]) -> list[str]:
    """Check that the origin is still the database that was rehearsed, and that what was written since can be found out.

    Returns:
        What an operator should know.

    Raises:
        NotPromotable.
    """
    plan = rehearsal.plan
    try:
        require_conforming(database, plan.versions_before)
        require_in_force(database, plan.in_force, plan.release_id)
    except (LedgerChanged, LedgerUnusable) as error:
        raise NotPromotable(f"the database is no longer the one that was rehearsed: {error}") from None
    begin = rehearsal.manifest.cluster_time
    oldest = oplog_reaches_back_to(database.client)
    if oldest is None:
        return [
            "It is not known how far the origin's oplog reaches back. If it does not reach back to the rehearsal "
            f"({for_people(begin)}), `catch_up` fails before anything is frozen."
        ]
    if oldest.timestamp() > begin.timestamp():
        raise NotPromotable(
            f"the origin's oplog begins at {for_people(oldest)}, after it was dumped ({for_people(begin)}), so what was "
            "written since cannot be determined. Enlarge the oplog (`replSetResizeOplog`), or promote sooner"
        )
    return []
