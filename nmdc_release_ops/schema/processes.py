"""Running programs to their end, or ending them, with every process that they started, when they take too long."""

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
"""Time between asking a process to end and killing it."""
_LOOK_SECONDS = 1.0


class TookTooLong(Exception):
    """A program did not finish within its time limit, and was ended.

    Attributes:
        seconds: the limit.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"not done after {seconds:.0f} seconds")


@dataclass(frozen=True)
class Finished:
    """Exit code and output of a program."""

    code: int
    output: str
    errors: str


def run_to_end(
    command: Sequence[str], *, env: Mapping[str, str], cwd: Path | str | None = None, given: str = "", seconds: float
) -> Finished:
    """Run a program to its end.

    Its output goes to files: a process that it leaves behind would keep a pipe open, and reading to the end of the pipe
    would wait for that process.

    Args:
        given: its standard input.

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
    """Wait until a process that leads its own group ends; return its exit code. Its group does not outlive it.

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
