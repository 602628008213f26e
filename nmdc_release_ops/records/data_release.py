"""What the steps of a data release hand to each other."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import Field

from nmdc_release_ops.mongo.archive.manifest import ArchivedCollection, Engine
from nmdc_release_ops.mongo.difference.changes import ChangeSet
from nmdc_release_ops.mongo.difference.difference import CollectionCounts
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.identity import ServerIdentity
from nmdc_release_ops.mongo.state.lease import Freeze, Strategy
from nmdc_release_ops.mongo.transfer.stage import Staged
from nmdc_release_ops.records.record import Part, Record
from nmdc_release_ops.records.verification import Verification
from nmdc_release_ops.runtime.check import Check

VALIDATION_TIMEOUT = 6 * 60
"""Minutes that validation may take by default."""
MAX_FROZEN_SECONDS = 30
"""How long a promotion may block writes by default."""


class Purpose(StrEnum):
    """What a plan is made for."""

    RELEASE = "release"
    """The origin is frozen, and the result swapped in."""
    REHEARSAL = "rehearsal"
    """Nobody is kept from writing, and the origin stays as it is."""
    PROMOTION = "promotion"
    """What was rehearsed is brought up to the origin as it is, and swapped in."""
    ONLINE_RELEASE = "online release"
    """A rehearsal and its promotion in one run."""


class Integrity(StrEnum):
    """Whether dangling references and duplicate ids stop a release."""

    FAIL_ON_NEW = "fail_on_new"
    """Only new ones stop it, which the origin's data did not have."""
    FAIL = "fail"
    WARN = "warn"


class PlannedCollection(Part):
    """A collection of the release: documents (approximate) and bytes of BSON."""

    name: str
    documents: int
    bytes: int


class PlannedMigrator(Part):
    """One migrator of the path.

    Attributes:
        module: within `nmdc_schema.migrators`.
        does_nothing: whether it is a no-op, which is not run.
        environment: name of the schema release that it runs in; empty if it is not run.
        gap: describes a gap between the version of the database at that point and `from_version`; empty if there is none.
    """

    module: str
    from_version: str
    to_version: str
    does_nothing: bool
    environment: str
    gap: str


class ReleasePlan(Record):
    """What a release is going to do.

    Attributes:
        release_id: names the release on disk, on the origin and in the ledger.
        purpose: whether it is carried out, or rehearsed.
        server: the origin's, for people.
        origin: identifies the origin, whatever its address.
        strategy: how writes will be blocked.
        strategy_reason: a sentence or two.
        drain_timeout: seconds that freezing waits for open transactions and writes to end.
        keep_archives: how many archives of releases that were swapped in are kept.
        keep_rehearsals: how many archives of rehearsals are kept.
        recorded_version: the version in the ledger; None if it had none.
        managed: names of all collections that either version knows, whether they exist or not.
        engine: what dumps, loads and stages.
        target: name of the schema release, or candidate, whose environment validates.
        schema_source: where the candidate was built from, and the commit; None for a published release.
        in_force: the release that was in force when this one was planned; None if there was none.
        described_by: version of the release whose schema describes the data before the migration; `from_version`, or the
            next one that was published.
        integrity: whether dangling references and duplicate ids stop the release.
        hop_timeout: minutes that each migrator may take.
        validation_timeout: minutes that validation may take.
        left_alone: collections and views of the origin that are not part of the release.
        warnings: what an operator should know.
        runtime: whether the Runtime is ready for the version.
        rehearsal: the rehearsal that is promoted; None in other jobs.
        max_frozen_seconds: how long a promotion may block writes before it thaws and catches up again.
    """

    release_id: str
    run_id: str
    purpose: Purpose = Purpose.RELEASE
    rehearsal: str | None = None
    max_frozen_seconds: int = MAX_FROZEN_SECONDS
    database: str
    server: str
    origin: ServerIdentity
    strategy: Strategy
    strategy_reason: str
    drain_timeout: int
    keep_archives: int
    keep_rehearsals: int = 1
    recorded_version: str | None
    managed: list[str]
    engine: Engine = Engine.NATIVE
    from_version: str
    to_version: str
    target: str
    schema_source: str | None = None
    in_force: str | None = None
    described_by: str
    integrity: Integrity = Integrity.FAIL_ON_NEW
    hop_timeout: int
    validation_timeout: int = VALIDATION_TIMEOUT
    migrators: list[PlannedMigrator]
    collections: list[PlannedCollection]
    left_alone: list[str]
    warnings: list[str]
    runtime: list[Check] = Field(default_factory=list)

    def warned(self, warnings: list[str]) -> Self:
        """The plan with more warnings."""
        return self.model_copy(update={"warnings": [*self.warnings, *warnings]})

    @property
    def is_rehearsal(self) -> bool:
        return self.purpose is Purpose.REHEARSAL

    @property
    def is_dumped_unfrozen(self) -> bool:
        """Whether people write while its archive is made."""
        return self.purpose in (Purpose.REHEARSAL, Purpose.ONLINE_RELEASE)

    @property
    def catches_up(self) -> bool:
        """Whether what people write meanwhile is taken into account, instead of keeping them from writing."""
        return self.purpose in (Purpose.PROMOTION, Purpose.ONLINE_RELEASE)

    @property
    def versions_before(self) -> set[str | None]:
        """The versions that the ledger may have before the release's own swap."""
        return {self.recorded_version, self.from_version}

    @property
    def candidate(self) -> str | None:
        """Name of the candidate that is released; None for a published release."""
        return self.target if self.schema_source is not None else None

    @property
    def documents(self) -> int:
        return sum(collection.documents for collection in self.collections)

    @property
    def bytes(self) -> int:
        return sum(collection.bytes for collection in self.collections)

    @property
    def last_migrator_module(self) -> str:
        """Dotted name for the ledger; empty if the path has no migrator."""
        return f"nmdc_schema.migrators.{self.migrators[-1].module}" if self.migrators else ""


