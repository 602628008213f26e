"""Schema releases, and the processes that run their code."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import dagster as dg
from pydantic import PrivateAttr

from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.transformer import TransformerConnection
from nmdc_release_ops.schema.environments.compiled import CompiledSchemas
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment, SchemaEnvironments
from nmdc_release_ops.schema.outlines.outlines import SchemaOutlines
from nmdc_release_ops.schema.packages.candidate import fetch_candidate, version_of
from nmdc_release_ops.schema.packages.package import SchemaPackage, SchemaPackages
from nmdc_release_ops.schema.processes import wait_for
from nmdc_release_ops.schema.requests import Requests
from nmdc_release_ops.schema.shipping import Target
from nmdc_release_ops.schema.silence import SECONDS as SILENCE_SECONDS
from nmdc_release_ops.schema.silence import Silence
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops.schema.worker_process import WorkerProcess

MIGRATE = "migrating.migrate"
VALIDATE = "validating.validate"
"""Tasks: modules of `schema.worker`."""
READY_SECONDS = 60
"""How long to wait until workers that are started ahead are ready. Later they would only start more slowly."""


class SchemaReleasesResource(dg.ConfigurableResource[Any]):
    """Packages, environments and compiled schemas of schema releases."""

    home: dg.ResourceDependency[ReleaseHomeResource]

    _environments: SchemaEnvironments | None = PrivateAttr(default=None)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002
        """The next run examines the environments again."""
        self._environments = None

    @property
    def packages(self) -> SchemaPackages:
        return SchemaPackages(self.home.schema_folder)

    @property
    def environments(self) -> SchemaEnvironments:
        """The same during a run, so that an environment's ten thousand files are examined once."""
        if self._environments is None:
            self._environments = SchemaEnvironments(self.home.schema_folder)
        return self._environments

    @property
    def compiled(self) -> CompiledSchemas:
        return CompiledSchemas(self.home.schema_folder)

    @property
    def outlines(self) -> SchemaOutlines:
        return SchemaOutlines(self.home.schema_folder)

    def target(self, version: SchemaVersion | None, source: str | None) -> Target:
        """The release of that version on the package index, or what is built from `source`. Where the index cannot be reached,
        what it answered before stands in for it, with a warning.

        Args:
            version: None for the newest release, or for the version that the source's own migrators lead to.
            source: as `schema.packages.candidate.require_source` takes it; None for the package index.

        Raises:
            InvalidSchemaSource, PackageUnreadable, SchemaReleaseNotFound, PackageIndexUnreachable, PackageIndexUnusable,
            InstallationFailed.
        """
        if source is None:
            packages = SchemaPackages(self.home.schema_folder, also_kept=True)
            version = version or packages.newest()
            return Target(version, packages.fetch(version), tuple(packages.describe_stand_ins()))
        candidate, folder = fetch_candidate(self.home.schema_folder, source)
        return Target(candidate, SchemaPackage(version or version_of(folder), folder))


