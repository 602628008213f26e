"""GitHub, and what is watched there."""

import os
import re
from enum import StrEnum
from typing import Any

import dagster as dg

from nmdc_release_ops.resources.environment import ConfigurationInvalid, read_secret
from nmdc_release_ops.services.github import GitHub
from nmdc_release_ops.services.transport import Patience

POLL_SECONDS = 300


_SECONDS = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)


class GitHubResource(dg.ConfigurableResource[Any]):
    """GitHub: `NMDC_GITHUB_API` (https://api.github.com), `GITHUB_TOKEN`."""

    def connect(self, patience: Patience | None = None) -> GitHub:
        """A client; nothing is asked yet.

        Raises:
            ServiceAddressInvalid.
        """
        api = os.environ.get("NMDC_GITHUB_API") or "https://api.github.com"
        return GitHub(api, read_secret("GITHUB_TOKEN"), patience)


class OnNewRelease(StrEnum):
    """What `schema_release_sensor` does about a new schema release."""

    RELEASE = "release"
    REHEARSAL = "rehearsal"
    NOTIFY = "notify"


class SchemaWatch(dg.ConfigurableResource[Any]):
    """What `schema_release_sensor` watches: `NMDC_SCHEMA_REPOSITORY` (microbiomedata/nmdc-schema), `NMDC_ON_NEW_RELEASE`
    (release), `NMDC_INCLUDE_PRERELEASES` (false), `NMDC_SCHEMA_POLL_SECONDS` (300).
    """

    @property
    def repository(self) -> str:
        return os.environ.get("NMDC_SCHEMA_REPOSITORY") or "microbiomedata/nmdc-schema"

    @property
    def on_new_release(self) -> OnNewRelease:
        """Raises:
        ConfigurationInvalid.
        """
        given = (os.environ.get("NMDC_ON_NEW_RELEASE") or OnNewRelease.RELEASE).strip().lower()
        try:
            return OnNewRelease(given)
        except ValueError:
            raise ConfigurationInvalid(
                f"NMDC_ON_NEW_RELEASE is {given[:40]!r}. It may be release, rehearsal or notify."
            ) from None

    @property
    def include_prereleases(self) -> bool:
        """Raises:
        ConfigurationInvalid.
        """
        given = (os.environ.get("NMDC_INCLUDE_PRERELEASES") or "false").strip().lower()
        if given not in ("true", "false"):
            raise ConfigurationInvalid(f"NMDC_INCLUDE_PRERELEASES is {given[:40]!r}. It may be true or false.")
        return given == "true"

    @property
    def seconds_between_ticks(self) -> int:
        """300 where the variable cannot be read: the watchdog must be loaded even so. `require_valid` tells."""
        given = os.environ.get("NMDC_SCHEMA_POLL_SECONDS", "").strip()
        return int(given) if _SECONDS.fullmatch(given) else POLL_SECONDS

    def require_valid(self) -> None:
        """Raises:
        ConfigurationInvalid: NMDC_SCHEMA_POLL_SECONDS is no number of seconds.
        """
        given = os.environ.get("NMDC_SCHEMA_POLL_SECONDS", "").strip()
        if given and not _SECONDS.fullmatch(given):
            raise ConfigurationInvalid(
                f"NMDC_SCHEMA_POLL_SECONDS is {given[:40]!r}. It is a number of seconds, such as {POLL_SECONDS}."
            )
