"""Configuration made into what the libraries take. The only place of the package that reads the environment for it.

No resource has a field for a secret: connection strings come from the environment when they are needed, so that
none of them can be written into a run's config.
"""

import hashlib
import os
import re
import secrets
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, cast

import dagster as dg
from pydantic import TypeAdapter, ValidationError
from pymongo import MongoClient
from pymongo.database import Database

from nmdc_release_ops.files import write_whole, writing
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.preflight import require_scratch_database
from nmdc_release_ops.mongo.programs.private_mongod import find_mongod, private_mongod
from nmdc_release_ops.mongo.server.connection import Document, connect, naming_failures, nodes_of
from nmdc_release_ops.mongo.server.identity import (
    ServerIdentity,
    identify_server,
    identify_set,
    is_same_server,
    require_other_server,
)
from nmdc_release_ops.mongo.state.heartbeat import keep_beating
from nmdc_release_ops.mongo.state.lease import Lease
from nmdc_release_ops.mongo.transfer.archive import sync
from nmdc_release_ops.records import Record, RecordAltered, RecordUnreadable, ReleasePlan
from nmdc_release_ops.release_home import ReleaseHome, origin_name
from nmdc_release_ops.runtime.deployment import DeployingWorkflow, Targets
from nmdc_release_ops.schema.environments.compiled import CompiledSchemas
from nmdc_release_ops.schema.environments.environment import (
    SchemaEnvironment,
    SchemaEnvironments,
    worker_command,
    worker_environment,
)
from nmdc_release_ops.schema.packages.candidate import fetch_candidate, package_of, version_of
from nmdc_release_ops.schema.packages.package import SchemaPackage, SchemaPackages
from nmdc_release_ops.schema.processes import wait_for
from nmdc_release_ops.schema.shipping import Target
from nmdc_release_ops.schema.silence import SECONDS as SILENCE_SECONDS
from nmdc_release_ops.schema.silence import Silence
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops.services.github import GitHub
from nmdc_release_ops.services.rancher import Rancher
from nmdc_release_ops.services.repository import Repository
from nmdc_release_ops.services.transport import Patience
from nmdc_release_ops.services.webhook import post_text
from nmdc_release_ops.services.workflows import Watching

TRANSFORMER_DATABASE = "nmdc_release_ops_transformer"
# A migration of a large collection may run in one transaction where a migrator insists on it.
TRANSFORMER_TRANSACTION_SECONDS = 24 * 60 * 60
POLL_SECONDS = 300
_SECONDS = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)
RecordT = TypeVar("RecordT", bound=Record)


class ConfigurationMissing(Exception):
    """An environment variable that a step needs is not set."""


class ConfigurationInvalid(Exception):
    """An environment variable has a value that it cannot have."""


class OriginElsewhere(MongoError):
    """The environment names another origin than the one that the release was planned for."""


class RecordMissing(Exception):
    """What an earlier step handed on is gone."""


class RecordChanged(Exception):
    """The record of an earlier step was changed after it was written."""


@dataclass(frozen=True)
class Origin:
    """The production database, connected to."""

    client: MongoClient[Document]
    database: Database[Document]
    uri: str = field(repr=False)


class OriginResource(dg.ConfigurableResource[Any]):
    """The origin: `NMDC_ORIGIN_URI`, and `NMDC_ORIGIN_DB` (nmdc)."""

    @property
    def database_name(self) -> str:
        return os.environ.get("NMDC_ORIGIN_DB") or "nmdc"

    @contextmanager
    def connect(self) -> Iterator[Origin]:
        """The origin, for as long as the block lasts.

        Raises:
            ConfigurationMissing, InvalidConnectionString, ServerUnreachable, LoginRefused, ServerFailed.
        """
        uri = self._uri()
        with naming_failures("origin"), connect(uri, whose="origin", variable="NMDC_ORIGIN_URI") as client:
            yield Origin(client, client[self.database_name], uri)

    @contextmanager
    def connect_planned(self, plan: ReleasePlan) -> Iterator[Origin]:
        """The origin that a release was planned for, for as long as the block lasts.

        Raises:
            OriginElsewhere: the environment now names another server or database.
            As `connect`.
        """
        with self.connect() as origin:
            planned, present = plan.origin, identify_set(origin.client)
            is_same = planned is None or origin_name(planned, plan.database) == origin_name(
                present, origin.database.name
            )
            if origin.database.name != plan.database or not is_same:
                raise OriginElsewhere(
                    f"Release {plan.release_id} was planned for the database {plan.database} of {plan.server}. NMDC_ORIGIN_URI "
                    "and NMDC_ORIGIN_DB now name another one. This step changed neither. Set them to what they were, restart "
                    "the process that runs releases, and re-execute the run; or launch a new release for the other database."
                )
            yield origin

    def keep_beating(self, lease: Lease) -> None:
        """Say in the lease, every few seconds from now on, that this process goes on; see `mongo.heartbeat`."""
        uri = self._uri()
        keep_beating(lease, lambda: connect(uri, whose="origin", variable="NMDC_ORIGIN_URI"))

    def _uri(self) -> str:
        uri = os.environ.get("NMDC_ORIGIN_URI")
        if not uri:
            raise ConfigurationMissing(
                "NMDC_ORIGIN_URI is not set. Set it to the origin's connection string in the environment of Dagster, "
                "and start Dagster again."
            )
        return uri


