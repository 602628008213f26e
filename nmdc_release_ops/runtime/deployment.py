"""Deploying the Runtime: by GitHub workflows, by Rancher, or both."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict

from nmdc_release_ops.runtime.deploying_workflow import DeployingWorkflow
from nmdc_release_ops.services.errors import DeploymentFailed, ServiceError
from nmdc_release_ops.services.github import GitHub
from nmdc_release_ops.services.rancher import Rancher
from nmdc_release_ops.services.repository import Repository
from nmdc_release_ops.services.workflows import Log, Watching, follow, start


class Deployed(BaseModel):
    """The outcome of one deployment.

    Attributes:
        how: for people, with the run's page if there is one.
    """

    model_config = ConfigDict(frozen=True)

    what: str
    succeeded: bool
    how: str


@dataclass(frozen=True)
class Targets:
    """Everything to deploy, in this order."""

    github: GitHub
    workflows: Sequence[DeployingWorkflow] = ()
    rancher: Rancher | None = None
    deployments: Sequence[str] = ()
    watching: Watching = field(default_factory=Watching)

    @property
    def names(self) -> list[str]:
        redeployed = self.deployments if self.rancher else ()
        return [*(str(one) for one in self.workflows), *(f"deployment {name}" for name in redeployed)]


def deploy(targets: Targets, log: Log) -> list[Deployed]:
    """Deploy to every target, even if one fails; return the outcome of each."""
    return [*_dispatch_workflows(targets, log), *_redeploy_by_rancher(targets, log)]


def require_deployed(done: Sequence[Deployed]) -> None:
    """Check that everything was deployed.

    Raises:
        DeploymentFailed: names each failure.
    """
    failed = [f"- {one.what}: {one.how}" for one in done if not one.succeeded]
    if failed:
        raise DeploymentFailed(f"{len(failed)} of {len(done)} were not deployed:\n" + "\n".join(failed))


def _dispatch_workflows(targets: Targets, log: Log) -> Iterator[Deployed]:
    for one in targets.workflows:
        try:
            repository = Repository(targets.github, one.repository)
            run = start(repository, one.workflow, one.ref, one.inputs, targets.watching, log)
            run = follow(repository, run, str(one), targets.watching, log)
        except ServiceError as error:
            log(f"{one}: {error}")
            yield Deployed(what=str(one), succeeded=False, how=str(error))
        else:
            yield Deployed(what=str(one), succeeded=run.succeeded, how=run.describe())


def _redeploy_by_rancher(targets: Targets, log: Log) -> Iterator[Deployed]:
    if targets.rancher is None:
        return
    for name in targets.deployments:
        what = f"deployment {name}"
        try:
            targets.rancher.redeploy(name)
        except ServiceError as error:
            log(f"{what}: {error}")
            yield Deployed(what=what, succeeded=False, how=str(error))
        else:
            log(f"{what}: Rancher is redeploying it.")
            yield Deployed(what=what, succeeded=True, how="Rancher is redeploying it")
