"""`deploy`, of `runtime_release`: deploy the new release of the Runtime."""

import dagster as dg

from nmdc_release_ops.records.runtime_release import FollowedWorkflows
from nmdc_release_ops.resources.runtime import DeploymentResource
from nmdc_release_ops.steps.shared.failures import explain_failures
from nmdc_release_ops.steps.shared.options import log_options
from nmdc_release_ops.steps.shared.runtime import WatchingConfig, deploy_targets

RUNTIME_RELEASED = (
    "The release is on GitHub, and its workflows are done. Only the Runtime was not deployed, or only in part: re-execute the "
    "run from `deploy`, or deploy by hand. The origin is not involved."
)


@dg.op(name="deploy_runtime_release", out=dg.Out(dg.Nothing))
def deploy_runtime(
    context: dg.OpExecutionContext, config: WatchingConfig, followed: FollowedWorkflows, deployment: DeploymentResource
) -> None:
    """Upgrade the Runtime to its new release if that is configured, and report the outcome of each."""
    log_options(context, config)
    with explain_failures(lambda: RUNTIME_RELEASED):
        targets = deployment.targets(config.watching)
        if not targets.names:
            context.log.info("Nothing is configured to be deployed; see docs/automation.md.")
        elif followed.dry_run:
            context.log.info(f"Dry run: {', '.join(targets.names)} would be deployed.")
        else:
            deploy_targets(context, config, deployment)
