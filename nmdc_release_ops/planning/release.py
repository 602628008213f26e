"""The plan of a release: its path, collections, room on disk, and what an operator should know."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nmdc_release_ops.mongo.archive.manifest import Engine
from nmdc_release_ops.mongo.preflight import CollectionFindings, inspect_collections
from nmdc_release_ops.mongo.state import ledger
from nmdc_release_ops.planning.candidate_data import warn_of_candidate_data
from nmdc_release_ops.planning.origin import PlannedOrigin
from nmdc_release_ops.planning.refusal import PlanRefused
from nmdc_release_ops.records.data_release import (
    MAX_FROZEN_SECONDS,
    Integrity,
    PlannedCollection,
    PlannedMigrator,
    Purpose,
    ReleasePlan,
)
from nmdc_release_ops.runtime.check import Check, Outcome
from nmdc_release_ops.schema.environments.environment import BYTES as BYTES_PER_ENVIRONMENT
from nmdc_release_ops.schema.packages.candidate import commit_of
from nmdc_release_ops.schema.packages.package import SchemaPackage, SchemaPackages
from nmdc_release_ops.schema.path import MigrationPath, migration_path
from nmdc_release_ops.schema.shipping import Target, place_hops
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops.units import size

# What a fresh mongod allocates for itself.
FIXED_BYTES = 1_250_000_000
# The archive is never larger than the data; the transformer holds them, their indexes and what migrators rewrite.
BYTES_PER_BYTE_OF_DATA = 3


@dataclass(frozen=True)
class Options:
    """What the operator chose for a release; `PlanConfig` describes each."""

    schema_source: str | None
    allow_missing_migrator: bool
    allow_candidate_data: bool
    integrity: Integrity
    engine: Engine
    drain_timeout: int
    hop_timeout: int
    validation_timeout: int
    keep_archives: int
    keep_rehearsals: int
    max_frozen_seconds: int = MAX_FROZEN_SECONDS


@dataclass(frozen=True)
class Attempt:
    """One execution of a plan, and where it works besides the origin.

    Attributes:
        purpose: whether the release is carried out, or rehearsed.
        transformer: name of the database that the migrators work on.
        home: `NMDC_RELEASE_HOME`.
        free_bytes: on the disk of `home`.
        schema_folder: where packages of schema releases are kept.
    """

    release_id: str
    run_id: str
    purpose: Purpose
    transformer: str
    home: Path
    free_bytes: int
    schema_folder: Path


@dataclass(frozen=True)
class _Findings:
    """What a plan is made from, besides the state of the origin's server.

    Attributes:
        source: the release whose schema describes the data before the migration.
        inspected: the collections of the origin.
        warnings: about the path and its migrators.
    """

    path: MigrationPath
    migrators: list[PlannedMigrator]
    source: SchemaPackage
    inspected: CollectionFindings
    warnings: list[str]


def name_release(from_version: str, to_version: str, run_id: str) -> str:
    """The id of a release that is planned now."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{from_version}-to-{to_version}-{run_id[:8]}"


def plan_release(origin: PlannedOrigin, target: Target, options: Options, attempt: Attempt) -> ReleasePlan | None:
    """Find out what a release is going to do; None if the database already conforms to the target.

    Raises:
        PlanRefused: naming the problems.
        NoMigrationPath, DuplicateMigrators, SchemaReleaseNotFound, PackageIndexUnreachable, PackageIndexUnusable,
        InstallationFailed, PackageUnreadable.
        LedgerUnusable: the ledger does not accept the events of the release.
    """
    made_before = warn_of_candidate_data(origin, target, attempt.schema_folder, allow=options.allow_candidate_data)
    if origin.version == target.package.version and not made_before:
        return None
    findings = _gather_findings(origin, target, options, attempt)
    data = sum(one.bytes for one in findings.inspected.collections.values())
    environments = len(findings.path.hops) + 1
    problems = [*findings.inspected.problems, *find_room_problems(attempt, data, environments)]
    if problems:
        raise PlanRefused(problems)
    release = _describe(origin, target, options, attempt, findings)
    ledger.try_events(
        origin.database,
        from_version=release.from_version,
        to_version=release.to_version,
        migrator_module=release.last_migrator_module,
        release_id=release.release_id,
    )
    return release.model_copy(update={"warnings": [*made_before, *release.warnings]})


def _gather_findings(origin: PlannedOrigin, target: Target, options: Options, attempt: Attempt) -> _Findings:
    path = _find_path(origin.version, target.package, allow_missing_migrator=options.allow_missing_migrator)
    packages = SchemaPackages(attempt.schema_folder, also_kept=True)
    migrators, migrator_warnings = _place_migrators(packages, path, target)
    source, source_warnings = _find_source(packages, origin.version, target.package)
    inspected = inspect_collections(
        origin.database.client,
        origin.server,
        origin.database.name,
        # The release leaves every other collection alone.
        source.collections() | target.package.collections(),
        transformer=attempt.transformer,
    )
    outdated = target.warnings or packages.describe_stand_ins()
    warnings = [*outdated, *path.warnings, *migrator_warnings, *source_warnings]
    return _Findings(path, migrators, source, inspected, warnings)


