"""The folder `NMDC_RELEASE_HOME`, and which origin and release its contents belong to.

    origins/ORIGIN/releases/RELEASE/archive         the dump
    origins/ORIGIN/releases/RELEASE/transformer     files of the private mongod
    origins/ORIGIN/releases/RELEASE/promotion       what a promotion works with, until it is verified
    origins/ORIGIN/releases/RELEASE/verification.json  what was compared after a promotion
    origins/ORIGIN/releases/RELEASE/rehearsal       empty; there if it is one
    origins/ORIGIN/releases/RELEASE/rehearsed.json  its records, when it is complete
    origins/ORIGIN/releases/RELEASE/identifiers.sqlite  the ids of all documents, of what can be promoted
    origins/ORIGIN/releases/RELEASE/attempts/NNN-RUN  reports of one run of the release; the last one is the newest
    records/RUN/STEP.json                           records that steps pass on; STEP.OUTPUT.json of a step with several
    schema/                                         packages, environments, compiled schemas; shared by all origins
    releases/RELEASE                                releases of versions that had no `origins`

ORIGIN names a replica set and one database of it, so that releases of several origins can share the folder.
"""

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR
from typing import Any

import dagster as dg

from nmdc_release_ops.files import writing
from nmdc_release_ops.mongo.archive.manifest import MANIFEST, MANIFEST_DIGEST, ArchiveDamaged, read_manifest
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.identity import ServerIdentity
from nmdc_release_ops.planning.rehearsals import ARCHIVE, IDENTIFIERS
from nmdc_release_ops.records.data_release import ReleasePlan
from nmdc_release_ops.resources.environment import HomeSettings

_RELEASE_ID = re.compile(r"\d{8}T\d{6}Z-")
_LOCK = "in-use"
_REHEARSAL = "rehearsal"
_ODD = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST_PART = 40
# Needed only while a step works. The last is left by a validation that was killed.
_SCRATCH = ("transformer", "worker", "promotion", ".mongo-tools-*", ".trial-*", "attempts/*/validating.*")


class HomeUnusable(Exception):
    """NMDC_RELEASE_HOME cannot be written."""


@dataclass(frozen=True)
class Swapped:
    """Releases of an origin that were swapped in, newest first.

    Attributes:
        since: the cluster time after the newest one's swap; None if that is unknown.
    """

    release_ids: tuple[str, ...]
    since: ClusterTime | None


