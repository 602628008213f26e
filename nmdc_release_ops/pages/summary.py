"""What the page of a release shows, kept as `release.json` beside it: without any secret, and without the origin's address."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError

from nmdc_release_ops.mongo.difference.changes import ChangeSet
from nmdc_release_ops.mongo.difference.difference import CollectionCounts
from nmdc_release_ops.records.record import Part

ROLLBACK = "rollback"
WORDS = {
    "data_release": "Release",
    "rehearsal": "Rehearsal",
    "promote": "Promotion",
    "online_release": "Online release",
    ROLLBACK: "Rollback",
}
"""What each job is called on a page."""


class Outcome(StrEnum):
    """How a run, or one of its steps, ended."""

    UNDER_WAY = "under way"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Swap(StrEnum):
    """How far the swap of a release is on the origin."""

    NOT_BEGUN = "not begun"
    BEGUN = "swapping"
    DONE = "swapped"
    UNDOING = "rolling back"
    UNDONE = "rolled back"
    UNKNOWN = "unknown"


class StepRun(Part):
    """One step of the run; `ended` is None while it is under way."""

    name: str
    outcome: Outcome
    started: datetime
    ended: datetime | None


class Blocked(Part):
    """A time in which writes to the origin were blocked; `until` is None while they are."""

    since: datetime
    until: datetime | None


class MigratorRun(Part):
    """A migrator of the path.

    Attributes:
        seconds: that it took; None where it was not run, or not yet.
        written: documents that it changed, by collection.
    """

    module: str
    from_version: str
    to_version: str
    does_nothing: bool
    seconds: float | None = None
    written: dict[str, int] = Field(default_factory=dict)


class Validated(Part):
    """What validation found.

    Attributes:
        tolerated: violations between documents that do not stop the release.
    """

    documents: int
    references: int
    violations: int
    tolerated: int
    by_kind: dict[str, int]


class KeptArchive(Part):
    """The archive of a release, as it was when it was dumped; bytes on disk."""

    documents: int
    bytes: int
    dumped_at: datetime


class ReleaseSummary(Part):
    """One release, rehearsal, promotion or rollback.

    Attributes:
        job: the name of the job.
        release_id: of the release; of a rollback, that of the release which is rolled back.
        earlier_runs: runs of the same release that this one re-executed, newest first.
        launched_by: for people.
        server: the origin's version and topology, for people.
        from_version: what the database was at before.
        started, ended: of this run; `ended` is None while it is under way.
        stopped_in: the step that failed; empty where none did.
        failure: the error's text, for operators.
        swapped_at: when its swap ended; None where it was not swapped in, and where an earlier version wrote the summary.
        blocked: all times in which writes were blocked for the release; None where that is not known.
        changes: what it does to each collection; None where it did not get that far.
        rehearsal: the rehearsal that was promoted.
        conclusion: of a rehearsal, for people.
        verification: what was compared once more after a promotion, for people.
        follow_up: what became of the Runtime, and of what was written since the swap, for people.
        installed: version of each package, by schema environment and package.
        difference, validation, schema_changes: pages, relative to the folder of the release; None where there are none.
    """

    job: str
    release_id: str
    run_id: str
    earlier_runs: list[str] = Field(default_factory=list)
    launched_by: str
    database: str
    server: str
    from_version: str
    to_version: str
    schema_source: str | None = None
    started: datetime
    ended: datetime | None = None
    outcome: Outcome
    stopped_in: str = ""
    failure: str = ""
    swap: Swap = Swap.NOT_BEGUN
    swapped_at: datetime | None = None
    steps: list[StepRun] = Field(default_factory=list)
    blocked: list[Blocked] | None = Field(default_factory=list)
    migrators: list[MigratorRun] = Field(default_factory=list)
    changes: ChangeSet | None = None
    counts: list[CollectionCounts] = Field(default_factory=list)
    validated: Validated | None = None
    rehearsal: str | None = None
    conclusion: str = ""
    verification: str = ""
    follow_up: str = ""
    warnings: list[str] = Field(default_factory=list)
    installed: dict[str, dict[str, str]] = Field(default_factory=dict)
    archive: KeptArchive | None = None
    difference: Path | None = None
    schema_changes: Path | None = None
    validation: Path | None = None

    @property
    def is_rollback(self) -> bool:
        return self.job == ROLLBACK

    @property
    def is_rehearsal(self) -> bool:
        return self.job == "rehearsal"

    @property
    def word(self) -> str:
        return WORDS.get(self.job, self.job)

    @property
    def is_released(self) -> bool:
        """Whether it brought the database to another version of the schema."""
        return not self.is_rollback and self.swap is Swap.DONE

    @property
    def effective_at(self) -> datetime:
        """Its place among the others of its database: when it was swapped in; before that, when its data were dumped. Unlike
        `started`, re-executing its later steps does not change it.
        """
        if self.swapped_at is not None:
            return self.swapped_at
        if self.is_released or self.archive is None:
            return self.started
        return self.archive.dumped_at

    @property
    def blocked_seconds(self) -> float | None:
        """How long writes were blocked; None where that is not known, or not over."""
        if self.blocked is None or any(one.until is None for one in self.blocked):
            return None
        return sum((one.until - one.since).total_seconds() for one in self.blocked if one.until)

    @property
    def documents_changed(self) -> int:
        return sum(one.changed + one.added + one.removed for one in self.counts)

    @property
    def file_name(self) -> str:
        """Of its page, without the ending."""
        return ROLLBACK if self.is_rollback else "release"

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The summary in a file; None where there is none that this version of the project can read."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            return None


class Standing(Part):
    """What became of a release since: a page says it as it is when the page is written.

    Attributes:
        folder: of the release.
        has_archive: whether its archive is there; it may have been removed, or never completed.
        has_oplog: whether the archive holds what was written during the dump as `oplog.bson`.
        rolled_back: when it was rolled back; None where it was not.
        followed_by: a later release of the same database that was swapped in; None where there was none.
    """

    folder: Path
    has_archive: bool = False
    has_oplog: bool = False
    rolled_back: datetime | None = None
    followed_by: str | None = None

    @property
    def archive(self) -> Path:
        return self.folder / "archive"


def find_standing(summary: ReleaseSummary, folder: Path, others: Sequence[ReleaseSummary]) -> Standing:
    """Look up what became of a release.

    Args:
        folder: of the release.
        others: everything that is known of the same database, in any order.
    """
    undone = [
        one.ended or one.started
        for one in others
        if one.is_rollback
        and one.release_id == summary.release_id
        and one.outcome is Outcome.SUCCEEDED
        and one.started > summary.effective_at
    ]
    later = [one for one in others if one.is_released and one.effective_at > summary.effective_at]
    return Standing(
        folder=folder,
        has_archive=(folder / "archive").is_dir(),
        has_oplog=(folder / "archive" / "oplog.bson").is_file(),
        rolled_back=None if summary.is_rollback else max(undone, default=None),
        followed_by=min(later, key=lambda one: one.effective_at).release_id if later else None,
    )
