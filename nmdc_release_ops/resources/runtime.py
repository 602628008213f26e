"""The Runtime project, and what is deployed."""

import os
from typing import Any

import dagster as dg
from pydantic import TypeAdapter, ValidationError

from nmdc_release_ops.resources.environment import ConfigurationInvalid, ConfigurationMissing, read_secret, read_words
from nmdc_release_ops.resources.github import GitHubResource
from nmdc_release_ops.runtime.deployment import DeployingWorkflow, Targets
from nmdc_release_ops.services.rancher import Rancher
from nmdc_release_ops.services.repository import Repository
from nmdc_release_ops.services.workflows import Watching


class RuntimeProject(dg.ConfigurableResource[Any]):
    """The Runtime's repository: `NMDC_RUNTIME_REPOSITORY` (microbiomedata/nmdc-runtime) and its workflows,
    `NMDC_RUNTIME_TESTS_WORKFLOW`, `NMDC_RUNTIME_IMAGES_WORKFLOW`, `NMDC_RUNTIME_RELEASE_WORKFLOWS`; and `NMDC_RUNTIME_PIN_FILES`.
    """

    github: dg.ResourceDependency[GitHubResource]

    @property
    def is_named(self) -> bool:
        """Whether somebody said which repository it is."""
        return bool(os.environ.get("NMDC_RUNTIME_REPOSITORY"))

    @property
    def tests_workflow(self) -> str:
        return os.environ.get("NMDC_RUNTIME_TESTS_WORKFLOW") or "python-app.yml"

    @property
    def images_workflow(self) -> str:
        return os.environ.get("NMDC_RUNTIME_IMAGES_WORKFLOW") or "build-and-push-docker-images.yml"

    @property
    def release_workflows(self) -> list[str]:
        """What a release starts."""
        return read_words("NMDC_RUNTIME_RELEASE_WORKFLOWS", "build-and-push-docker-images.yml,release-to-pypi.yml")

    @property
    def pin_files(self) -> list[str]:
        """Files that pin the schema's version; the first that is there counts."""
        return read_words("NMDC_RUNTIME_PIN_FILES", "uv.lock,requirements/main.txt")

    def repository(self) -> Repository:
        """Raises:
        ServiceAddressInvalid.
        """
        name = os.environ.get("NMDC_RUNTIME_REPOSITORY") or "microbiomedata/nmdc-runtime"
        return Repository(self.github.connect(), name)


class Deployment(dg.ConfigurableResource[Any]):
    """What is deployed: `NMDC_DEPLOY_WORKFLOWS` (JSON), and by Rancher `NMDC_RANCHER_URL`, `NMDC_RANCHER_CONTEXT`,
    `NMDC_RANCHER_NAMESPACE`, `NMDC_RANCHER_TOKEN` and `NMDC_RANCHER_DEPLOYMENTS`.
    """

    github: dg.ResourceDependency[GitHubResource]

    def require_readable(self) -> None:
        """Find out, before anything is frozen, whether what is configured can be read.

        Raises:
            ConfigurationInvalid, ConfigurationMissing, ServiceAddressInvalid.
        """
        if deployment_is_configured():
            self.targets(Watching())

    def targets(self, watching: Watching) -> Targets:
        """Raises:
        ConfigurationInvalid, ConfigurationMissing, ServiceAddressInvalid.
        """
        return Targets(
            self.github.connect(),
            self._workflows(),
            self._rancher(),
            read_words("NMDC_RANCHER_DEPLOYMENTS", "runtime-api,dagster-dagit,dagster-daemon"),
            watching,
        )

    def _workflows(self) -> list[DeployingWorkflow]:
        given = os.environ.get("NMDC_DEPLOY_WORKFLOWS") or "[]"
        try:
            return TypeAdapter(list[DeployingWorkflow]).validate_json(given)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "the whole"
            raise ConfigurationInvalid(
                f"NMDC_DEPLOY_WORKFLOWS cannot be read ({place}: {first['msg']}). It is JSON: "
                '[{"repository": "owner/name", "workflow": "deploy.yml", "ref": "main", "inputs": {}}].'
            ) from None

    def _rancher(self) -> Rancher | None:
        address = os.environ.get("NMDC_RANCHER_URL")
        if not address:
            return None
        values = {name: read_secret(f"NMDC_RANCHER_{name}") for name in ("CONTEXT", "NAMESPACE", "TOKEN")}
        missing = [f"NMDC_RANCHER_{name}" for name, value in values.items() if value is None]
        if missing:
            raise ConfigurationMissing(
                f"NMDC_RANCHER_URL is set, and {', '.join(missing)} not. Set it, or unset the first."
            )
        return Rancher(address, str(values["CONTEXT"]), str(values["NAMESPACE"]), str(values["TOKEN"]))


def deployment_is_configured() -> bool:
    """Whether there is anything to deploy to."""
    return bool(os.environ.get("NMDC_DEPLOY_WORKFLOWS") or os.environ.get("NMDC_RANCHER_URL"))
