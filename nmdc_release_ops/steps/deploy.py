"""`deploy`, of `data_release`: deploy the Runtime that fits the released data."""

import dagster as dg

from nmdc_release_ops.lineage import require_lineage
from nmdc_release_ops.records.data_release import FreezeWindow, ReleasePlan
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.resources.runtime import DeploymentResource
from nmdc_release_ops.steps.holding.origin_state import look_up_origin, origin_lookup
from nmdc_release_ops.steps.shared.failures import explain_failures
from nmdc_release_ops.steps.shared.options import log_options
from nmdc_release_ops.steps.shared.released import require_released
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
        require_released(connected, plan, "deploy", "Nothing was deployed.")
    with explain_failures(lambda: f"{DATA_RELEASED} {look_up_origin(origin, context.run_id)}"):
        deploy_targets(context, config, deployment)
