"""GitHub, and what is watched there."""

from typing import Any

import dagster as dg

from nmdc_release_ops.resources.environment import (
    POLL_SECONDS,
    ConfigurationInvalid,
    GitHubSettings,
    OnNewRelease,
    SchemaWatchSettings,
)
from nmdc_release_ops.services.github import GitHub
from nmdc_release_ops.services.transport import Timeouts


class GitHubResource(dg.ConfigurableResource[Any]):
    """GitHub: `NMDC_GITHUB_API` (https://api.github.com), `GITHUB_TOKEN`."""

    def connect(self, timeouts: Timeouts | None = None) -> GitHub:
        """A client. It has sent no request yet.

        Raises:
            ServiceAddressInvalid.
        """
        settings = GitHubSettings.read()
        return GitHub(settings.api, settings.token.get_secret_value() if settings.token else None, timeouts)


class SchemaWatchResource(dg.ConfigurableResource[Any]):
    """What `schema_release_sensor` watches: `NMDC_SCHEMA_REPOSITORY` (microbiomedata/nmdc-schema), `NMDC_ON_NEW_RELEASE`
    (notify), `NMDC_INCLUDE_PRERELEASES` (false), `NMDC_SCHEMA_POLL_SECONDS` (300).
    """

    @property
    def settings(self) -> SchemaWatchSettings:
        """Raises:
        ConfigurationInvalid.
        """
        return SchemaWatchSettings.read()

    @property
    def seconds_between_ticks(self) -> int:
        """300 if a variable is invalid: Dagster must load the other sensors all the same. The tick reports the variable."""
        try:
            return self.settings.poll_seconds
        except ConfigurationInvalid:
            return POLL_SECONDS

    @property
    def action(self) -> OnNewRelease | None:
        """What the sensor does; None if a variable is invalid."""
        try:
            return self.settings.on_new_release
        except ConfigurationInvalid:
            return None
