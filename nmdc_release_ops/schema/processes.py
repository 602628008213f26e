"""Programs that are run to their end, or ended with every process that they started when they take too long."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

STOP_SECONDS = 20
"""How long a process has between being asked to end and being killed."""
_LOOK_SECONDS = 1.0


class TookTooLong(Exception):
    """A program was not done in the time that it has, and was ended.

    Attributes:
        seconds: that time.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"not done after {seconds:.0f} seconds")


@dataclass(frozen=True)
class Finished:
    """How a program ended, and what it printed."""

    code: int
    output: str
    errors: str


def run_to_end(
    command: Sequence[str], *, env: Mapping[str, str], cwd: Path | str | None = None, given: str = "", seconds: float
) -> Finished:
    """Run a program.

    What it prints goes to files: a process that it leaves behind would hold a pipe open, and whoever reads to the
    pipe's end waits for that process.

    Args:
        given: what it reads from its standard input.

    Raises:
        TookTooLong: it was ended, with every process of its group.
        OSError: it could not be started.
    """
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        stdin.write(given.encode())
        stdin.seek(0)
        process = subprocess.Popen(
            command, env=env, cwd=cwd, stdin=stdin, stdout=output, stderr=errors, start_new_session=True
        )
        code = wait_for(process, seconds)
        output.seek(0)
        errors.seek(0)
        return Finished(code, output.read().decode(errors="replace"), errors.read().decode(errors="replace"))


def wait_for(process: subprocess.Popen[bytes], seconds: float, look: Callable[[], None] = lambda: None) -> int:
    """Wait until a process that leads its own group ends; return its exit code. Nothing of its group outlives it.

    Args:
        seconds: how long it may take.
        look: called every second meanwhile.

    Raises:
        TookTooLong
    """
    deadline = time.monotonic() + seconds
    try:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TookTooLong(seconds)
            with suppress(subprocess.TimeoutExpired):
                return process.wait(timeout=min(left, _LOOK_SECONDS))
            look()
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
