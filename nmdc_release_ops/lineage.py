"""The sources of records: every step checks that the records it receives belong together.

Steps can be re-executed in any selection, and each takes the newest record of every other step. Without this check, a new
archive could be combined with an older migration, or a migration with the validation of another one.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from nmdc_release_ops.files import sha256_of
from nmdc_release_ops.mongo.archive.manifest import MANIFEST, Manifest, read_manifest
from nmdc_release_ops.records.data_release import Archive, MigratedDatabase, ReleasePlan, ValidationReport
from nmdc_release_ops.records.record import Record


class LineageBroken(Exception):
    """A record was made from a different record than the one it arrived with.

    Attributes:
        step: the first step that has to be re-executed.
    """

    def __init__(self, step: str, source: str) -> None:
        self.step = step
        super().__init__(
            f"`{source}` was executed again, but `{step}` was not: its result was made from an earlier result of `{source}`. "
            f"Nothing was done with it. Re-execute this run from `{step}`, with all the steps after it."
        )


class ArchiveReplaced(Exception):
    """The archive on disk is not the one that the records describe."""


class RehearsalRemoved(Exception):
    """The archive of a rehearsal was removed."""


class CollectionsDisagree(Exception):
    """What was dumped, migrated and validated is not the same data."""


def collect_digests(**records: Record) -> Mapping[str, str]:
    """Digests of the given records and of their sources, by step: a record keeps them to show what it was made from."""
    sources: dict[str, str] = {}
    for step, record in records.items():
        sources |= {**record.made_from, step: record.digest}
    return sources


def require_lineage(**records: Record) -> None:
    """Check that each record was made from those before it.

    Args:
        records: by the step that made each, in the order of the steps.

    Raises:
        LineageBroken: naming the first step whose record was made from another one.
    """
    earlier: dict[str, Record] = {}
    for step, record in records.items():
        for source, made in earlier.items():
            if record.made_from.get(source) != made.digest:
                raise LineageBroken(step, source)
        earlier[step] = record


def read_archive(folder: Path, manifest_sha256: str) -> Manifest:
    """Read the manifest of the archive that a record describes.

    Raises:
        ArchiveReplaced: a later dump has overwritten the folder.
        ArchiveDamaged: see `read_manifest`.
    """
    manifest = read_manifest(folder)
    if sha256_of(folder / MANIFEST) != manifest_sha256:
        raise ArchiveReplaced(
            f"{folder} was overwritten by a later dump, and no longer holds this run's archive. Re-execute this run from "
            "`dump`, with all the steps after it."
        )
    return manifest


@contextmanager
def kept_archive(plan: ReleasePlan, archive: Path) -> Iterator[None]:
    """Make sure that the archive of a rehearsal is still there when the block begins; steps say themselves what is wrong with
    that of a release.

    Raises:
        RehearsalRemoved: a later rehearsal or release removed it.
    """
    if plan.is_rehearsal and not archive.is_dir():
        raise RehearsalRemoved(
            f"The archive of rehearsal {plan.release_id} was removed: there was a later rehearsal, or a release. Launch a new "
            "rehearsal."
        )
    yield


def require_same_data(archive: Archive, migrated: MigratedDatabase, validation: ValidationReport) -> None:
    """Check that every collection was validated as it was migrated, and that an untouched one equals its dump.

    Raises:
        CollectionsDisagree: naming the collections.
    """
    problems = list(_find_disagreements(archive, migrated, validation))
    if problems:
        raise CollectionsDisagree(
            f"What was dumped, migrated and validated is not the same data: {'; '.join(problems)}. Nothing was staged. "
            "Re-execute this run from `dump`, with all the steps after it. If it happens again, report it to the maintainers "
            "of nmdc-release-ops."
        )


def _find_disagreements(archive: Archive, migrated: MigratedDatabase, validation: ValidationReport) -> Iterator[str]:
    if migrated.manifest_sha256 != archive.manifest_sha256:
        yield "the migration began with another archive"
    changes = migrated.changes
    renamed = {rename.old: rename.new for rename in changes.renamed}
    yield from _find_uncovered(
        "dump", archive.hashes, [*changes.changed, *changes.deleted, *changes.untouched, *renamed]
    )
    yield from _find_uncovered(
        "migration", migrated.hashes, [*changes.changed, *changes.created, *changes.untouched, *renamed.values()]
    )
    for name in sorted(migrated.hashes.keys() | validation.hashes.keys()):
        if migrated.hashes.get(name) != validation.hashes.get(name):
            yield f"{name} was not validated as it was migrated"
    kept = {name: name for name in changes.untouched} | {
        rename.new: rename.old for rename in changes.renamed if not rename.changed
    }
    for new, old in sorted(kept.items()):
        if not archive.hashes.get(old) or migrated.hashes.get(new) != archive.hashes.get(old):
            yield f"{new} is listed as untouched and differs from the dump"


def _find_uncovered(where: str, names: Collection[str], listed: list[str]) -> Iterator[str]:
    """Every collection has to be in exactly one list of the changes."""
    for name in sorted({*names, *listed}):
        if name not in names or listed.count(name) != 1:
            yield f"{name} is {'in' if name in names else 'not in'} the {where}, and {listed.count(name)} times in the changes"