class ReleaseHomeResource(dg.ConfigurableResource[Any]):
    """The folder `NMDC_RELEASE_HOME`: archives, transformers, records, schema packages and environments."""

    @property
    def path(self) -> Path:
        return HomeSettings.read().path.expanduser().resolve()

    @property
    def schema_folder(self) -> Path:
        return self.path / "schema"

    def releases(self, plan: ReleasePlan) -> Path:
        """The folder of all releases of the plan's origin and database."""
        return self._releases_of(plan.origin, plan.database)

    def _releases_of(self, origin: ServerIdentity, database: str) -> Path:
        return self.path / "origins" / origin_name(origin, database) / "releases"

    def release(self, plan: ReleasePlan) -> Path:
        """The folder of one release, readable by its owner only.

        Raises:
            FileNotWritten.
        """
        folder = self.releases(plan) / plan.release_id
        with writing(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if plan.is_rehearsal:
                (folder / _REHEARSAL).touch()
        return folder

    def archive(self, plan: ReleasePlan) -> Path:
        return self.release(plan) / ARCHIVE

    def identifiers(self, plan: ReleasePlan) -> Path:
        """The ids of all documents that were validated. Other releases may link to the file: replace it, never write to it."""
        return self.release(plan) / IDENTIFIERS

    def transformer(self, plan: ReleasePlan) -> Path:
        return self.release(plan) / "transformer"

    def promotion(self, plan: ReleasePlan) -> Path:
        """What a promotion works with, until it is verified."""
        return self.release(plan) / "promotion"

    def verification(self, plan: ReleasePlan) -> Path:
        return self.release(plan) / "verification.json"

    def worker(self, plan: ReleasePlan) -> Path:
        """The working directory of the release's workers."""
        return self.release(plan) / "worker"

    def attempt(self, plan: ReleasePlan, run_id: str) -> Path:
        """The folder for the reports of one run of the release. A re-executed run has its own folder, with the next number.

        Raises:
            FileNotWritten.
        """
        folder = self.release(plan) / "attempts"
        before = sorted(path.name for path in folder.glob("*-*"))
        for name in before:
            if name.endswith(f"-{run_id[:8]}"):
                return folder / name
        last = int(before[-1].partition("-")[0]) if before else 0
        attempt = folder / f"{last + 1:03}-{run_id[:8]}"
        with writing(attempt):
            folder.mkdir(mode=0o700, exist_ok=True)
            attempt.mkdir(mode=0o700, exist_ok=True)
        return attempt

    def record(self, run_id: str, name: str) -> Path:
        return self.path / "records" / run_id / f"{name}.json"

    def runs_with_record(self, name: str) -> list[str]:
        """The runs that have a record of this name."""
        return [path.parent.name for path in (self.path / "records").glob(f"*/{name}.json")]

    @contextmanager
    def use(self, plan: ReleasePlan) -> Iterator[None]:
        """Lock the release's files against `claim` while the block lasts, for all processes of this machine.

        Raises:
            FileNotWritten.
        """
        path = self.release(plan) / _LOCK
        with writing(path):
            lock = path.open("a")
        with lock:
            with writing(path):
                fcntl.flock(lock, fcntl.LOCK_SH)
            yield

    @contextmanager
    def claim(self, plan: ReleasePlan, release_id: str) -> Iterator[bool]:
        """Lock the files of a release of the plan's origin while the block lasts; False if a step is using them."""
        with (self.releases(plan) / release_id / _LOCK).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def superseded(self, plan: ReleasePlan, swapped: Swapped, keep: int) -> list[str]:
        """Releases of the plan's origin and database whose archives are no longer needed, oldest first.

        These are all releases that were swapped in except the newest `keep`; and attempts that were not swapped in, if
        they were dumped before the newest swap or have no complete archive.

        Args:
            keep: number of archives of swapped-in releases to keep, at least one.
        """
        kept = set(swapped.release_ids[:keep])
        return [
            release_id
            for release_id in self.release_ids(plan)
            if release_id not in kept
            and (
                release_id in swapped.release_ids
                or _is_outdated(self.releases(plan) / release_id / "archive", swapped.since)
            )
        ]

    def find_rehearsals(self, origin: ServerIdentity, database: str) -> list[Path]:
        """The folders of all rehearsals of an origin and a database, complete or not, newest first, named after them."""
        folders = self._releases_of(origin, database).glob("*")
        return sorted((path for path in folders if _is_rehearsal(path)), reverse=True)

    def rehearsals(self, plan: ReleasePlan) -> list[str]:
        """Rehearsals of the plan's origin and database that have a folder, oldest first."""
        return [path.name for path in reversed(self.find_rehearsals(plan.origin, plan.database))]

    def older_rehearsals(self, plan: ReleasePlan, keep: int) -> list[str]:
        """Rehearsals that are older than the newest `keep` with a complete archive, those that failed included.

        Args:
            keep: at least one.
        """
        rehearsals = self.rehearsals(plan)
        complete = [one for one in rehearsals if (self.releases(plan) / one / "archive" / MANIFEST).is_file()]
        kept = complete[-keep:]
        return [one for one in rehearsals if kept and one < kept[-1] and one not in kept and one != plan.release_id]

    def remove_scratch(self, plan: ReleasePlan) -> int:
        """Remove the files of a release's transformer and of its workers; return the bytes freed.

        Only a rehearsal keeps the ids of its documents, for its promotion.

        Raises:
            OSError: something could not be removed.
        """
        return _remove(self.release(plan), _SCRATCH if plan.is_rehearsal else (*_SCRATCH, IDENTIFIERS))

    def remove_large_files(self, plan: ReleasePlan, release_id: str) -> int | None:
        """Remove the archive and the transformer of a release of the plan's origin; return the bytes freed, None if there was
        nothing to remove.

        Its manifest and reports are kept. What another release has linked to frees nothing.

        Raises:
            OSError: something could not be removed; the next release tries again.
        """
        folder = self.releases(plan) / release_id
        for name in (MANIFEST, MANIFEST_DIGEST):
            if (folder / "archive" / name).is_file():
                shutil.copy2(folder / "archive" / name, folder / name)
        freed = _remove(folder, ("archive.removed",))
        if is_archived := (folder / "archive").is_dir():
            # Renamed first: a partly removed archive must not look like an archive.
            (folder / "archive").rename(folder / "archive.removed")
        freed += _remove(folder, ("archive.removed", "archive.partial", "archive.delta", IDENTIFIERS, *_SCRATCH))
        return freed if freed or is_archived else None

    def unassigned(self) -> list[str]:
        """Releases made by versions that did not record the origin. Their origin is unknown, so nothing removes them."""
        return sorted(path.name for path in (self.path / "releases").glob("*") if _RELEASE_ID.match(path.name))

    def require_writable(self) -> None:
        """Write and remove a file.

        Raises:
            HomeUnusable: with the reason.
        """
        probe = self.path / f".writable-{os.getpid()}"
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise HomeUnusable(
                f"NMDC_RELEASE_HOME ({self.path}) cannot be written: {error.strerror}. Point it to a folder "
                "that the user running Dagster owns, on a disk with free space."
            ) from error

    def free_bytes(self) -> int:
        return shutil.disk_usage(self.path).free

    def release_ids(self, plan: ReleasePlan) -> list[str]:
        """Every release of the plan's origin and database that has a folder, oldest first."""
        return sorted(path.name for path in self.releases(plan).glob("*") if _RELEASE_ID.match(path.name))


def origin_name(origin: ServerIdentity, database: str) -> str:
    """Name of the folder of one database of one origin: readable and unique.

    If the id of the replica set is unknown, its members identify it: adding a member then starts a new
    folder, and the old one stays.
    """
    of_set = [origin.set_id] if origin.set_id else [origin.set_name, *origin.members]
    digest = hashlib.sha256("\n".join([*of_set, database]).encode()).hexdigest()
    parts = (_ODD.sub("_", part)[:_LONGEST_PART] for part in (database, origin.set_name))
    return "-".join([*(part for part in parts if part), digest[:12]])


def _is_rehearsal(folder: Path) -> bool:
    return _RELEASE_ID.match(folder.name) is not None and (folder / _REHEARSAL).exists()


def _is_outdated(archive: Path, since: ClusterTime | None) -> bool:
    """Whether an archive was dumped before that time, or is incomplete."""
    if since is None:
        return False
    try:
        return read_manifest(archive).cluster_time.timestamp() < since.timestamp()
    except ArchiveDamaged:
        # An archive without a manifest was never complete. One that cannot be read is kept for people to look at.
        return not (archive / MANIFEST).exists()


def _remove(folder: Path, patterns: Iterable[str]) -> int:
    """Remove what matches; return the bytes of disk freed."""
    paths = [path for pattern in patterns for path in folder.glob(pattern)]
    size = sum(_disk_bytes(path) for path in paths)
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return size


def _disk_bytes(folder: Path) -> int:
    # Blocks of 512 bytes, whatever the file system's own are (stat(2)).
    found = [path.lstat() for path in (folder, *folder.rglob("*"))]
    return sum(one.st_blocks * 512 for one in found if S_ISDIR(one.st_mode) or one.st_nlink == 1)
