"""The scratch database that migrators work on."""

import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from pydantic import PrivateAttr
from pymongo import MongoClient
from pymongo.database import Database

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.preflight import require_scratch_database
from nmdc_release_ops.mongo.programs.mongod import find_mongod
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod, private_mongod
from nmdc_release_ops.mongo.server.connection import Document, connect, naming_failures, nodes_of
from nmdc_release_ops.mongo.server.identity import (
    ServerIdentity,
    identify_server,
    is_same_server,
    require_other_server,
)
from nmdc_release_ops.records.data_release import ReleasePlan
from nmdc_release_ops.resources.environment import ConfigurationMissing, TransformerSettings
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource

TRANSFORMER_DATABASE = "nmdc_release_ops_transformer"

# A migration of a large collection may run in one transaction where a migrator insists on it.
TRANSFORMER_TRANSACTION_SECONDS = 24 * 60 * 60
TRANSFORMER_PARAMETERS = {"ttlMonitorEnabled": "false"}
"""Nothing but migrators changes documents: the server does not remove those that a TTL index lets expire."""


@dataclass(frozen=True)
class TransformerConnection:
    """A connection to the scratch database."""

    uri: str = field(repr=False)
    database: Database[Document]


@dataclass(frozen=True)
class _Private:
    """A private mongod, and what has to be closed to stop it."""

    server: PrivateMongod
    closing: ExitStack


