"""Running programs to their end. A program that takes too long is ended, with every process that it started."""

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
_SECONDS_BETWEEN_CHECKS = 1.0


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
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | str | None = None,
    stdin_text: str = "",
    seconds: float,
) -> Finished:
    """Run a program to its end.

    Its output goes to files. A process that it leaves behind would keep a pipe open, and reading the pipe to its end would
    wait for that process.

    Args:
        stdin_text: its standard input.

    Raises:
        TookTooLong: it was ended, with every process of its group.
        OSError: it could not be started.
    """
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        stdin.write(stdin_text.encode())
        stdin.seek(0)
        process = subprocess.Popen(
            command, env=env, cwd=cwd, stdin=stdin, stdout=output, stderr=errors, start_new_session=True
        )
        code = wait_for(process, seconds)
        output.seek(0)
        errors.seek(0)
        return Finished(code, output.read().decode(errors="replace"), errors.read().decode(errors="replace"))


def wait_for(
    process: subprocess.Popen[bytes],
    seconds: float,
    check: Callable[[], None] = lambda: None,
    serve: Callable[[float], float] | None = None,
) -> int:
    """Wait until a process that leads its own group ends; return its exit code. The rest of its group is then killed.

    Args:
        seconds: time limit.
        check: called every second meanwhile.
        serve: waits for requests of the process for at most that many seconds, and answers them; returns how long the
            process waited for its answers, which does not count. If it raises, the process is ended.

    Raises:
        TookTooLong
    """
    deadline = time.monotonic() + seconds
    try:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TookTooLong(seconds)
            pause = min(left, _SECONDS_BETWEEN_CHECKS)
            if serve is not None:
                deadline += serve(pause)
                pause = 0
            with suppress(subprocess.TimeoutExpired):
                return process.wait(timeout=pause)
            check()
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads its own group, and the rest of its group."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
