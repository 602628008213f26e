"""A program of Dagster's that Ctrl-C in the terminal reaches once, from us, and of which no process is left behind."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

_QUIET = {"PYTHONWARNINGS": "ignore"}
"""Dagster warns that parts of its own API are previews, and of successors of its own commands."""
# While Dagster is imported, Ctrl-C would print a stack trace.
_RUN = """
import runpy, sys
shown = sys.excepthook
sys.excepthook = lambda kind, *rest: None if kind is KeyboardInterrupt else shown(kind, *rest)
runpy.run_module("dagster", run_name="__main__", alter_sys=True)
"""
_NOTICE_SECONDS = 10


class DagsterProgram:
    """A running program of Dagster's, in a session of its own.

    Attributes:
        output: what it prints, line by line; None where it prints to the terminal itself.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._interrupts = 0
        self.output: IO[str] | None = process.stdout

    @property
    def is_interrupted(self) -> bool:
        return self._interrupts > 0

    def wait(self) -> int:
        """Wait for its end and for that of the runs that it started: these continue without it, and must not be killed.

        A second interrupt kills them. Returns its exit status, 0 if it was interrupted.
        """
        code = self._process.wait()
        notice_at = time.monotonic() + _NOTICE_SECONDS
        while self._has_processes() and self._interrupts < 2:
            if notice_at and time.monotonic() > notice_at:
                notice_at = 0.0
                print("A run is still in progress; waiting for it to end. Press Ctrl-C again to kill it.", flush=True)
            time.sleep(0.2)
        return 0 if self.is_interrupted else code

    def interrupt(self, _number: int = signal.SIGINT, _frame: FrameType | None = None) -> None:
        self._interrupts += 1
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _has_processes(self) -> bool:
        try:
            os.killpg(self._process.pid, 0)
        except ProcessLookupError:
            return False
        return True


@contextmanager
def dagster_program(
    arguments: Sequence[str], variables: Mapping[str, str], *, folder: Path | None = None, piped: bool = False
) -> Iterator[DagsterProgram]:
    """Run Dagster's command line while the block lasts; what interrupts us interrupts it.

    Args:
        arguments: of the command `dagster`.
        variables: for its environment, beside ours.
        folder: where it starts; None for ours.
        piped: whether it prints to `output`.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN, *arguments],
        env={**os.environ, **_QUIET, **variables},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if piped else None,
        stderr=subprocess.STDOUT if piped else None,
        text=True,
        start_new_session=True,
        preexec_fn=_accept_interrupts,
    )
    program = DagsterProgram(process)
    before = {
        number: signal.signal(number, program.interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield program
    finally:
        program.kill()
        process.wait()
        for number, handler in before.items():
            signal.signal(number, handler)


def _accept_interrupts() -> None:
    # A shell that starts us in the background makes us ignore them, and child processes inherit that.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
