"""Running a program and measuring it: seconds, and the memory of the whole process tree at its largest."""

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

SAMPLE_SECONDS = 0.05
_STOP_SECONDS = 20
_LONGEST_MESSAGE = 3_000


class ProgramFailed(Exception):
    """A program that is measured ended with another exit code than 0."""


@dataclass(frozen=True)
class Memory:
    """What a process tree held in memory, in bytes, without the `mongod` in it.

    Attributes:
        largest: of its largest process.
        together: of all processes, each at its own largest moment, so that the sum is never too small.
        processes: how many there were.
        mongod: of the largest `mongod` in it; 0 where there was none.
    """

    largest: int
    together: int
    processes: int
    mongod: int = 0


@dataclass(frozen=True)
class Ran:
    """A program that ended well: how long it took from start to end, its memory, and what it wrote to its output."""

    seconds: float
    memory: Memory
    output: str


@dataclass
class _Watch:
    """Samples a process and its descendants repeatedly, until it is stopped.

    `ru_maxrss` would be simpler, and wrong: it counts what the parent held when it started the program, and leaves out
    grandchildren that are still running.
    """

    pid: int
    peaks: dict[int, tuple[str, int]] = field(default_factory=dict)
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.stopped.wait(SAMPLE_SECONDS):
            self.sample()

    def sample(self) -> None:
        try:
            root = psutil.Process(self.pid)
            tree = [root, *root.children(recursive=True)]
        except psutil.Error:
            return
        for process in tree:
            held = peak_memory(process.pid)
            if held:
                try:
                    name = process.name()
                except psutil.Error:
                    continue
                # A process may be sampled before it has executed its program; the last name counts.
                self.peaks[process.pid] = (name, held)

    def memory(self) -> Memory:
        others = [held for name, held in self.peaks.values() if name != "mongod"]
        servers = [held for name, held in self.peaks.values() if name == "mongod"]
        return Memory(max(others, default=0), sum(others), len(others), max(servers, default=0))


def peak_memory(pid: int) -> int:
    """The peak memory of a running process so far, in bytes; 0 if it is gone or the peak is unknown."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0)


def run(command: Sequence[str | Path], *, folder: Path, environment: Mapping[str, str] | None = None) -> Ran:
    """Run a program to its end. Afterwards neither it nor a process that it started is running.

    Args:
        folder: where it runs.
        environment: all variables that it gets; ours where None.

    Raises:
        ProgramFailed: with the end of what it wrote to its standard error.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        started = time.monotonic()
        process = subprocess.Popen(
            list(command),
            cwd=folder,
            env=None if environment is None else dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            # A group of its own, so that it can be ended with whatever it started.
            start_new_session=True,
        )
        watch = _Watch(process.pid)
        thread = threading.Thread(target=watch.run, name="watch", daemon=True)
        thread.start()
        try:
            code = process.wait()
            seconds = time.monotonic() - started
        finally:
            watch.stopped.set()
            thread.join()
            _end(process)
        output.seek(0)
        errors.seek(0)
        if code != 0:
            raise ProgramFailed(f"{command[0]} ended with exit code {code}: {errors.read()[-_LONGEST_MESSAGE:]}")
        return Ran(seconds, watch.memory(), output.read())


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
