"""What the steps of a data release hand to each other."""

from datetime import datetime
from enum import StrEnum
from pathlib import Path

from pydantic import Field

from nmdc_release_ops.mongo.archive.manifest import ArchivedCollection, Engine
from nmdc_release_ops.mongo.difference.changes import ChangeSet
from nmdc_release_ops.mongo.difference.difference import CollectionCounts
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.identity import ServerIdentity
from nmdc_release_ops.mongo.state.lease import Freeze, Strategy
from nmdc_release_ops.mongo.transfer.stage import Staged
from nmdc_release_ops.records.record import Part, Record
from nmdc_release_ops.runtime.readiness import Check

VALIDATION_TIMEOUT = 6 * 60
"""Minutes that validation may take by default."""


class Purpose(StrEnum):
    """What a plan is made for."""

    RELEASE = "release"
    """The origin is frozen, and the result swapped in."""
    REHEARSAL = "rehearsal"
    """Nobody is kept from writing, and the origin stays as it is."""


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
    """

    release_id: str
    run_id: str
    purpose: Purpose = Purpose.RELEASE
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

    @property
    def is_rehearsal(self) -> bool:
        return self.purpose is Purpose.REHEARSAL

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
    """Since when, and how, the origin is frozen for a release."""

    release_id: str
    strategy: Strategy
    frozen_at: datetime
    cluster_time: ClusterTime


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


class Restoration(Record):
    """What was swapped in.

    Attributes:
        moves: renames, as (from, to).
        swapped_at: when the swap ended.
    """

    staged: list[Staged]
    changes: ChangeSet
    moves: list[tuple[str, str]]
    swapped_at: datetime


class FreezeWindow(Record):
    """How long writes were blocked, in one or more freezes, and what was put back."""

    freezes: list[Freeze]

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
