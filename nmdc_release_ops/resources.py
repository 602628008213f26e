"""Configuration made into what the libraries take. The only place of the package that reads the environment for it.

No resource has a field for a secret: connection strings come from the environment when they are needed, so that
none of them can be written into a run's config.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

import dagster as dg
from pydantic import TypeAdapter, ValidationError
from pymongo import MongoClient
from pymongo.database import Database

from nmdc_release_ops.mongo.archive import MANIFEST, sync
from nmdc_release_ops.mongo.connection import Document, connect, naming_failures, nodes_of
from nmdc_release_ops.mongo.heartbeat import keep_beating
from nmdc_release_ops.mongo.lease import Lease
from nmdc_release_ops.mongo.server import find_mongod, private_mongod
from nmdc_release_ops.records import Record
from nmdc_release_ops.runtime.deployment import DeployingWorkflow, Targets
from nmdc_release_ops.runtime.github import GitHub
from nmdc_release_ops.runtime.rancher import Rancher
from nmdc_release_ops.runtime.repository import Repository
from nmdc_release_ops.runtime.transport import Patience
from nmdc_release_ops.runtime.webhook import post_text
from nmdc_release_ops.runtime.workflows import Watching
from nmdc_release_ops.schema.candidate import fetch_candidate, package_of, version_of
from nmdc_release_ops.schema.compiled import CompiledSchemas
from nmdc_release_ops.schema.environment import (
    SchemaEnvironment,
    SchemaEnvironments,
    worker_command,
    worker_environment,
)
from nmdc_release_ops.schema.package import SchemaPackage, SchemaPackages
from nmdc_release_ops.schema.shipping import Target
from nmdc_release_ops.schema.version import SchemaVersion

DEFAULT_HOME = "~/.local/state/nmdc-release-ops"
TRANSFORMER_DATABASE = "nmdc_release_ops_transformer"
# A migration of a large collection may run in one transaction where a migrator insists on it.
TRANSFORMER_TRANSACTION_SECONDS = 24 * 60 * 60
_WORKER_STOP_SECONDS = 20
POLL_SECONDS = 300
_SECONDS = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)
_RELEASE_ID = re.compile(r"\d{8}T\d{6}Z-")


class ConfigurationMissing(Exception):
    """An environment variable that a step needs is not set."""


class ConfigurationInvalid(Exception):
    """An environment variable has a value that it cannot have."""


class RecordMissing(Exception):
    """What an earlier step handed on is gone."""


class HomeUnusable(Exception):
    """Nothing can be written to NMDC_RELEASE_HOME."""


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


class ReleaseHome(dg.ConfigurableResource[Any]):
    """The folder `NMDC_RELEASE_HOME`: archives, transformers, records, schema packages and environments."""

    @property
    def path(self) -> Path:
        return Path(os.environ.get("NMDC_RELEASE_HOME") or DEFAULT_HOME).expanduser().resolve()

    @property
    def schema_folder(self) -> Path:
        return self.path / "schema"

    def release(self, release_id: str) -> Path:
        """The folder of one release, readable by its owner only."""
        folder = self.path / "releases" / release_id
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def archive(self, release_id: str) -> Path:
        return self.release(release_id) / "archive"

    def transformer(self, release_id: str) -> Path:
        return self.release(release_id) / "transformer"

    def record(self, run_id: str, name: str) -> Path:
        return self.path / "records" / run_id / f"{name}.json"

    def prune(self, keep: int, needed: Set[str]) -> list[str]:
        """Remove the folders of releases older than the newest `keep` that have a complete archive; return their ids.

        Args:
            keep: how many archives stay, at least one.
            needed: ids of releases whose folders stay, however old.

        Raises:
            OSError: a folder could not be removed; it is tried again the next time.
        """
        folders = (self.path / "releases").glob("*")
        releases = sorted(
            (one for one in folders if _RELEASE_ID.match(one.name)), key=lambda one: one.name, reverse=True
        )
        archives = 0
        removed = []
        for folder in releases:
            if archives >= keep and folder.name not in needed:
                shutil.rmtree(folder)
                removed.append(folder.name)
            elif (folder / "archive" / MANIFEST).is_file():
                archives += 1
        return removed

    def require_writable(self) -> None:
        """Write and remove a file.

        Raises:
            HomeUnusable: saying why that could not be done.
        """
        probe = self.path / f".writable-{os.getpid()}"
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise HomeUnusable(
                f"NMDC_RELEASE_HOME ({self.path}) cannot be written: {error.strerror}. Point it at a folder that the "
                "user running Dagster owns."
            ) from error

    def free_bytes(self) -> int:
        return shutil.disk_usage(self.path).free


@dataclass(frozen=True)
class Transformer:
    """The scratch database, connected to."""

    uri: str = field(repr=False)
    database: Database[Document]


class TransformerResource(dg.ConfigurableResource[Any]):
    """The transformer: `NMDC_TRANSFORMER_URI`, or where that is not set a private mongod in the release's folder."""

    @contextmanager
    def open(self, folder: Path) -> Iterator[Transformer]:
        """The transformer, for as long as the block lasts; a private one is found again in `folder` each time.

        Raises:
            MongodNotFound, MongodFailedToStart, FolderInUse, ServerUnreachable, LoginRefused, ServerFailed.
        """
        uri = os.environ.get("NMDC_TRANSFORMER_URI")
        if uri:
            with (
                connect(uri, whose="transformer", variable="NMDC_TRANSFORMER_URI") as client,
                naming_failures("transformer", nodes_of(uri)),
            ):
                yield Transformer(uri, client[TRANSFORMER_DATABASE])
            return
        with (
            private_mongod(folder, transaction_seconds=TRANSFORMER_TRANSACTION_SECONDS) as server,
            connect(server.uri, whose="transformer", variable="its folder") as client,
            naming_failures("transformer", nodes_of(server.uri)),
        ):
            yield Transformer(server.uri, client[TRANSFORMER_DATABASE])

    def require_usable(self) -> None:
        """Find out, without starting anything, whether a transformer can be had.

        Raises:
            MongodNotFound, ServerUnreachable, LoginRefused.
        """
        uri = os.environ.get("NMDC_TRANSFORMER_URI")
        if uri:
            connect(uri, whose="transformer", variable="NMDC_TRANSFORMER_URI").close()
        else:
            find_mongod()


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
        """The package that a candidate was released from; None where it is not kept any more."""
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
        seconds: float | None = None,
    ) -> tuple[int, Sequence[Mapping[str, Any]]]:
        """Run one task to its end; return its exit code and the messages that it reported.

        Args:
            task: module of `schema.worker`.
            extras: its parameters, plain JSON.
            folder: where it runs; nothing of ours is in it.
            seconds: how long it may take.

        Raises:
            subprocess.TimeoutExpired: it took longer, and was ended with every process that it had started.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with dg.open_pipes_session(
            context=context,
            context_injector=dg.PipesTempFileContextInjector(),
            message_reader=dg.PipesTempFileMessageReader(),
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
            try:
                code = process.wait(timeout=seconds)
            except BaseException:
                _end(process)
                raise
        return code, cast("Sequence[Mapping[str, Any]]", session.get_custom_messages())


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
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = path.with_suffix(".new")
        aside.write_text(obj.model_dump_json(indent=2))
        sync(aside)
        aside.rename(path)
        sync(path.parent)

    def load_input(self, context: dg.InputContext) -> Record:
        """The record as the step that made it left it.

        Raises:
            RecordMissing: if its file is gone; the step that makes it has to be run again.
        """
        if context.upstream_output is None:
            raise ValueError("a record is only ever read from the step that made it")
        record = cast("type[Record]", context.dagster_type.typing_type)
        path = self._path(context.upstream_output)
        try:
            return record.model_validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError) as error:
            how = "is gone" if isinstance(error, FileNotFoundError) else "cannot be read by this version of the project"
            raise RecordMissing(
                f"{path} {how}: what the step {context.upstream_output.step_key} handed on. No data of the origin was changed "
                f"by this step. Re-execute the run from `{context.upstream_output.step_key}`, or launch a new release. More: "
                "docs/runbook.md, RecordMissing."
            ) from None

    def _path(self, context: dg.OutputContext) -> Path:
        return self.home.record(context.run_id, context.step_key)


def _words(variable: str, default: str) -> list[str]:
    return [word.strip() for word in (os.environ.get(variable) or default).split(",") if word.strip()]


def _secret(variable: str) -> str | None:
    return (os.environ.get(variable) or "").strip() or None


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=_WORKER_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
