"""The Runtime project, and its deployment."""

from typing import Any

import dagster as dg

from nmdc_release_ops.resources.environment import (
    ConfigurationInvalid,
    ConfigurationMissing,
    DeploymentSettings,
    RunningRuntimeSettings,
    RuntimeSettings,
)
from nmdc_release_ops.resources.github import GitHubResource
from nmdc_release_ops.runtime.check import Check
from nmdc_release_ops.runtime.deployment import Targets
from nmdc_release_ops.runtime.obstacles import find_obstacles
from nmdc_release_ops.runtime.readiness import check_readiness, not_checked
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops.services.errors import ServiceAddressInvalid
from nmdc_release_ops.services.rancher import Rancher
from nmdc_release_ops.services.remote_dagster import RemoteDagster
from nmdc_release_ops.services.repository import Repository
from nmdc_release_ops.services.running_runtime import RunningRuntime
from nmdc_release_ops.services.transport import SHORT, Timeouts
from nmdc_release_ops.services.workflows import Watching


class RuntimeProjectResource(dg.ConfigurableResource[Any]):
    """The Runtime's repository: `NMDC_RUNTIME_REPOSITORY` (microbiomedata/nmdc-runtime) and its workflows,
    `NMDC_RUNTIME_TESTS_WORKFLOW`, `NMDC_RUNTIME_IMAGES_WORKFLOW`, `NMDC_RUNTIME_RELEASE_WORKFLOWS`; and `NMDC_RUNTIME_PIN_FILES`.
    """

    github: dg.ResourceDependency[GitHubResource]

    @property
    def settings(self) -> RuntimeSettings:
        """Raises:
        ConfigurationInvalid.
        """
        return RuntimeSettings.read()

    def check_readiness(self, version: SchemaVersion) -> list[Check]:
        """Check whether the Runtime is ready for a schema version. Raises nothing."""
        settings = self.settings
        if not settings.names_repository:
            return not_checked("NMDC_RUNTIME_REPOSITORY is not set")
        try:
            repository = self.repository()
        except ServiceAddressInvalid as error:
            return not_checked(str(error))
        return check_readiness(
            repository,
            version,
            pin_files=settings.pin_files,
            tests=settings.tests_workflow,
            images=settings.images_workflow,
        )

    def repository(self) -> Repository:
        """Raises:
        ConfigurationInvalid, ServiceAddressInvalid.
        """
        return Repository(self.github.connect(), self.settings.repository)


class DeploymentResource(dg.ConfigurableResource[Any]):
    """How the Runtime is deployed: `NMDC_DEPLOY_WORKFLOWS` (JSON), and by Rancher `NMDC_RANCHER_URL`, `NMDC_RANCHER_CONTEXT`,
    `NMDC_RANCHER_NAMESPACE`, `NMDC_RANCHER_TOKEN` and `NMDC_RANCHER_DEPLOYMENTS`. Where it runs then: `NMDC_RUNTIME_URL` and
    `NMDC_RUNTIME_DAGSTER_URL`.
    """

    github: dg.ResourceDependency[GitHubResource]

    def require_readable(self) -> None:
        """Check, before anything is frozen, that the configuration can be read.

        Raises:
            ConfigurationInvalid, ConfigurationMissing, ServiceAddressInvalid.
        """
        if deployment_is_configured():
            self.targets(Watching())
        if RunningRuntimeSettings.read().is_set:
            self.runtime()
            self.runtime_dagster()

    def targets(self, watching: Watching) -> Targets:
        """Raises:
        ConfigurationInvalid, ConfigurationMissing, ServiceAddressInvalid.
        """
        settings = DeploymentSettings.read()
        return Targets(
            self.github.connect(),
            settings.workflows or [],
            _rancher(settings),
            settings.rancher_deployments,
            watching,
        )

    def find_obstacles(self) -> list[str]:
        """What would be in the way of `follow_up` as things are, for people; nothing where it is not configured.

        Raises:
            ConfigurationMissing, ServiceAddressInvalid.
        """
        return find_obstacles(self.runtime(), self.runtime_dagster(SHORT)) if runtime_is_followed_up() else []

    def runtime(self) -> RunningRuntime:
        """The Runtime that `follow_up` asks for its version.

        Raises:
            ConfigurationMissing, ServiceAddressInvalid.
        """
        settings = RunningRuntimeSettings.read()
        if settings.url is None:
            raise ConfigurationMissing(
                "NMDC_RUNTIME_URL is not set, so the Runtime cannot be followed up. Set it to the Runtime's address, or unset "
                "NMDC_RUNTIME_DAGSTER_URL too."
            )
        return RunningRuntime(settings.url)

    def runtime_dagster(self, timeouts: Timeouts | None = None) -> RemoteDagster | None:
        """The Runtime's Dagster; None where it is not configured.

        Raises:
            ServiceAddressInvalid.
        """
        address = RunningRuntimeSettings.read().dagster_url
        return None if address is None else RemoteDagster(address, timeouts)


def _rancher(settings: DeploymentSettings) -> Rancher | None:
    if settings.rancher_url is None:
        return None
    context, namespace, token = settings.rancher_context, settings.rancher_namespace, settings.rancher_token
    if context is None or namespace is None or token is None:
        values = {"NMDC_RANCHER_CONTEXT": context, "NMDC_RANCHER_NAMESPACE": namespace, "NMDC_RANCHER_TOKEN": token}
        missing = [name for name, value in values.items() if value is None]
        raise ConfigurationMissing(
            f"NMDC_RANCHER_URL is set, but {', '.join(missing)} is not. Set it, or unset NMDC_RANCHER_URL."
        )
    return Rancher(settings.rancher_url, context, namespace, token.get_secret_value())


def deployment_is_configured() -> bool:
    """Whether there is anything to deploy to. Raises nothing, so that the jobs load: `deploy` reports an invalid variable."""
    try:
        settings = DeploymentSettings.read()
    except ConfigurationInvalid:
        return True
    return settings.workflows is not None or settings.rancher_url is not None


def runtime_is_followed_up() -> bool:
    """Whether there is a Runtime to follow up after a release. Raises nothing, so that the jobs load."""
    try:
        return RunningRuntimeSettings.read().is_set
    except ConfigurationInvalid:
        return True