class TransformerResource(dg.ConfigurableResource[Any]):
    """The transformer: `NMDC_TRANSFORMER_URI`, or if that is not set, a private mongod in the release's folder.

    Each execution of `migrate` has its own database there: several releases can share one server, and a run that was
    presumed dead and is still running cannot write to the data of the next run.
    """

    home: dg.ResourceDependency[ReleaseHomeResource]
    origin: dg.ResourceDependency[OriginResource]

    _private: _Private | None = PrivateAttr(default=None)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002
        """Stop the private transformer when the run ends."""
        self.stop()

    def start(self, plan: ReleasePlan) -> None:
        """Start the release's private mongod unless it is running. It runs until `stop`, or until the run ends.

        Does nothing if `NMDC_TRANSFORMER_URI` is set.

        Raises:
            MongodNotFound, MongodFailedToStart, FolderInUse, FileNotWritten.
        """
        if not _transformer_uri():
            self._start(plan)

    def stop(self) -> None:
        """Stop the private mongod if it is running."""
        private, self._private = self._private, None
        if private is not None:
            private.closing.close()

    def _start(self, plan: ReleasePlan) -> PrivateMongod:
        folder = self.home.transformer(plan)
        if self._private is not None and self._private.server.is_running and self._private.server.folder == folder:
            return self._private.server
        self.stop()
        with ExitStack() as stack:
            # Without the lock, another release might remove the files between two steps.
            stack.enter_context(self.home.use(plan))
            server = stack.enter_context(
                private_mongod(
                    folder, transaction_seconds=TRANSFORMER_TRANSACTION_SECONDS, parameters=TRANSFORMER_PARAMETERS
                )
            )
            self._private = _Private(server, stack.pop_all())
        return server

    @contextmanager
    def open(self, plan: ReleasePlan, database: str) -> Iterator[TransformerConnection]:
        """Connect to the release's transformer while the block lasts. A private one is started as by `start`.

        Args:
            database: as `transformer_database` names it.

        Raises:
            TransformerIsOrigin, TransformerUnidentified: nothing was written to the transformer.
            MongodNotFound, MongodFailedToStart, FolderInUse, ServerUnreachable, LoginRefused, ServerFailed.
        """
        with self.home.use(plan):
            if uri := _transformer_uri():
                with self._connect(uri, plan) as client:
                    yield TransformerConnection(uri, client[database])
                return
            server = self._start(plan)
            with (
                connect(server.uri, whose="transformer", variable="its folder") as client,
                naming_failures("transformer", nodes_of(server.uri)),
            ):
                yield TransformerConnection(server.uri, client[database])

    def find_databases(self, plan: ReleasePlan, release_ids: Iterable[str]) -> list[str]:
        """The releases among these that have a database on the server of `NMDC_TRANSFORMER_URI`; none if that is not set.

        Raises:
            As `open`.
        """
        if not (uri := _transformer_uri()):
            return []
        with self._connect(uri, plan) as client:
            names = client.list_database_names()
        return [release_id for release_id in release_ids if any(_is_of(release_id, name) for name in names)]

    def drop_databases(self, plan: ReleasePlan, release_id: str) -> None:
        """Drop the databases of a release on the server of `NMDC_TRANSFORMER_URI`.

        Raises:
            As `open`.
        """
        if uri := _transformer_uri():
            with self._connect(uri, plan) as client:
                for name in client.list_database_names():
                    if _is_of(release_id, name):
                        client.drop_database(name)

    def drop_abandoned(self, plan: ReleasePlan, transformer: TransformerConnection) -> list[str]:
        """Drop the databases of executions of `migrate` that did not finish; return their names."""
        client = transformer.database.client
        finished = {transformer_database(plan.release_id, run_id) for run_id in self.home.runs_with_record("migrate")}
        abandoned = [
            name
            for name in client.list_database_names()
            if _is_of(plan.release_id, name) and name not in finished | {transformer.database.name}
        ]
        for name in abandoned:
            client.drop_database(name)
        return abandoned

    def require_usable(self, origin: ServerIdentity) -> None:
        """Check, without starting anything, that the transformer is usable and is not the origin.

        Raises:
            MongodNotFound, ServerUnreachable, LoginRefused, TransformerIsOrigin, TransformerUnidentified, TransformerRefused.
        """
        if not (uri := _transformer_uri()):
            find_mongod()
            return
        with connect(uri, whose="transformer", variable="NMDC_TRANSFORMER_URI") as client:
            require_other_server(origin, identify_server(client, uri))
            with naming_failures("transformer"):
                require_scratch_database(client[transformer_database("probe", secrets.token_hex(8))])

    @contextmanager
    def _connect(self, uri: str, plan: ReleasePlan) -> Iterator[MongoClient[Document]]:
        """Connect to the server of `NMDC_TRANSFORMER_URI`, which may not be the one that the release was planned with."""
        with (
            connect(uri, whose="transformer", variable="NMDC_TRANSFORMER_URI") as client,
            naming_failures("transformer", nodes_of(uri)),
        ):
            self._require_other_server(identify_server(client, uri), plan)
            yield client

    def _require_other_server(self, transformer: ServerIdentity, plan: ReleasePlan) -> None:
        """Compare it with the origin of the plan, and with the one that `NMDC_ORIGIN_URI` names now."""
        same = is_same_server(plan.origin, transformer)
        if same:
            require_other_server(plan.origin, transformer)
        try:
            with self.origin.connect() as origin:
                present = identify_server(origin.client, origin.uri)
        except (MongoError, ConfigurationMissing):
            # The step may not need the origin. If the plan shows that it is another server, it does not have to answer.
            if same is None:
                raise
            return
        require_other_server(present, transformer)


def transformer_database(release_id: str, run_id: str) -> str:
    """Name of the database that the migrators of a release work on in a run, within MongoDB's limit of 63 bytes."""
    return f"{_prefix(release_id)}{hashlib.sha256(run_id.encode()).hexdigest()[:8]}"


def _is_of(release_id: str, database: str) -> bool:
    return database.startswith(_prefix(release_id))


def _prefix(release_id: str) -> str:
    digest = hashlib.sha256(release_id.encode()).hexdigest()[:8]
    return f"{TRANSFORMER_DATABASE}_{re.sub('[^A-Za-z0-9]', '_', release_id[:15])}_{digest}_"


def _transformer_uri() -> str | None:
    uri = TransformerSettings.read().uri
    return None if uri is None else uri.get_secret_value()
