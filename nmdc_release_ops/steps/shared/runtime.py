"""What the steps that release and deploy the Runtime share."""

import dagster as dg
from pydantic import Field

from nmdc_release_ops.resources.runtime import Deployment
from nmdc_release_ops.runtime.deployment import deploy as deploy_to
from nmdc_release_ops.runtime.deployment import require_deployed
from nmdc_release_ops.services.workflows import Watching
from nmdc_release_ops.steps.shared.display import table

NOTHING_WRITTEN = "Nothing was written to GitHub. The origin has no part in this."


class WatchingConfig(dg.Config):
    """How runs of workflows are watched."""

    poll_seconds: float = Field(default=10.0, gt=0, description="Between two looks at a workflow's run.")
    appear_seconds: float = Field(default=180.0, gt=0, description="Until a run that was asked for has to be there.")
    wait_minutes: float = Field(default=60.0, gt=0, description="Until a run has to be over.")

    def watching(self) -> Watching:
        return Watching(poll=self.poll_seconds, appear=self.appear_seconds, end=60 * self.wait_minutes)


def deploy_targets(context: dg.OpExecutionContext, config: WatchingConfig, deployment: Deployment) -> None:
    done = deploy_to(deployment.targets(config.watching()), context.log.info)
    rows = table({"what": one.what, "deployed": "yes" if one.succeeded else "no", "how": one.how} for one in done)
    context.log_event(dg.AssetObservation(["nmdc", "runtime"], metadata={"deployed": rows}))
    require_deployed(done)
