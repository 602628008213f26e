"""`plan`: find out what the release is going to do, and everything that would stop it, before anything is frozen."""

from collections.abc import Iterator
from dataclasses import dataclass
from logging import Logger
from typing import Literal

import dagster as dg
from pydantic import Field

from nmdc_release_ops.catalog import observe_schema_release
from nmdc_release_ops.mongo.archive.manifest import Engine
from nmdc_release_ops.mongo.server.connection import Connected
from nmdc_release_ops.mongo.server.identity import identify_server
from nmdc_release_ops.mongo.transfer.engine import require_engine
from nmdc_release_ops.planning.blocked_time import predict_blocked
from nmdc_release_ops.planning.origin import PlannedOrigin, inspect_origin, require_change_stream, require_promotable
from nmdc_release_ops.planning.release import Attempt, Options, add_runtime_checks, name_release, plan_release
from nmdc_release_ops.records.data_release import (
    VALIDATION_TIMEOUT,
    Integrity,
    Purpose,
    ReleasePlan,
)
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.runtime import DeploymentResource, RuntimeProjectResource
from nmdc_release_ops.resources.schema import SchemaReleasesResource
from nmdc_release_ops.resources.transformer import TransformerResource, transformer_database
from nmdc_release_ops.schema.shipping import Target
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops.steps.holding.holding import ReleaseConfig
from nmdc_release_ops.steps.holding.origin_state import look_up_origin
from nmdc_release_ops.steps.holding.watchdog import require_watchdog
from nmdc_release_ops.steps.planning.planned import NOT_TOUCHED, describe_plan, log_plan
from nmdc_release_ops.steps.planning.schema_changes import show_schema_changes
from nmdc_release_ops.steps.preparing.preparation import prepare_environments, try_tools
from nmdc_release_ops.steps.runs.run_tags import name_origin, tag_run
from nmdc_release_ops.steps.shared.failures import explain_failures
from nmdc_release_ops.steps.shared.options import log_options

PURPOSES = {"rehearsal": Purpose.REHEARSAL, "online_release": Purpose.ONLINE_RELEASE}
"""What the plan is made for, by the name of the job; in all others for a release."""


class PlanConfig(ReleaseConfig):
    """Options of a release; all have defaults."""

    target_version: str = Field(
        default="latest", description='Version of the NMDC Schema to release: "11.25", "v11.25.0", or "latest".'
    )
    from_version: str | None = Field(
        default=None, description="Version the database conforms to now. Only needed if its ledger is empty."
    )
    allow_missing_migrator: bool = Field(
        default=False, description="Continue if the target release has no migrator of its own (against ADR 007)."
    )
    allow_without_authorization: bool = Field(
        default=False, description="Continue if the origin does not require authentication and so cannot be frozen."
    )
    schema_source: str | None = Field(
        default=None,
        description="A release candidate instead of a published release: a direct reference to a branch "
        '("nmdc-schema @ git+https://.../nmdc-schema@branch"), or the path of a wheel or of a folder. Without credentials.',
    )
    allow_candidate_data: bool = Field(
        default=False,
        description="Accept data that a candidate migrated, although its migrators differ from the official ones.",
    )
    integrity: Literal["fail_on_new", "fail", "warn"] = Field(
        default="fail_on_new",
        description="Whether dangling references and duplicate ids stop the release: only new ones, which the origin's data did "
        'not have ("fail_on_new"), any ("fail"), or none, so that they are only reported ("warn").',
    )
    hop_timeout: int = Field(default=24 * 60, ge=1, description="Minutes that each migrator may take.")
    validation_timeout: int = Field(default=VALIDATION_TIMEOUT, ge=1, description="Minutes that validation may take.")
    keep_rehearsals: int = Field(
        default=1,
        ge=1,
        description="How many archives of rehearsals to keep. Those of before the newest release are removed in any case.",
    )
    engine: Literal["native", "mongo-tools"] = Field(
        default="native",
        description='What dumps, loads and stages: "native" (the driver), or "mongo-tools" (mongodump and mongorestore).',
    )
    require_runtime_ready: bool = Field(
        default=False,
        description="Refuse if the Runtime's main branch does not pin the target version, or is not tested or built.",
    )

    @property
    def wanted_version(self) -> SchemaVersion | None:
        """None for the newest one.

        Raises:
            InvalidSchemaVersion.
        """
        is_latest = self.target_version.strip().lower() == "latest"
        return None if is_latest else SchemaVersion.parse(self.target_version)

    @property
    def options(self) -> Options:
        return Options(
            schema_source=self.schema_source,
            allow_missing_migrator=self.allow_missing_migrator,
            allow_candidate_data=self.allow_candidate_data,
            integrity=Integrity(self.integrity),
            engine=Engine(self.engine),
            drain_timeout=self.drain_timeout,
            hop_timeout=self.hop_timeout,
            validation_timeout=self.validation_timeout,
            keep_archives=self.keep_archives,
            keep_rehearsals=self.keep_rehearsals,
            max_frozen_seconds=self.max_frozen_seconds,
        )


