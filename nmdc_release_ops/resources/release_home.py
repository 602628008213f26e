"""The folder `NMDC_RELEASE_HOME`, and which origin and release its contents belong to.

    origins/ORIGIN/releases/RELEASE/archive         the dump
    origins/ORIGIN/releases/RELEASE/transformer     files of the private mongod
    origins/ORIGIN/releases/RELEASE/promotion       what a promotion works with, until it is verified
    origins/ORIGIN/releases/RELEASE/verification.json  what was compared after a promotion
    origins/ORIGIN/releases/RELEASE/release.html    its page, and rollback.html; .json what they show
    origins/ORIGIN/releases/RELEASE/rehearsal       empty; there if it is one
    origins/ORIGIN/releases/RELEASE/rehearsed.json  its records, when it is complete
    origins/ORIGIN/releases/RELEASE/identifiers.sqlite  the ids of all documents, of what can be promoted
    origins/ORIGIN/releases/RELEASE/attempts/NNN-RUN  reports of one run of the release; the last one is the newest
    records/RUN/STEP.json                           records that steps pass on; STEP.OUTPUT.json of a step with several
    schema/                                         packages, environments, compiled schemas; shared by all origins
    releases/index.html                             lists the pages of all origins
    metrics-ORIGIN.prom                             the state of the origin, for monitoring
    releases/RELEASE                                releases of versions that had no `origins`

ORIGIN names a replica set and one database of it, so that releases of several origins can share the folder.
"""

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR
from typing import Any
from urllib.parse import quote

import dagster as dg

from nmdc_release_ops.files import writing
from nmdc_release_ops.folders import ARCHIVE, IDENTIFIERS, REHEARSAL, find_rehearsals, is_release, releases_folder
from nmdc_release_ops.mongo.archive.manifest import MANIFEST, MANIFEST_DIGEST, ArchiveDamaged, read_manifest
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.identity import ServerIdentity
from nmdc_release_ops.records.data_release import ReleasePlan
from nmdc_release_ops.resources.audit_folder import AuditFolder
from nmdc_release_ops.resources.environment import HomeSettings

FOLLOW_UP = "follow-up."
"""How the folder begins in which `follow_up` works."""
_LOCK = "in-use"
# Needed only while a step works. The last ones are left by a validation that was killed.
_SCRATCH = (
    *("transformer", "worker", "promotion", ".mongo-tools-*", ".trial-*", f"{FOLLOW_UP}*"),
    *("attempts/*/validating.*", "attempts/*/follow-up/validating.*"),
)


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
    """The folder `NMDC_RELEASE_HOME`: archives, transformers, records, schema packages and environments.

    `NMDC_REPORTS_URL` is the address at which it is served: then pages are links in the UI.
    """

    @property
    def path(self) -> Path:
        return HomeSettings.read().path.expanduser().resolve()

    def address(self, path: Path) -> str | None:
        """Where a page of this folder is served; None if the pages are not served, or it is not one of them."""
        base = HomeSettings.read().reports_url
        if base is None or path.suffix != ".html" or not path.is_relative_to(self.path):
            return None
        return f"{base.rstrip('/')}/{quote(str(path.relative_to(self.path)))}"

    def show(self, path: Path) -> dg.MetadataValue:
        """A file as the UI shows it: a link where it is served, and a path elsewhere."""
        address = self.address(path)
        return dg.MetadataValue.path(str(path)) if address is None else dg.MetadataValue.url(address)

    @property
    def schema_folder(self) -> Path:
        return self.path / "schema"

    def releases(self, plan: ReleasePlan) -> Path:
        """The folder of all releases of the plan's origin and database."""
        return releases_folder(self.path, plan.origin, plan.database)

    def audits(self, origin: ServerIdentity, database: str) -> AuditFolder:
        """Where audits of an origin and a database work."""
        return AuditFolder(releases_folder(self.path, origin, database).with_name("audits"))

    def find_release(self, release_id: str) -> Path | None:
        """The folder of a release of any origin; None if there is none."""
        return next((path for path in self.path.glob("origins/*/releases/*") if path.name == release_id), None)

    def release(self, plan: ReleasePlan) -> Path:
        """The folder of one release, readable by its owner only.

        Raises:
            FileNotWritten.
        """
        folder = self.releases(plan) / plan.release_id
        with writing(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if plan.is_rehearsal:
                (folder / REHEARSAL).touch()
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

    @property
    def records(self) -> Path:
        """Has a folder for each run, with the record of each of its steps."""
        return self.path / "records"

    def record(self, run_id: str, name: str) -> Path:
        return self.records / run_id / f"{name}.json"

    def runs_with_record(self, name: str) -> list[str]:
        """The runs that have a record of this name."""
        return [path.parent.name for path in self.records.glob(f"*/{name}.json")]

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
        return find_rehearsals(self.path, origin, database)

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
        return sorted(path.name for path in (self.path / "releases").glob("*") if is_release(path))

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
        return sorted(path.name for path in self.releases(plan).glob("*") if is_release(path))


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
