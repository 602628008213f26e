"""A process that runs a task of `schema/worker`. It can be started before its task is known: it then waits, and has imported
what it needs when the task begins.
"""

import json
import select
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from nmdc_release_ops.files import writing
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment, worker_command, worker_environment
from nmdc_release_ops.schema.processes import end


class WorkerProcess:
    """A worker. It ends with the block, and also when this process ends for any reason.

    Attributes:
        channel: our end of its standard input.
    """

    def __init__(self, environment: SchemaEnvironment, task: str, folder: Path, *arguments: str) -> None:
        """Start it. It holds no address and no credentials until it gets its task.

        Args:
            task: module of `schema.worker`.
            folder: its working directory, with no files of ours.
            arguments: what the module can do ahead of its task.

        Raises:
            FileNotWritten: the folder could not be created.
            OSError: it could not be started.
        """
        with writing(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._identity = _identify(environment, task, folder)
        self.channel, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                worker_command(environment, task, *arguments),
                cwd=folder,
                env=worker_environment(""),
                stdin=theirs.fileno(),
                # In its own process group, so that it can be ended with every process that it started.
                start_new_session=True,
            )

    def is_for(self, environment: SchemaEnvironment, task: str, folder: Path) -> bool:
        """Whether it still waits, and one started now would be the same. An environment may have been made again since."""
        try:
            same = self._identity == _identify(environment, task, folder)
        except OSError:
            return False
        return same and self.process.poll() is None

    def wait_until_ready(self, seconds: float) -> None:
        """Wait until it has imported what it needs, or has ended, for at most so many seconds."""
        poll = select.poll()
        poll.register(self.channel, select.POLLIN)
        poll.poll(seconds * 1000)

    def begin(self, variables: Mapping[str, str]) -> None:
        """Let it begin its task.

        Args:
            variables: those of Dagster Pipes and `NMDC_TRANSFORMER_URI`.
        """
        # If it has ended, its exit code says so.
        with suppress(ConnectionError):
            self.channel.sendall(json.dumps(dict(variables)).encode() + b"\n")

    def close(self) -> None:
        """End it, with every process that it started."""
        self.channel.close()
        # After its end was noticed, its process id may be another's. Its pool ends by itself then.
        if self.process.returncode is None:
            end(self.process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _identify(environment: SchemaEnvironment, task: str, folder: Path) -> tuple[object, ...]:
    return environment.path, environment.stamp(), task, folder, folder.stat().st_ino
