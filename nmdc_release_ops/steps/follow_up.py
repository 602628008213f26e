"""`follow_up`: after the release, see the Runtime upgraded, and judge what was written meanwhile."""

import dagster as dg
from pydantic import Field

from nmdc_release_ops.lineage import collect_digests, require_lineage
from nmdc_release_ops.records.data_release import FreezeWindow, ReleasePlan
from nmdc_release_ops.records.follow_up import FollowedUp
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.runtime import DeploymentResource
from nmdc_release_ops.resources.schema import SchemaReleasesResource, SchemaWorkerResource
from nmdc_release_ops.runtime.upgrade import Waiting
from nmdc_release_ops.steps.following_up.following import follow_release
from nmdc_release_ops.steps.following_up.in_force import InForce
from nmdc_release_ops.steps.following_up.judging import Means
from nmdc_release_ops.steps.holding.origin_state import look_up_origin, origin_lookup
from nmdc_release_ops.steps.pages.release_pages import summarize_end
from nmdc_release_ops.steps.shared.failures import explain_failures
from nmdc_release_ops.steps.shared.options import log_options
from nmdc_release_ops.steps.shared.released import refuse_rolled_back, require_released
from nmdc_release_ops.steps.showing.reporting import reporting

DATA_RELEASED = (
    "The data release itself is complete. Only its follow-up is not: re-execute the run from `follow_up`, on any day, or do it "
    "by hand: ask the Runtime for its version (GET /version), launch the job `audit`, and launch ensure_alldocs in the Runtime's "
    "Dagster."
)


class FollowUpConfig(dg.Config):
    """How long the Runtime is waited for."""

    poll_seconds: float = Field(default=10.0, gt=0, description="Seconds between two requests.")
    runtime_minutes: float = Field(
        default=60.0, gt=0, description="Minutes within which the Runtime has to run on the released version."
    )
    alldocs_minutes: float = Field(
        default=60.0, gt=0, description="Minutes within which the Runtime has to rebuild alldocs."
    )


@dg.op(
    ins={"deployed": dg.In(dg.Nothing)},
    out=dg.Out(FollowedUp, description="The Runtime runs on the version, and what was written since conforms to it."),
)
def follow_up(
    context: dg.OpExecutionContext,
    config: FollowUpConfig,
    plan: ReleasePlan,
    thawed: FreezeWindow,
    origin: OriginResource,
    home: ReleaseHomeResource,
    schema: SchemaReleasesResource,
    worker: SchemaWorkerResource,
    deployment: DeploymentResource,
) -> FollowedUp:
    """Wait until the Runtime runs on the released version, judge what was written since the swap, and have alldocs rebuilt.

    The origin's data are only read, and nobody is kept from writing. Whatever fails here, the data release is complete. It ends
    when the release is rolled back, and when a run of another release or a rollback is queued.
    """
    log_options(context, config)
    with (
        explain_failures(origin_lookup(origin, context.run_id, plan.release_id)),
        origin.connect_planned(plan) as connected,
    ):
        require_lineage(plan=plan, unfreeze=thawed)
        require_released(connected, plan, "follow_up", "Nothing was followed up.")
        refuse_rolled_back(connected, plan, "Nothing was followed up.")
    in_force = InForce(context, plan)

    def describe_state() -> str:
        state = look_up_origin(origin, context.run_id)
        return state if in_force.is_over else f"{DATA_RELEASED} {state}"

    with (
        explain_failures(describe_state),
        reporting(context, plan, origin, home),
        origin.connect_planned(plan) as connected,
        home.use(plan),
    ):
        followed = follow_release(
            context,
            Means(plan, connected, home, schema, worker),
            in_force,
            deployment,
            Waiting(config.poll_seconds, 60 * config.runtime_minutes),
            Waiting(config.poll_seconds, 60 * config.alldocs_minutes),
        )
    record = followed.record.model_copy(update={"made_from": collect_digests(plan=plan, unfreeze=thawed)})
    context.add_output_metadata({**summarize_end(context, home, follow_up=record), **followed.shown})
    return record
