"""`plan`: find out what the release is going to do, and everything that would stop it, before anything is frozen."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal

import dagster as dg
from pydantic import Field

from nmdc_release_ops.mongo.freezing.choose import Choice
from nmdc_release_ops.mongo.preflight import OriginFindings, inspect_ledger, inspect_origin, inspect_server
from nmdc_release_ops.mongo.server.identity import identify_server
from nmdc_release_ops.mongo.server.topology import Server, describe_server
from nmdc_release_ops.mongo.state import ledger
from nmdc_release_ops.mongo.state.bookkeeping import conforming_version, is_owed
from nmdc_release_ops.mongo.state.journal import newest_journal
from nmdc_release_ops.mongo.swapping.released import release_in_force
from nmdc_release_ops.mongo.transfer.archive import Engine
from nmdc_release_ops.mongo.transfer.engine import require_engine
from nmdc_release_ops.records.data_release import (
    VALIDATION_TIMEOUT,
    Integrity,
    PlannedCollection,
    PlannedMigrator,
    ReleasePlan,
)
from nmdc_release_ops.resources.origin import Origin, OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHome
from nmdc_release_ops.resources.runtime import Deployment, RuntimeProject
from nmdc_release_ops.resources.schema import SchemaReleases
from nmdc_release_ops.resources.transformer import TransformerResource, transformer_database
from nmdc_release_ops.schema.environments.environment import BYTES as BYTES_PER_ENVIRONMENT
from nmdc_release_ops.schema.packages.candidate import commit_of
from nmdc_release_ops.schema.packages.package import SchemaPackage, SchemaReleaseNotFound
from nmdc_release_ops.schema.path import MigrationPath, migration_path
from nmdc_release_ops.schema.shipping import Target, place_hops
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops.steps.freeze import FreezeConfig, choose_freezing
from nmdc_release_ops.steps.shared.candidate_data import warn_of_candidate_data
from nmdc_release_ops.steps.shared.display import size, table
from nmdc_release_ops.steps.shared.failures import PlanRefused, explain_failures
from nmdc_release_ops.steps.shared.options import log_options
from nmdc_release_ops.steps.shared.origin_state import look_up_origin
from nmdc_release_ops.steps.shared.prepare_environments import prepare_environments
from nmdc_release_ops.steps.shared.runtime_readiness import runtime_checks, runtime_warnings
from nmdc_release_ops.steps.shared.trial import try_tools_of

NOT_TOUCHED = "The origin was not touched."
# What a fresh mongod allocates for itself.
FIXED_BYTES = 1_250_000_000
# The archive is never larger than the data; the transformer holds them, their indexes and what migrators rewrite.
BYTES_PER_BYTE_OF_DATA = 3


class PlanConfig(FreezeConfig):
    """What an operator may say about a release; nothing has to be said."""

    target_version: str = Field(
        default="latest", description='Version of the NMDC Schema to release: "11.25", "v11.25.0", or "latest".'
    )
    from_version: str | None = Field(
        default=None, description="Version the database conforms to now. Only needed where its ledger is empty."
    )
    allow_missing_migrator: bool = Field(
        default=False, description="Go on where the target release has no migrator of its own (against ADR 007)."
    )
    allow_without_authorization: bool = Field(
        default=False, description="Go on where the origin does not require authentication and so cannot be frozen."
    )
    schema_source: str | None = Field(
        default=None,
        description="A release candidate in place of a published release: a direct reference to a branch "
        '("nmdc-schema @ git+https://.../nmdc-schema@branch"), or the path of a wheel or of a folder. Without credentials.',
    )
    allow_candidate_data: bool = Field(
        default=False,
        description="Make data official that a candidate made, although its migrators differ from the official ones.",
    )
    integrity: Literal["fail_on_new", "fail", "warn"] = Field(
        default="fail_on_new",
        description="Whether dangling references and shared ids stop the release: only those that the origin's data did not have "
        'before ("fail_on_new"), any ("fail"), or none; then they are only reported ("warn").',
    )
    hop_timeout: int = Field(default=24 * 60, ge=1, description="Minutes that each migrator may take.")
    validation_timeout: int = Field(default=VALIDATION_TIMEOUT, ge=1, description="Minutes that validation may take.")
    keep_archives: int = Field(
        default=5,
        ge=1,
        description="How many archives of releases that were swapped in are kept. One that is still needed is never removed.",
    )
    engine: Literal["native", "mongo-tools"] = Field(
        default="native",
        description='What dumps, loads and stages: "native" (the driver), or "mongo-tools" (mongodump and mongorestore).',
    )
    require_runtime_ready: bool = Field(
        default=False,
        description="Refuse where the Runtime's main branch does not pin the target version, or is not tested or built.",
    )


@dg.op(out=dg.Out(ReleasePlan, is_required=False, description="What the release is going to do."))
def plan(
    context: dg.OpExecutionContext,
    config: PlanConfig,
    origin: OriginResource,
    home: ReleaseHome,
    schema: SchemaReleases,
    transformer: TransformerResource,
    runtime: RuntimeProject,
    deployment: Deployment,
) -> Iterator[dg.Output[ReleasePlan]]:
    """Choose versions, migrators and collections; check servers, privileges, disk and schema environment.

    Everything that can fail for a foreseeable reason fails here, before the origin is frozen. Where the database already
    conforms to the target, the run succeeds and there is nothing else to do.
    """
    log_options(context, config)
    with (
        explain_failures(lambda: f"{NOT_TOUCHED} {look_up_origin(origin, context.run_id)}"),
        origin.connect() as connected,
    ):
        home.require_writable()
        server = describe_server(connected.client, connected.database.name)
        problems = inspect_server(
            connected.client,
            server,
            connected.database.name,
            allow_without_authorization=config.allow_without_authorization,
        )
        # Without the privileges, it could not be inspected.
        problems = problems or inspect_ledger(connected.database)
        transformer.require_usable(connected)
        deployment.require_readable()
        engine = require_engine(Engine(config.engine))
        choice = choose_freezing(connected, server, problems, config.strategy)
        from_version = _from_version(context, config, connected)
        target = schema.target(_to_version(config), config.schema_source)
        to_version = target.package.version
        context.log.info(f"The database conforms to schema {from_version}; the release is {to_version}.")
        made_before = warn_of_candidate_data(connected, schema, from_version, target, allow=config.allow_candidate_data)
        if from_version == to_version and not made_before:
            context.log.info(f"There is nothing to do: the database conforms to {to_version} already.")
            return
        context.log.info(f"The origin will be frozen by {choice.strategy}. {choice.reason}")
        if config.schema_source is not None:
            context.log.info(f"The release candidate {target.release} was built from {_source(config, target)}.")
        release = _plan(context, config, connected, server, choice, home, schema, from_version, target)
        ledger.try_events(
            connected.database,
            from_version=release.from_version,
            to_version=release.to_version,
            migrator_module=release.last_migrator_module,
            release_id=release.release_id,
        )
        checks = runtime_checks(runtime, to_version, required=config.require_runtime_ready)
        warnings = [*made_before, *release.warnings, *runtime_warnings(checks)]
        release = release.model_copy(update={"runtime": checks, "warnings": warnings})
        context.log.info(
            f"The plan: {len(release.migrators)} migrators, {len(release.collections)} collections, "
            f"{release.documents:,} documents, {size(release.bytes)}."
        )
        for warning in release.warnings:
            context.log.warning(warning)
        try_tools_of(context, release, connected, home, transformer)
        environments = prepare_environments(context, release, home, schema)

    context.add_output_metadata(
        {
            "release": release.release_id,
            "from": release.from_version,
            "to": release.to_version,
            "schema source": release.schema_source or "the package index",
            "warnings": "\n".join(release.warnings) or "none",
            "origin": release.server,
            "freezing": f"{release.strategy}: {release.strategy_reason}",
            "engine": engine,
            "documents": release.documents,
            "size": size(release.bytes),
            "migrators": table(
                {
                    "migrator": migrator.module,
                    "from": migrator.from_version,
                    "to": migrator.to_version,
                    "does anything": "no" if migrator.does_nothing else "yes",
                    "runs in schema": migrator.environment,
                    "before it": migrator.gap,
                }
                for migrator in release.migrators
            ),
            "collections": table(
                {"collection": found.name, "documents": found.documents, "size": size(found.bytes)}
                for found in release.collections
            ),
            "Runtime": table(
                {"check": one.what, "outcome": one.outcome.value, "found": one.says} for one in release.runtime
            ),
            "left alone": ", ".join(release.left_alone) or "nothing",
            "schema environments": table(
                {"schema": name, "nmdc-schema": found.schema_version, "path": str(found.path)}
                for name, found in environments.items()
            ),
            "installed": dg.MetadataValue.json({name: found.packages for name, found in environments.items()}),
        }
    )
    yield dg.Output(release)


def _from_version(context: dg.OpExecutionContext, config: PlanConfig, origin: Origin) -> SchemaVersion:
    recorded = conforming_version(origin.database)
    event = ledger.last_event(origin.database)
    journal = newest_journal(origin.client, origin.database.name)
    if journal is not None and is_owed(origin.database, journal):
        context.log.warning(f"Release {journal.release_id} brought the database to schema {recorded}. {journal.owed}")
    if recorded is None and config.from_version is None:
        if event is None:
            raise PlanRefused(
                [
                    f"The ledger of {origin.database.name} is empty, so nobody knows which version of the schema the "
                    "database conforms to. Launch again with from_version set to it."
                ]
            )
        if event.event is not ledger.Event.STARTED:
            raise PlanRefused(
                [
                    f"The ledger's newest event ({event}) does not say which version of the schema the database conforms to. "
                    f"Correct that document of {ledger.EVENTS}, or launch again with from_version set to the version."
                ]
            )
        raise PlanRefused(
            [
                f"The ledger says that a migration from {event.from_version} to {event.to_version} was started at "
                f"{event.created_at} and never completed. Finish or roll back that migration first, or, if you know which "
                "version the database conforms to, launch again with from_version set to it."
            ]
        )
    given = SchemaVersion.parse(config.from_version) if config.from_version is not None else None
    known = SchemaVersion.parse(recorded) if recorded is not None else None
    if given and known and given != known:
        raise PlanRefused(
            [f"The ledger says that the database conforms to {known}, not {given}. Launch again without from_version."]
        )
    version = known or given
    if version is None:
        raise AssertionError("one of the two is known")
    return version


def _source(config: PlanConfig, target: Target) -> str | None:
    """Where a candidate was built from; None for a published release."""
    if config.schema_source is None:
        return None
    commit = commit_of(target.package.path)
    return config.schema_source.strip() + (f", commit {commit}" if commit else "")


def _to_version(config: PlanConfig) -> SchemaVersion | None:
    latest = config.target_version.strip().lower() == "latest"
    return None if latest else SchemaVersion.parse(config.target_version)


def _plan(
    context: dg.OpExecutionContext,
    config: PlanConfig,
    origin: Origin,
    server: Server,
    choice: Choice,
    home: ReleaseHome,
    schema: SchemaReleases,
    from_version: SchemaVersion,
    target: Target,
) -> ReleasePlan:
    to_version = target.package.version
    if to_version < from_version:
        raise PlanRefused(
            [
                f"The database conforms to {from_version}, which is newer than {to_version}. Migrators only go forward: to "
                "get back to an earlier version, roll the last release back."
            ]
        )
    path = migration_path(target.package, from_version, to_version)
    if path.lacks_final_migrator and not config.allow_missing_migrator:
        raise PlanRefused(
            [
                f"Schema release {to_version} has no migrator of its own, although every release has to have one, even an "
                "empty one (nmdc-schema's ADR 007). Ask its maintainers, or, if you know that there is nothing to migrate, "
                "launch again with allow_missing_migrator: true."
            ]
        )
    hops = _planned_hops(schema, path, target)
    source, warnings = _described_by(schema, from_version, target.package)
    # Whatever else there is, is left alone.
    collections = source.collections() | target.package.collections()
    release_id = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{path.from_version}-to-{path.to_version}-{context.run_id[:8]}"
    findings = inspect_origin(
        origin.client,
        server,
        origin.database.name,
        collections,
        transformer=transformer_database(release_id, context.run_id),
    )
    problems = [*findings.problems, *_room_problems(home, findings, len(hops) + 1)]
    if problems:
        raise PlanRefused(problems)
    return _describe(
        context, config, origin, server, choice, findings, path, source, target, hops, warnings, release_id
    )


def _planned_hops(schema: SchemaReleases, path: MigrationPath, target: Target) -> list[tuple[PlannedMigrator, str]]:
    """Each migrator with the release that it runs in, and a warning about it, empty where there is none."""
    planned = []
    for hop, shipped in zip(path.hops, place_hops(schema.packages, path, target), strict=True):
        name = str(shipped.release) if shipped else ""
        migrator = PlannedMigrator(
            module=hop.migrator.module,
            from_version=hop.migrator.origin,
            to_version=hop.migrator.destination,
            does_nothing=hop.migrator.does_nothing,
            environment=name,
            gap=hop.gap,
        )
        warning = (
            f"{hop.migrator.module} is run as schema {name} has it; {target.package.version} has another copy of it."
        )
        planned.append((migrator, warning if shipped and shipped.edited else ""))
    return planned


def _described_by(
    schema: SchemaReleases, from_version: SchemaVersion, target: SchemaPackage
) -> tuple[SchemaPackage, list[str]]:
    """The release whose schema describes the data as they are, and what an operator should know of it."""
    try:
        return schema.packages.fetch(from_version), []
    except SchemaReleaseNotFound:
        nearest = schema.packages.earliest_at_or_after(from_version, target.version)
        warning = (
            f"Schema release {from_version} is not on the package index; its collections were taken from {nearest}, "
            "the next one that is."
        )
        return schema.packages.fetch(nearest), [warning]


def _room_problems(home: ReleaseHome, findings: OriginFindings, environments: int) -> Iterator[str]:
    data = sum(found.bytes for found in findings.collections.values())
    needed = FIXED_BYTES + BYTES_PER_BYTE_OF_DATA * data + BYTES_PER_ENVIRONMENT * environments
    if home.free_bytes() < needed:
        yield (
            f"NMDC_RELEASE_HOME ({home.path}) has {size(home.free_bytes())} free, and the release may need {size(needed)} "
            f"for {size(data)} of data. Make room, or point it at a larger disk."
        )


def _describe(
    context: dg.OpExecutionContext,
    config: PlanConfig,
    origin: Origin,
    server: Server,
    choice: Choice,
    findings: OriginFindings,
    path: MigrationPath,
    source: SchemaPackage,
    target: Target,
    hops: list[tuple[PlannedMigrator, str]],
    warnings: list[str],
    release_id: str,
) -> ReleasePlan:
    return ReleasePlan(
        release_id=release_id,
        in_force=release_in_force(origin.database),
        run_id=context.run_id,
        database=origin.database.name,
        server=str(server),
        origin=identify_server(origin.client, origin.uri).to_keep(),
        strategy=choice.strategy,
        strategy_reason=choice.reason,
        drain_timeout=config.drain_timeout,
        keep_archives=config.keep_archives,
        recorded_version=conforming_version(origin.database),
        managed=list(findings.managed),
        engine=Engine(config.engine),
        from_version=str(path.from_version),
        to_version=str(path.to_version),
        target=str(target.release),
        schema_source=_source(config, target),
        described_by=str(source.version),
        integrity=Integrity(config.integrity),
        hop_timeout=config.hop_timeout,
        validation_timeout=config.validation_timeout,
        migrators=[migrator for migrator, _ in hops],
        collections=[
            PlannedCollection(name=name, documents=found.documents, bytes=found.bytes)
            for name, found in findings.collections.items()
        ],
        left_alone=list(findings.left_alone),
        warnings=[
            *path.warnings,
            *(warning for _, warning in hops if warning),
            *warnings,
            *findings.warnings,
            *choice.warnings,
        ],
    )