def _describe(
    origin: PlannedOrigin, target: Target, options: Options, attempt: Attempt, findings: _Findings
) -> ReleasePlan:
    inspected = findings.inspected
    return ReleasePlan(
        release_id=attempt.release_id,
        run_id=attempt.run_id,
        purpose=attempt.purpose,
        database=origin.database.name,
        server=str(origin.server),
        origin=origin.identity.to_keep(),
        in_force=next((journal.release_id for journal in origin.history.in_force), None),
        strategy=origin.freezing.strategy,
        strategy_reason=origin.freezing.reason,
        drain_timeout=options.drain_timeout,
        keep_archives=options.keep_archives,
        keep_rehearsals=options.keep_rehearsals,
        max_frozen_seconds=options.max_frozen_seconds,
        recorded_version=origin.history.version,
        managed=list(inspected.managed),
        engine=options.engine,
        from_version=str(origin.version),
        to_version=str(target.package.version),
        target=str(target.release),
        schema_source=_describe_source(options, target),
        described_by=str(findings.source.version),
        integrity=options.integrity,
        hop_timeout=options.hop_timeout,
        validation_timeout=options.validation_timeout,
        migrators=findings.migrators,
        collections=[
            PlannedCollection(name=name, documents=one.documents, bytes=one.bytes)
            for name, one in inspected.collections.items()
        ],
        left_alone=list(inspected.left_alone),
        warnings=[*findings.warnings, *inspected.warnings, *origin.freezing.warnings, *origin.occupants],
    )


def add_runtime_checks(release: ReleasePlan, checks: list[Check], *, required: bool) -> ReleasePlan:
    """The plan with the results of the checks of the Runtime, and with a warning for each that failed.

    Args:
        required: whether all of them have to pass.

    Raises:
        PlanRefused: one failed, or was not made, although it is required.
    """
    problems = [f"The Runtime: {check.describe()}." for check in checks if check.outcome is not Outcome.PASSED]
    if required and problems:
        advice = f"Make the Runtime ready for {release.to_version}, or launch again without require_runtime_ready."
        raise PlanRefused([*problems, advice])
    failed = [f"The Runtime is not ready: {check.describe()}." for check in checks if check.outcome is Outcome.FAILED]
    return release.warned(failed).model_copy(update={"runtime": checks})


def _describe_source(options: Options, target: Target) -> str | None:
    """Where a candidate was built from; None for a published release."""
    if options.schema_source is None:
        return None
    commit = commit_of(target.package.path)
    return options.schema_source.strip() + (f", commit {commit}" if commit else "")


def _find_path(from_version: SchemaVersion, target: SchemaPackage, *, allow_missing_migrator: bool) -> MigrationPath:
    if target.version < from_version:
        raise PlanRefused(
            [
                f"The database conforms to {from_version}, which is newer than {target.version}. Migrators only go forward: to "
                "get back to an earlier version, roll the last release back."
            ]
        )
    path = migration_path(target, from_version, target.version)
    if path.lacks_final_migrator and not allow_missing_migrator:
        raise PlanRefused(
            [
                f"Schema release {target.version} has no migrator of its own, although every release has to have one, even an "
                "empty one (nmdc-schema's ADR 007). Ask its maintainers, or, if you know that there is nothing to migrate, "
                "launch again with allow_missing_migrator: true."
            ]
        )
    return path


def _place_migrators(
    packages: SchemaPackages, path: MigrationPath, target: Target
) -> tuple[list[PlannedMigrator], list[str]]:
    """Each migrator with the release that it runs in, and what an operator should know of them."""
    migrators, warnings = [], []
    for hop, shipped in zip(path.hops, place_hops(packages, path, target), strict=True):
        name = str(shipped.release) if shipped else ""
        migrators.append(
            PlannedMigrator(
                module=hop.migrator.module,
                from_version=hop.migrator.origin,
                to_version=hop.migrator.destination,
                does_nothing=hop.migrator.does_nothing,
                environment=name,
                gap=hop.gap,
            )
        )
        if shipped and shipped.edited:
            warnings.append(
                f"{hop.migrator.module} runs as schema {name} ships it; {target.package.version} ships a different copy."
            )
    return migrators, warnings


def _find_source(
    packages: SchemaPackages, from_version: SchemaVersion, target: SchemaPackage
) -> tuple[SchemaPackage, list[str]]:
    """The release whose schema describes the data before the migration, and what an operator should know of it."""
    package = packages.fetch_or_next(from_version, target.version)
    if package.version == from_version:
        return package, []
    warning = (
        f"Schema release {from_version} is not on the package index; its collections were taken from {package.version}, "
        "the next one that is."
    )
    return package, [warning]


def find_room_problems(attempt: Attempt, data: int, environments: int) -> Iterator[str]:
    """Whether NMDC_RELEASE_HOME has room for a release.

    Args:
        data: bytes of all documents.
        environments: how many may have to be made.
    """
    needed = FIXED_BYTES + BYTES_PER_BYTE_OF_DATA * data + BYTES_PER_ENVIRONMENT * environments
    if attempt.free_bytes < needed:
        yield (
            f"NMDC_RELEASE_HOME ({attempt.home}) has {size(attempt.free_bytes)} free, and the release needs up to {size(needed)} "
            f"for {size(data)} of data. Make room, or point it at a larger disk."
        )