@dataclass(frozen=True)
class Transformer:
    """The scratch database, connected to."""

    uri: str = field(repr=False)
    database: Database[Document]


class TransformerResource(dg.ConfigurableResource[Any]):
    """The transformer: `NMDC_TRANSFORMER_URI`, or where that is not set a private mongod in the release's folder.

    Each execution of `migrate` has a database of its own there: several releases can share one server, and a run that was
    taken for lost and goes on cannot work on the data of the run that followed it.
    """

    home: dg.ResourceDependency[ReleaseHome]
    origin: dg.ResourceDependency[OriginResource]

    @contextmanager
    def open(self, plan: ReleasePlan, database: str) -> Iterator[Transformer]:
        """The release's transformer, for as long as the block lasts. A private one is started on the release's folder.

        Args:
            database: as `transformer_database` names it.

        Raises:
            TransformerIsOrigin, TransformerUnidentified: nothing was written to it.
            MongodNotFound, MongodFailedToStart, FolderInUse, ServerUnreachable, LoginRefused, ServerFailed.
        """
        with self.home.use(plan):
            if uri := _transformer_uri():
                with self._connect(uri, plan) as client:
                    yield Transformer(uri, client[database])
                return
            folder = self.home.transformer(plan)
            with (
                private_mongod(folder, transaction_seconds=TRANSFORMER_TRANSACTION_SECONDS) as server,
                connect(server.uri, whose="transformer", variable="its folder") as client,
                naming_failures("transformer", nodes_of(server.uri)),
            ):
                yield Transformer(server.uri, client[database])

    def find_databases(self, plan: ReleasePlan, release_ids: Iterable[str]) -> list[str]:
        """The releases among these that have a database on the server of `NMDC_TRANSFORMER_URI`; none where that is not set.

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

    def drop_abandoned(self, plan: ReleasePlan, transformer: Transformer) -> list[str]:
        """Drop the databases of executions of `migrate` that did not come to their end; return their names."""
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

    def require_usable(self, origin: Origin) -> None:
        """Check, without starting anything, that there is a usable transformer and that it is not the origin.

        Raises:
            MongodNotFound, ServerUnreachable, LoginRefused, TransformerIsOrigin, TransformerUnidentified, TransformerRefused.
        """
        if not (uri := _transformer_uri()):
            find_mongod()
            return
        with connect(uri, whose="transformer", variable="NMDC_TRANSFORMER_URI") as client:
            require_other_server(identify_server(origin.client, origin.uri), identify_server(client, uri))
            with naming_failures("transformer"):
                require_scratch_database(client[transformer_database("probe", secrets.token_hex(8))])

    @contextmanager
    def _connect(self, uri: str, plan: ReleasePlan) -> Iterator[MongoClient[Document]]:
        """Connect to the server of `NMDC_TRANSFORMER_URI`, which may have changed since the release was planned."""
        with (
            connect(uri, whose="transformer", variable="NMDC_TRANSFORMER_URI") as client,
            naming_failures("transformer", nodes_of(uri)),
        ):
            self._require_other_server(identify_server(client, uri), plan)
            yield client

    def _require_other_server(self, transformer: ServerIdentity, plan: ReleasePlan) -> None:
        """Compare it with the origin that was planned for, and with the one that `NMDC_ORIGIN_URI` names now."""
        same = None if plan.origin is None else is_same_server(plan.origin, transformer)
        if plan.origin is not None and same:
            require_other_server(plan.origin, transformer)
        try:
            with self.origin.connect() as origin:
                present = identify_server(origin.client, origin.uri)
        except (MongoError, ConfigurationMissing):
            # The step may not need the origin. If the plan shows that it is another server, it need not answer.
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
    return os.environ.get("NMDC_TRANSFORMER_URI") or None


class SchemaReleases(dg.ConfigurableResource[Any]):
    """Packages, environments and compiled schemas of schema releases."""

    home: dg.ResourceDependency[ReleaseHome]

    @property
    def packages(self) -> SchemaPackages:
        return SchemaPackages(self.home.schema_folder)

    @property
    def environments(self) -> SchemaEnvironments:
        return SchemaEnvironments(self.home.schema_folder)

    @property
    def compiled(self) -> CompiledSchemas:
        return CompiledSchemas(self.home.schema_folder)

    def target(self, version: SchemaVersion | None, source: str | None) -> Target:
        """The release of that version on the package index, or what is built from `source`.

        Args:
            version: None for the newest release, or the version that the source's own migrators lead to.
            source: as `schema.candidate.require_source` takes it; None for the package index.

        Raises:
            InvalidSchemaSource, PackageUnreadable, SchemaReleaseNotFound, PackageIndexUnreachable, PackageIndexUnusable,
            InstallationFailed.
        """
        if source is None:
            version = version or self.packages.newest()
            return Target(version, self.packages.fetch(version))
        candidate, folder = fetch_candidate(self.home.schema_folder, source)
        return Target(candidate, SchemaPackage(version or version_of(folder), folder))

    def candidate_package(self, name: str, version: SchemaVersion) -> SchemaPackage | None:
        """The package that a candidate was released from; None where it is no longer kept."""
        return package_of(self.home.schema_folder, name, version)


class SchemaWorker(dg.ConfigurableResource[Any]):
    """Runs code of a schema release in a process of its own, and brings its messages into the run's event log.

    Dagster's `PipesSubprocessClient` would hand the process a copy of our environment, the origin's credentials among
    it; this gives it an explicit one.
    """

    def run(
        self,
        context: dg.OpExecutionContext,
        environment: SchemaEnvironment,
        task: str,
        *,
        transformer: Transformer,
        extras: dict[str, Any],
        folder: Path,
        seconds: float,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> tuple[int, Sequence[Mapping[str, Any]]]:
        """Run one task to its end; return its exit code and the messages that it reported.

        Args:
            task: module of `schema.worker`.
            extras: its parameters, plain JSON.
            folder: where it runs; nothing of ours is in it.
            seconds: how long it may take.
            silence_seconds: how long it may send no message before the run's log reports that.

        Raises:
            TookTooLong: it was ended with every process that it had started.
        """
        with writing(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        silence = Silence(context.log.warning, silence_seconds)
        with dg.open_pipes_session(
            context=context,
            context_injector=dg.PipesTempFileContextInjector(),
            message_reader=_ListeningReader(silence),
            extras={"schema_version": environment.schema_version, **extras},
        ) as session:
            process = subprocess.Popen(
                worker_command(environment, task),
                cwd=folder,
                env={**worker_environment(transformer.uri), **session.get_bootstrap_env_vars()},
                stdin=subprocess.DEVNULL,
                # A group of its own, so that it can be ended with whatever it started.
                start_new_session=True,
            )
            code = wait_for(process, seconds, silence.look)
        return code, cast("Sequence[Mapping[str, Any]]", session.get_custom_messages())


class _ListeningReader(dg.PipesTempFileMessageReader):
    """Reads a worker's messages, and records when the last one came."""

    def __init__(self, silence: Silence) -> None:
        super().__init__()
        self._silence = silence

    @contextmanager
    def read_messages(self, handler: dg.PipesMessageHandler) -> Iterator[Any]:
        with super().read_messages(cast("dg.PipesMessageHandler", _Listener(handler, self._silence))) as parameters:
            yield parameters