class FreezeLease(Record):
    """Since when, and how, the origin is frozen for a release.

    Attributes:
        is_over: whether the same step allowed writes again: that of a promotion goes on to the swap, or stops on the way there.
    """

    release_id: str
    strategy: Strategy
    frozen_at: datetime
    cluster_time: ClusterTime
    is_over: bool = False


class Archive(Record):
    """A complete dump of the release's collections.

    Attributes:
        path: folder of the archive; its manifest holds the same facts.
        manifest_sha256: of the manifest, which holds the digest of every other file.
        seconds: that dumping took.
    """

    path: Path
    manifest_sha256: str
    cluster_time: ClusterTime
    collections: list[ArchivedCollection]
    seconds: float = 0

    @property
    def hashes(self) -> dict[str, str]:
        return {collection.name: collection.hash for collection in self.collections}

    @property
    def documents(self) -> int:
        return sum(collection.documents for collection in self.collections)


class MigratorOutcome(Part):
    """What one migrator did.

    Attributes:
        written: documents it changed, by collection.
        touched: how it used each collection that it used: read, written, created, renamed, deleted.
    """

    module: str
    from_version: str
    to_version: str
    seconds: float
    written: dict[str, int]
    touched: dict[str, list[str]] = Field(default_factory=dict)


class MigratedDatabase(Record):
    """The transformer after the last migrator.

    Attributes:
        manifest_sha256: of the archive that was loaded.
        database: its name on the transformer.
        definitions: digest of each collection's UUID, kind, options and indexes.
        documents: per collection.
        hashes: `dbHash` per collection; of those that are not loaded, the one when they were dumped.
        unloaded: collections that no migrator used. Only the archive holds their documents.
        counts: of the collections that changed, were created or deleted.
        difference: the page that shows what changed.
        seconds: that dumping, loading and migrating took.
    """

    manifest_sha256: str
    database: str
    definitions: dict[str, str]
    migrators: list[MigratorOutcome]
    changes: ChangeSet
    documents: dict[str, int]
    hashes: dict[str, str]
    unloaded: list[str] = Field(default_factory=list)
    counts: list[CollectionCounts] = Field(default_factory=list)
    difference: Path | None = None
    seconds: float = 0

    @property
    def documents_changed(self) -> int:
        """How many documents migrators changed, added or removed."""
        return sum(one.changed + one.added + one.removed for one in self.counts)


