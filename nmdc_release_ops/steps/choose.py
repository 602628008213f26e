"""`choose`: take the newest rehearsal that can be promoted, and find everything that would stop its promotion."""

from collections.abc import Iterator

import dagster as dg
from pydantic import Field

from nmdc_release_ops.mongo.server.identity import identify_server
from nmdc_release_ops.mongo.transfer.engine import require_engine
from nmdc_release_ops.planning.origin import inspect_freezing, require_change_stream, require_promotable
from nmdc_release_ops.planning.promotion import PresentOrigin, PromotionOptions, plan_promotion, take_over
from nmdc_release_ops.planning.rehearsals import Rehearsal, choose_rehearsal
from nmdc_release_ops.planning.release import Attempt, add_runtime_checks, name_release
from nmdc_release_ops.records.data_release import (
    Archive,
    MigratedDatabase,
    Purpose,
    ReleasePlan,
    ValidationReport,
)
from nmdc_release_ops.records.record import Record
from nmdc_release_ops.resources.origin import OriginConnection, OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.runtime import DeploymentResource, RuntimeProjectResource
from nmdc_release_ops.resources.schema import SchemaReleasesResource
from nmdc_release_ops.resources.transformer import TransformerResource, transformer_database
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops.steps.holding.holding import ReleaseConfig
from nmdc_release_ops.steps.holding.origin_state import look_up_origin
from nmdc_release_ops.steps.holding.watchdog import require_watchdog
from nmdc_release_ops.steps.planning.planned import NOT_TOUCHED, describe_plan, log_plan
from nmdc_release_ops.steps.preparing.preparation import prepare_environments, try_tools
from nmdc_release_ops.steps.runs.run_tags import name_origin, tag_run
from nmdc_release_ops.steps.shared.failures import explain_failures
from nmdc_release_ops.steps.shared.options import log_options


class ChooseConfig(ReleaseConfig):
    """Options of a promotion; all have defaults."""

    rehearsal: str | None = Field(
        default=None, description="Id of the rehearsal to promote; by default the newest one that can be promoted."
    )

    @property
    def options(self) -> PromotionOptions:
        return PromotionOptions(
            drain_timeout=self.drain_timeout,
            keep_archives=self.keep_archives,
            max_frozen_seconds=self.max_frozen_seconds,
        )


@dg.op(
    out={
        "plan": dg.Out(ReleasePlan, description="What the promotion is going to do."),
        "archive": dg.Out(Archive, description="The rehearsal's archive."),
        "migrated": dg.Out(MigratedDatabase, description="What the migrators did in the rehearsal."),
        "validation": dg.Out(ValidationReport, description="What was found when the rehearsal was validated."),
    }
)
def choose(
    context: dg.OpExecutionContext,
    config: ChooseConfig,
    origin: OriginResource,
    home: ReleaseHomeResource,
    schema: SchemaReleasesResource,
    transformer: TransformerResource,
    runtime: RuntimeProjectResource,
    deployment: DeploymentResource,
) -> Iterator[dg.Output[Record]]:
    """Take the newest rehearsal that can be promoted, or the one that is asked for; check servers, privileges and disk.

    Everything that can fail for a foreseeable reason fails here, while everybody works. The promotion gets links to the
    rehearsal's archive, so that a later rehearsal may remove the rehearsal.
    """
    log_options(context, config)
    with (
        explain_failures(lambda: f"{NOT_TOUCHED} {look_up_origin(origin, context.run_id)}"),
        origin.connect() as connected,
    ):
        name_origin(context, connected)
        home.require_writable()
        deployment.require_readable()
        present = _inspect(config, connected, transformer)
        rehearsal, warnings = choose_rehearsal(
            home.find_rehearsals(present.identity, connected.database.name),
            connected.database,
            home.schema_folder,
            config.rehearsal,
        )
        # From here on no other run removes the rehearsal; whether one already did is found when it is taken over.
        with home.use(rehearsal.plan):
            attempt = _make_attempt(context, rehearsal, home)
            release = plan_promotion(present, rehearsal, config.options, attempt)
            guarded = require_watchdog(context, allow_without=config.allow_without_watchdog)
            release = release.warned([*warnings, *guarded, *deployment.find_obstacles()])
            context.log.info(
                f"Promoting rehearsal {rehearsal.plan.release_id}: schema {release.from_version} -> {release.to_version}."
            )
            tag_run(context, schema=f"{release.from_version} -> {release.to_version}")
            readiness = runtime.check_readiness(SchemaVersion.parse(release.to_version))
            release = add_runtime_checks(release, readiness, required=False)
            log_plan(context, release)
            engine = require_engine(release.engine)
            try_tools(context, release, connected, home, transformer)
            environments = prepare_environments(context, release, home, schema)
            with home.use(release):
                taken = take_over(rehearsal, release, home.release(release), attempt.transformer)
    context.add_output_metadata(describe_plan(release, engine, environments), output_name="plan")
    yield dg.Output(release, "plan")
    yield dg.Output(taken.archive, "archive")
    yield dg.Output(taken.migrated, "migrated")
    yield dg.Output(taken.validation, "validation")


def _inspect(config: ChooseConfig, origin: OriginConnection, transformer: TransformerResource) -> PresentOrigin:
    """Check whatever does not depend on the rehearsal.

    Raises:
        PlanRefused, StreamRefused, TransformerIsOrigin, TransformerRefused, MongodNotFound, ServerUnreachable, LoginRefused.
    """
    identity = identify_server(origin.client, origin.uri)
    transformer.require_usable(identity)
    server, freezing, _ = inspect_freezing(
        origin.database,
        strategy=config.wanted_strategy,
        # `require_promotable` says what a promotion needs.
        allow_without_authorization=True,
    )
    require_promotable(origin.database, freezing)
    require_change_stream(origin.database)
    return PresentOrigin(origin.database, server, identity, freezing)


def _make_attempt(context: dg.OpExecutionContext, rehearsal: Rehearsal, home: ReleaseHomeResource) -> Attempt:
    release_id = name_release(rehearsal.plan.from_version, rehearsal.plan.to_version, context.run_id)
    return Attempt(
        release_id=release_id,
        run_id=context.run_id,
        purpose=Purpose.PROMOTION,
        transformer=transformer_database(release_id, context.run_id),
        home=home.path,
        free_bytes=home.free_bytes(),
        schema_folder=home.schema_folder,
    )