class _Listener:
    """Passes messages on to Dagster's own handler."""

    def __init__(self, handler: dg.PipesMessageHandler, silence: Silence) -> None:
        self._handler = handler
        self._silence = silence

    def handle_message(self, message: Mapping[str, Any]) -> None:
        params = message.get("params") or {}
        payload = params.get("payload")
        kind = payload.get("kind") if isinstance(payload, dict) else None
        self._silence.end_with(str(params.get("message") or kind or message.get("method")))
        self._handler.handle_message(cast("Any", message))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handler, name)


class GitHubResource(dg.ConfigurableResource[Any]):
    """GitHub: `NMDC_GITHUB_API` (https://api.github.com), `GITHUB_TOKEN`."""

    def connect(self, patience: Patience | None = None) -> GitHub:
        """A client; nothing is asked yet.

        Raises:
            ServiceAddressInvalid.
        """
        api = os.environ.get("NMDC_GITHUB_API") or "https://api.github.com"
        return GitHub(api, _secret("GITHUB_TOKEN"), patience)


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
        return _words("NMDC_RUNTIME_RELEASE_WORKFLOWS", "build-and-push-docker-images.yml,release-to-pypi.yml")

    @property
    def pin_files(self) -> list[str]:
        """Files that pin the schema's version; the first that is there counts."""
        return _words("NMDC_RUNTIME_PIN_FILES", "uv.lock,requirements/main.txt")

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
            _words("NMDC_RANCHER_DEPLOYMENTS", "runtime-api,dagster-dagit,dagster-daemon"),
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
        values = {name: _secret(f"NMDC_RANCHER_{name}") for name in ("CONTEXT", "NAMESPACE", "TOKEN")}
        missing = [f"NMDC_RANCHER_{name}" for name, value in values.items() if value is None]
        if missing:
            raise ConfigurationMissing(
                f"NMDC_RANCHER_URL is set, and {', '.join(missing)} not. Set it, or unset the first."
            )
        return Rancher(address, str(values["CONTEXT"]), str(values["NAMESPACE"]), str(values["TOKEN"]))