class ValidationReport(Record):
    """The result of validating every document and every reference between them.

    Attributes:
        identifiers: how many different ids the documents have.
        references: how many were checked.
        violations: how many stop the release; a report that a later step reads has none.
        tolerated: how many violations between documents were only reported.
        by_kind: violations of either sort, per kind.
        violations_path: JSON lines, one per violation.
        page_path: the summary, for a browser.
        hashes: `dbHash` per validated collection.
        conclusion: of a rehearsal, for people; empty in a release.
        identifiers_path: the ids of all documents (`schema.worker.validating.integrity.identifiers`), for a promotion; None in
            a release.
    """

    documents: int
    identifiers: int
    references: int
    violations: int
    tolerated: int
    by_kind: dict[str, int]
    violations_path: Path
    page_path: Path
    hashes: dict[str, str]
    conclusion: str = ""
    identifiers_path: Path | None = None


class Round(Part):
    """One round of bringing what is staged up to the origin.

    Attributes:
        until: the moment of the origin up to which it went.
        written: documents of the origin that were written or deleted since the round before, by collection.
        migrated: whether the migrators ran again.
        validated: documents that were validated.
        tolerated: violations between these documents, or in references to what is gone, that do not stop the release.
        staged: documents that were written to staged collections, or deleted there.
        seconds: that it took, all in all.
        parts: seconds that its parts took, by name, in order.
    """

    until: ClusterTime
    written: dict[str, int]
    migrated: bool
    validated: int
    tolerated: int
    staged: int
    seconds: float
    parts: dict[str, float]


class Counted(Part):
    """What was counted on the way to what is swapped in.

    Attributes:
        documents_changed: by migrators; of a promotion, when it was rehearsed.
        violations: between documents, that did not stop the release, by kind; of a promotion, when it was rehearsed.
        violations_since: of a promotion, of any kind, in what was written since the rehearsal.
    """

    documents_changed: int
    violations: dict[str, int]
    violations_since: int = 0

    @classmethod
    def of(cls, migrated: MigratedDatabase, validation: ValidationReport) -> Self:
        return cls(documents_changed=migrated.documents_changed, violations=validation.by_kind)

    def with_rounds(self, rounds: Iterable[Round]) -> Self:
        """With the violations in what was written since, as these rounds found them."""
        since = self.violations_since + sum(one.tolerated for one in rounds)
        return self.model_copy(update={"violations_since": since})


class CaughtUp(Record):
    """What is staged is what the release would have made of the origin as it was at the end of the last round.

    Attributes:
        predicted_seconds: how long the rest would block writes.
    """

    rounds: list[Round]
    predicted_seconds: float
    counted: Counted | None = None


class Reconciled(Record):
    """What is staged is what the release would have made of the origin as it is now, frozen.

    Attributes:
        until: the moment of the origin that was taken into account; it was frozen then.
        verified_at: a moment at which all staged collections were as they should be.
        wrote: how many documents of each the promotion wrote or deleted since; whatever else is written there is somebody else's.
        changes: what the release does to each collection.
        staged: each verified, document by document, to be what was migrated and validated.
        hashes_before: `dbHash`, at that moment, of the collections that are swapped out, as far as they are known.
        freezes: how often the origin was frozen for it; more than 1 if what was left took too long.
    """

    rounds: list[Round]
    until: ClusterTime
    verified_at: ClusterTime
    wrote: dict[str, int]
    changes: ChangeSet
    staged: list[Staged]
    hashes_before: dict[str, str]
    freezes: int
    counted: Counted | None = None


class Restoration(Record):
    """What was swapped in.

    Attributes:
        moves: renames, as (from, to).
        swapped_at: when the swap ended.
        documents: of all collections of the release, afterwards.
    """

    staged: list[Staged]
    changes: ChangeSet
    moves: list[tuple[str, str]]
    swapped_at: datetime
    documents: int = 0
    counted: Counted | None = None


class FreezeWindow(Record):
    """How long writes were blocked, in one or more freezes, and what was put back.

    Attributes:
        verification: what was compared once more after a promotion; None after another release.
    """

    freezes: list[Freeze]
    verification: Verification | None = None

    @property
    def put_back(self) -> int:
        """How many users and roles the last thaw put back."""
        return self.freezes[-1].put_back if self.freezes else 0

    @property
    def left(self) -> tuple[str, ...]:
        """A line for each user or role that the last thaw did not put back, because somebody had changed it."""
        return self.freezes[-1].left if self.freezes else ()

    @property
    def seconds(self) -> float:
        return sum(freeze.seconds for freeze in self.freezes)