@dg.op(out=dg.Out(ReleasePlan, is_required=False, description="What the release is going to do."))
def plan(
    context: dg.OpExecutionContext,
    config: PlanConfig,
    origin: OriginResource,
    home: ReleaseHomeResource,
    schema: SchemaReleasesResource,
    transformer: TransformerResource,
    runtime: RuntimeProjectResource,
    deployment: DeploymentResource,
) -> Iterator[dg.Output[ReleasePlan]]:
    """Choose versions, migrators and collections; check servers, privileges, disk and schema environment.

    Everything that can fail for a foreseeable reason fails here, before the origin is frozen. If the database already
    conforms to the target, the run succeeds and skips the other steps.
    """
    log_options(context, config)
    purpose = PURPOSES.get(context.job_name, Purpose.RELEASE)
    with (
        explain_failures(lambda: f"{NOT_TOUCHED} {look_up_origin(origin, context.run_id)}"),
        origin.connect() as connected,
    ):
        name_origin(context, connected)
        inspected = inspect(connected, config, purpose, home, schema, transformer, deployment, context.log)
        planned, target = inspected.origin, inspected.target
        to_version = target.package.version
        if config.wanted_version is None and config.schema_source is None:
            # Any other target says nothing of what is the newest.
            context.log_event(observe_schema_release(str(to_version), {"the database is at": str(planned.version)}))
        tag_run(context, schema=f"{planned.version} -> {to_version}")
        release = plan_release(
            planned, target, config.options, make_attempt(context.run_id, purpose, planned, target, home)
        )
        if release is None:
            context.log.info(f"There is nothing to do: the database already conforms to {to_version}.")
            tag_run(context, outcome="nothing to do")
            return
        release = add_runtime_checks(
            release, runtime.check_readiness(to_version), required=config.require_runtime_ready
        )
        blocked = predict_blocked(connected.database, release.origin, home.path, release.documents)
        if purpose is not Purpose.REHEARSAL:
            guarded = require_watchdog(context, allow_without=config.allow_without_watchdog)
            release = release.warned([*guarded, *deployment.find_obstacles()])
        log_plan(context, release, blocked)
        try_tools(context, release, connected, home, transformer)
        environments = prepare_environments(context, release, home, schema)
        changes = show_schema_changes(context, release, target.package, connected, home, schema)
    context.add_output_metadata(describe_plan(release, inspected.engine, environments, blocked) | changes)
    yield dg.Output(release)


@dataclass(frozen=True)
class Inspected:
    """What a plan is made from.

    Attributes:
        engine: what dumps, loads and stages, for people.
    """

    origin: PlannedOrigin
    target: Target
    engine: str


def inspect(
    connected: Connected,
    config: PlanConfig,
    purpose: Purpose,
    home: ReleaseHomeResource,
    schema: SchemaReleasesResource,
    transformer: TransformerResource,
    deployment: DeploymentResource,
    log: Logger,
) -> Inspected:
    """Check the origin and everything else that a release needs, and find the target. The command `check` does it too.

    Args:
        connected: to the origin.

    Raises:
        As the step `plan`.
    """
    home.require_writable()
    identity = identify_server(connected.database.client, connected.uri)
    transformer.require_usable(identity)
    deployment.require_readable()
    engine = require_engine(Engine(config.engine))
    planned = inspect_origin(
        connected.database,
        identity,
        strategy=config.wanted_strategy,
        from_version=config.from_version,
        allow_without_authorization=config.allow_without_authorization,
        freezes=purpose is not Purpose.REHEARSAL,
    )
    if purpose is Purpose.ONLINE_RELEASE:
        require_promotable(connected.database, planned.freezing)
    if purpose is not Purpose.RELEASE:
        require_change_stream(connected.database)
    if (owing := planned.history.owing) is not None:
        log.warning(f"Release {owing.release_id} brought the database to schema {owing.version}. {owing.owed}")
    target = schema.target(config.wanted_version, config.schema_source)
    log.info(f"The database conforms to schema {planned.version}; the release is {target.package.version}.")
    return Inspected(planned, target, engine)


def make_attempt(
    run_id: str, purpose: Purpose, planned: PlannedOrigin, target: Target, home: ReleaseHomeResource
) -> Attempt:
    """One execution of the plan, with a new id of a release."""
    release_id = name_release(str(planned.version), str(target.package.version), run_id)
    return Attempt(
        release_id=release_id,
        run_id=run_id,
        purpose=purpose,
        transformer=transformer_database(release_id, run_id),
        home=home.path,
        free_bytes=home.free_bytes(),
        schema_folder=home.schema_folder,
    )
