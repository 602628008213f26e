"""What the steps that release and deploy the Runtime share."""

import dagster as dg
from pydantic import Field

from nmdc_release_ops.resources.runtime import DeploymentResource
from nmdc_release_ops.runtime.deployment import deploy as deploy_to
from nmdc_release_ops.runtime.deployment import require_deployed
from nmdc_release_ops.services.workflows import Watching
from nmdc_release_ops.steps.showing.display import table

NOTHING_WRITTEN = "Nothing was written to GitHub. The origin is not involved."


class WatchingConfig(dg.Config):
    """How runs of workflows are watched."""

    poll_seconds: float = Field(default=10.0, gt=0, description="Seconds between two checks of a workflow's run.")
    appear_seconds: float = Field(
        default=180.0, gt=0, description="Seconds within which a requested run has to appear."
    )
    wait_minutes: float = Field(default=60.0, gt=0, description="Minutes within which a run has to finish.")

    @property
    def watching(self) -> Watching:
        return Watching(poll=self.poll_seconds, appear=self.appear_seconds, end=60 * self.wait_minutes)


def deploy_targets(context: dg.OpExecutionContext, config: WatchingConfig, deployment: DeploymentResource) -> None:
    """Deploy everything that is configured, report the outcome of each, and require that all succeeded.

    Raises:
        ConfigurationInvalid, ConfigurationMissing, ServiceAddressInvalid, DeploymentFailed.
    """
    done = deploy_to(deployment.targets(config.watching), context.log.info)
    rows = table({"what": one.what, "deployed": "yes" if one.succeeded else "no", "how": one.how} for one in done)
    context.log_event(dg.AssetObservation(["nmdc", "runtime"], metadata={"deployed": rows}))
    require_deployed(done)
