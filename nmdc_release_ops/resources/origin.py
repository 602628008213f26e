"""The production database."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from pymongo import MongoClient
from pymongo.database import Database

from nmdc_release_ops.folders import origin_name
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.connection import Document, connect, naming_failures
from nmdc_release_ops.mongo.server.identity import (
    identify_set,
)
from nmdc_release_ops.mongo.state.heartbeat import keep_beating
from nmdc_release_ops.mongo.state.lease import Lease
from nmdc_release_ops.records.data_release import ReleasePlan
from nmdc_release_ops.resources.environment import AuditSettings, ConfigurationMissing, OriginSettings


class OriginElsewhere(MongoError):
    """The environment names another origin than the one in the release's plan."""


@dataclass(frozen=True)
class OriginConnection:
    """A connection to the production database."""

    client: MongoClient[Document]
    database: Database[Document]
    uri: str = field(repr=False)


class OriginResource(dg.ConfigurableResource[Any]):
    """The origin: `NMDC_ORIGIN_URI`, and `NMDC_ORIGIN_DB` (nmdc). How fast audits read it: `NMDC_AUDIT_DOCUMENTS_PER_SECOND`
    (unlimited).
    """

    @property
    def database_name(self) -> str:
        return OriginSettings.read().database

    @property
    def audit_rate(self) -> int | None:
        """How many documents a second an audit reads at most, unless its run says otherwise; None for as many as it can.

        Raises:
            ConfigurationInvalid
        """
        return AuditSettings.read().documents_per_second

    @contextmanager
    def connect(self) -> Iterator[OriginConnection]:
        """Connect to the origin while the block lasts.

        Raises:
            ConfigurationMissing, InvalidConnectionString, ServerUnreachable, LoginRefused, ServerFailed.
        """
        uri = self._uri()
        with naming_failures("origin"), connect(uri, whose="origin", variable="NMDC_ORIGIN_URI") as client:
            yield OriginConnection(client, client[self.database_name], uri)

    @contextmanager
    def connect_planned(self, plan: ReleasePlan) -> Iterator[OriginConnection]:
        """Connect to the origin of a release's plan while the block lasts.

        Raises:
            OriginElsewhere: the environment now names another server or database.
            As `connect`.
        """
        with self.connect() as origin:
            present = origin_name(identify_set(origin.client), origin.database.name)
            if present != origin_name(plan.origin, plan.database):
                raise OriginElsewhere(
                    f"Release {plan.release_id} was planned for the database {plan.database} of {plan.server}. NMDC_ORIGIN_URI "
                    "and NMDC_ORIGIN_DB now name another one. This step changed neither. Set the variables back, restart "
                    "the process that runs releases, and re-execute the run; or launch a new release for the other database."
                )
            yield origin

    def keep_beating(self, lease: Lease) -> None:
        """Send a heartbeat to the lease every few seconds from now on; see `mongo.state.heartbeat`."""
        uri = self._uri()
        keep_beating(lease, lambda: connect(uri, whose="origin", variable="NMDC_ORIGIN_URI"))

    def _uri(self) -> str:
        uri = OriginSettings.read().uri
        if uri is None:
            raise ConfigurationMissing(
                "NMDC_ORIGIN_URI is not set. Set it to the origin's connection string in the environment of Dagster, "
                "and restart Dagster."
            )
        return uri.get_secret_value()