def deployment_is_configured() -> bool:
    """Whether there is anything to deploy to."""
    return bool(os.environ.get("NMDC_DEPLOY_WORKFLOWS") or os.environ.get("NMDC_RANCHER_URL"))


class Notices(dg.ConfigurableResource[Any]):
    """Messages to the people concerned, by `NMDC_NOTICE_WEBHOOK`; where that is not set, there are none."""

    @property
    def are_wanted(self) -> bool:
        return _secret("NMDC_NOTICE_WEBHOOK") is not None

    def send(self, text: str) -> str | None:
        """Send `text` if notices are wanted; return why it did not arrive. Raises nothing."""
        address = _secret("NMDC_NOTICE_WEBHOOK")
        return post_text(address, text) if address else None


class RecordStore(dg.ConfigurableIOManager):
    """Keeps what steps hand to each other as JSON files, by run: a re-executed run reads those of its parent."""

    home: dg.ResourceDependency[ReleaseHome]

    def handle_output(self, context: dg.OutputContext, obj: Record) -> None:
        path = self._path(context)
        with writing(path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(path, obj.to_json())
            sync(path.parent)

    def load_input(self, context: dg.InputContext) -> Record:
        """The record as the step that made it left it.

        Raises:
            dagster.Failure: its file is missing, unreadable or changed; the step that makes it has to be executed again.
        """
        if context.upstream_output is None:
            raise ValueError("a record is only ever read from the step that made it")
        record = cast("type[Record]", context.dagster_type.typing_type)
        step = context.upstream_output.step_key
        try:
            return read_record(self._path(context.upstream_output), record, step)
        except (RecordMissing, RecordChanged) as error:
            raise dg.Failure(
                f"{error}\n\nThis step did nothing to the origin.\n\nMore: docs/runbook.md, {type(error).__name__}.",
                allow_retries=False,
            ) from None

    def _path(self, context: dg.OutputContext) -> Path:
        return self.home.record(context.run_id, context.step_key)


def read_record(path: Path, kind: type[RecordT], step: str) -> RecordT:
    """The record in a file.

    Args:
        step: the step that made it, for errors.

    Raises:
        RecordMissing: the file is missing, or this version of the project cannot read it.
        RecordChanged: its content is not what was written.
    """
    again = f"Re-execute the run from `{step}`, with all the steps after it, or launch a new release."
    try:
        return kind.from_json(path.read_bytes())
    except FileNotFoundError:
        raise RecordMissing(f"{path}, the record of the step `{step}`, is missing. {again}") from None
    except RecordUnreadable as error:
        raise RecordMissing(f"{path}, the record of the step `{step}`, cannot be read: {error}. {again}") from None
    except RecordAltered as error:
        raise RecordChanged(
            f"{path}, the record of the step `{step}`, was changed after it was written: {error}. {again}"
        ) from None


def _words(variable: str, default: str) -> list[str]:
    return [word.strip() for word in (os.environ.get(variable) or default).split(",") if word.strip()]


def _secret(variable: str) -> str | None:
    return (os.environ.get(variable) or "").strip() or None
