"""`deploy`, of `data_release`: deploy the Runtime that fits the released data."""

import dagster as dg

from nmdc_release_ops.lineage import require_lineage
from nmdc_release_ops.mongo.state.bookkeeping import conforming_version
from nmdc_release_ops.mongo.state.lease import current_lease
from nmdc_release_ops.records.data_release import FreezeWindow, ReleasePlan
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.resources.runtime import DeploymentResource
from nmdc_release_ops.steps.shared.failures import DatabaseNotReleased, explain_failures
from nmdc_release_ops.steps.shared.options import log_options
from nmdc_release_ops.steps.shared.origin_state import look_up_origin, origin_lookup
from nmdc_release_ops.steps.shared.runtime import WatchingConfig, deploy_targets

DATA_RELEASED = (
    "The data release itself is complete. The Runtime was not deployed, or only in part: re-execute the run from `deploy`, or "
    "deploy by hand."
)


@dg.op(out=dg.Out(dg.Nothing))
def deploy(
    context: dg.OpExecutionContext,
    config: WatchingConfig,
    plan: ReleasePlan,
    thawed: FreezeWindow,
    origin: OriginResource,
    deployment: DeploymentResource,
) -> None:
    """Upgrade the Runtime after a data release, by GitHub workflows or by Rancher, and report the outcome of each."""
    log_options(context, config)
    with (
        explain_failures(origin_lookup(origin, context.run_id, plan.release_id)),
        origin.connect_planned(plan) as connected,
    ):
        require_lineage(plan=plan, unfreeze=thawed)
        lease = current_lease(connected.client)
        if lease is not None and lease.release_id == plan.release_id:
            raise DatabaseNotReleased(
                f"Release {plan.release_id} still holds the origin, and the Runtime writes when it starts. Nothing was deployed. "
                "Launch the job `unfreeze`, then re-execute the run from `deploy`."
            )
        recorded = conforming_version(connected.database)
        if recorded != plan.to_version:
            raise DatabaseNotReleased(
                f"The ledger says that the database conforms to schema {recorded or 'unknown'}, but release {plan.release_id} is "
                f"for {plan.to_version}: it was rolled back, or another migration followed. Nothing was deployed. Deploy the "
                "Runtime that fits the database by hand, or launch a new release."
            )
    with explain_failures(lambda: f"{DATA_RELEASED} {look_up_origin(origin, context.run_id)}"):
        deploy_targets(context, config, deployment)
