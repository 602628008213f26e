"""Schema releases, and the processes that run their code."""

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import dagster as dg

from nmdc_release_ops.files import writing
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.transformer import TransformerConnection
from nmdc_release_ops.schema.environments.compiled import CompiledSchemas
from nmdc_release_ops.schema.environments.environment import (
    SchemaEnvironment,
    SchemaEnvironments,
    worker_command,
    worker_environment,
)
from nmdc_release_ops.schema.packages.candidate import fetch_candidate, version_of
from nmdc_release_ops.schema.packages.package import SchemaPackage, SchemaPackages
from nmdc_release_ops.schema.processes import wait_for
from nmdc_release_ops.schema.requests import Requests
from nmdc_release_ops.schema.shipping import Target
from nmdc_release_ops.schema.silence import SECONDS as SILENCE_SECONDS
from nmdc_release_ops.schema.silence import Silence
from nmdc_release_ops.schema.version import SchemaVersion


class SchemaReleasesResource(dg.ConfigurableResource[Any]):
    """Packages, environments and compiled schemas of schema releases."""

    home: dg.ResourceDependency[ReleaseHomeResource]

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
            version: None for the newest release, or for the version that the source's own migrators lead to.
            source: as `schema.packages.candidate.require_source` takes it; None for the package index.

        Raises:
            InvalidSchemaSource, PackageUnreadable, SchemaReleaseNotFound, PackageIndexUnreachable, PackageIndexUnusable,
            InstallationFailed.
        """
        if source is None:
            version = version or self.packages.newest()
            return Target(version, self.packages.fetch(version))
        candidate, folder = fetch_candidate(self.home.schema_folder, source)
        return Target(candidate, SchemaPackage(version or version_of(folder), folder))


class SchemaWorkerResource(dg.ConfigurableResource[Any]):
    """Runs code of a schema release in a separate process, and copies its messages into the run's event log.

    Dagster's `PipesSubprocessClient` would give the process a copy of our environment, with the origin's credentials;
    this gives it an explicit one.
    """

    def run(
        self,
        context: dg.OpExecutionContext,
        environment: SchemaEnvironment,
        task: str,
        *,
        transformer: TransformerConnection,
        extras: dict[str, Any],
        folder: Path,
        seconds: float,
        answer: Callable[[str], None] | None = None,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> tuple[int, Sequence[Mapping[str, Any]]]:
        """Run one task to its end; return its exit code and the messages that it reported.

        Args:
            task: module of `schema.worker`.
            extras: its parameters, plain JSON.
            folder: its working directory, with no files of ours.
            seconds: time limit.
            answer: does what the worker requests through the socket whose descriptor it gets as the parameter `channel`.
                None if it has nothing to request.
            silence_seconds: time without a message after which the run's log warns.

        Raises:
            TookTooLong, or what `answer` raises: the worker was ended, with every process that it had started.
        """
        with writing(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        silence = Silence(context.log.warning, silence_seconds)
        with ExitStack() as stack:
            requests = stack.enter_context(Requests(answer)) if answer else None
            session = stack.enter_context(
                dg.open_pipes_session(
                    context=context,
                    context_injector=dg.PipesTempFileContextInjector(),
                    message_reader=_ListeningReader(silence),
                    extras={
                        "schema_version": environment.schema_version,
                        **extras,
                        **({"channel": requests.descriptor} if requests else {}),
                    },
                )
            )
            process = subprocess.Popen(
                worker_command(environment, task),
                cwd=folder,
                env={**worker_environment(transformer.uri), **session.get_bootstrap_env_vars()},
                stdin=subprocess.DEVNULL,
                # In its own process group, so that it can be ended with every process that it started.
                start_new_session=True,
                pass_fds=[requests.descriptor] if requests else [],
            )
            if requests:
                requests.release()
            code = wait_for(process, seconds, silence.check, requests.serve if requests else None)
        return code, cast("Sequence[Mapping[str, Any]]", session.get_custom_messages())


class _ListeningReader(dg.PipesTempFileMessageReader):
    """Reads a worker's messages, and records when the last one arrived."""

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