class SchemaWorkerResource(dg.ConfigurableResource[Any]):
    """Runs code of a schema release in a separate process, and copies its messages into the run's event log.

    Dagster's `PipesSubprocessClient` would give the process a copy of our environment, with the origin's credentials;
    this gives it an explicit one.
    """

    _waiting: list[WorkerProcess] = PrivateAttr(default_factory=list)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002
        """End the workers that still wait for a task when the run ends."""
        while self._waiting:
            self._waiting.pop().close()

    def start(self, environment: SchemaEnvironment, task: str, folder: Path, *arguments: str) -> None:
        """Start a worker that waits for `run` with the same environment, task and folder, unless one does. It ends with the run.

        Args:
            arguments: see `WorkerProcess`.

        Raises:
            FileNotWritten, OSError.
        """
        if not any(process.is_for(environment, task, folder) for process in self._waiting):
            self._waiting.append(WorkerProcess(environment, task, folder, *arguments))

    def wait_until_ready(self) -> None:
        """Wait until the workers that were started are ready, or `READY_SECONDS` have passed."""
        deadline = time.monotonic() + READY_SECONDS
        for process in self._waiting:
            process.wait_until_ready(max(0, deadline - time.monotonic()))

    def _take(self, environment: SchemaEnvironment, task: str, folder: Path) -> WorkerProcess:
        """A worker that waits for this task; a new one if there is none."""
        for process in self._waiting:
            if process.is_for(environment, task, folder):
                self._waiting.remove(process)
                return process
        return WorkerProcess(environment, task, folder)

    def run(
        self,
        context: dg.OpExecutionContext,
        environment: SchemaEnvironment,
        task: str,
        *,
        transformer: TransformerConnection | None,
        extras: dict[str, Any],
        folder: Path,
        seconds: float,
        answer: Callable[[str], None] | None = None,
        progress: Callable[[Mapping[str, Any]], None] | None = None,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> tuple[int, Sequence[Mapping[str, Any]]]:
        """Run one task to its end; return its exit code and the messages that it reported.

        Args:
            task: module of `schema.worker`.
            transformer: None if the task needs none.
            extras: its parameters, plain JSON.
            folder: its working directory, with no files of ours.
            seconds: time limit.
            answer: does what the worker requests. None if it has nothing to request.
            progress: receives messages of the kind `progress`, which are not returned; in another thread.
            silence_seconds: time without a message after which the run's log warns.

        Raises:
            TookTooLong, or what `answer` raises: the worker was ended, with every process that it had started.
        """
        silence = Silence(context.log.warning, silence_seconds)
        with ExitStack() as stack:
            worker = stack.enter_context(self._take(environment, task, folder))
            requests = Requests(worker.channel, answer) if answer else None
            session = stack.enter_context(
                dg.open_pipes_session(
                    context=context,
                    context_injector=dg.PipesTempFileContextInjector(),
                    message_reader=_ListeningReader(silence, progress or _ignore),
                    extras={"schema_version": environment.schema_version, **extras},
                )
            )
            worker.begin(
                {"NMDC_TRANSFORMER_URI": transformer.uri if transformer else "", **session.get_bootstrap_env_vars()}
            )
            code = wait_for(worker.process, seconds, silence.check, requests.serve if requests else None)
        return code, cast("Sequence[Mapping[str, Any]]", session.get_custom_messages())


class _ListeningReader(dg.PipesTempFileMessageReader):
    """Reads a worker's messages, and records when the last one arrived."""

    def __init__(self, silence: Silence, progress: Callable[[Mapping[str, Any]], None]) -> None:
        super().__init__()
        self._silence = silence
        self._progress = progress

    @contextmanager
    def read_messages(self, handler: dg.PipesMessageHandler) -> Iterator[Any]:
        with super().read_messages(
            cast("dg.PipesMessageHandler", _Listener(handler, self._silence, self._progress))
        ) as parameters:
            yield parameters


class _Listener:
    """Passes messages on to Dagster's own handler."""

    def __init__(
        self, handler: dg.PipesMessageHandler, silence: Silence, progress: Callable[[Mapping[str, Any]], None]
    ) -> None:
        self._handler = handler
        self._silence = silence
        self._progress = progress

    def handle_message(self, message: Mapping[str, Any]) -> None:
        params = message.get("params") or {}
        payload = params.get("payload")
        kind = payload.get("kind") if isinstance(payload, dict) else None
        if isinstance(payload, dict) and kind == "progress":
            self._silence.end_with(f"it {payload['verb']} {sum(payload['documents'].values()):,} documents")
            self._progress(payload)
            return
        self._silence.end_with(str(params.get("message") or kind or message.get("method")))
        self._handler.handle_message(cast("Any", message))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handler, name)


def _ignore(message: Mapping[str, Any]) -> None:
    """No-op callback."""
