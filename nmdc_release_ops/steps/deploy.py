"""`deploy`: have the Runtime run what was released."""

import dagster as dg

from nmdc_release_ops.records import FollowedWorkflows
from nmdc_release_ops.resources import Deployment
from nmdc_release_ops.runtime.deployment import deploy as deploy_to
from nmdc_release_ops.runtime.deployment import require_deployed
from nmdc_release_ops.steps.display import table
from nmdc_release_ops.steps.failures import told_plainly
from nmdc_release_ops.steps.options import log_options
from nmdc_release_ops.steps.require_tests import WatchingConfig

DATA_RELEASED = (
    "The data release itself is complete: the origin has the new version, and writes are allowed again. Only the Runtime was "
    "not deployed, or not all of it: re-execute the run from `deploy`, or deploy by hand."
)
RUNTIME_RELEASED = (
    "The release is on GitHub, and its workflows are done. Only the Runtime was not deployed, or not all of it: re-execute the "
    "run from `deploy`, or deploy by hand. The origin has no part in this."
)


@dg.op(ins={"released": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing))
def deploy(context: dg.OpExecutionContext, config: WatchingConfig, deployment: Deployment) -> None:
    """Upgrade the Runtime after a data release, by GitHub workflows or by Rancher, and report each."""
    log_options(context, config)
    with told_plainly(DATA_RELEASED):
        _deploy(context, config, deployment)


@dg.op(name="deploy_runtime_release", out=dg.Out(dg.Nothing))
def deploy_runtime(
    context: dg.OpExecutionContext, config: WatchingConfig, followed: FollowedWorkflows, deployment: Deployment
) -> None:
    """Upgrade the Runtime to its new release where that is configured, and report each."""
    log_options(context, config)
    with told_plainly(RUNTIME_RELEASED):
        targets = deployment.targets(config.watching())
        if not targets.names:
            context.log.info("Nothing is configured to be deployed; see docs/automation.md.")
        elif followed.dry_run:
            context.log.info(f"Dry run: would be deployed: {', '.join(targets.names)}.")
        else:
            _deploy(context, config, deployment)


def _deploy(context: dg.OpExecutionContext, config: WatchingConfig, deployment: Deployment) -> None:
    done = deploy_to(deployment.targets(config.watching()), context.log.info)
    rows = table({"what": one.what, "deployed": "yes" if one.succeeded else "no", "how": one.how} for one in done)
    context.log_event(dg.AssetObservation(["nmdc", "runtime"], metadata={"deployed": rows}))
    require_deployed(done)
