"""Running a program and measuring it: seconds, and the memory of the whole process tree at its largest."""

import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
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
        by_kind: of the largest process of each kind.
    """

    largest: int
    together: int
    processes: int
    mongod: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Ran:
    """A program that ended well: how long it took from start to end, its memory, and what it wrote to its output.

    Attributes:
        disk: the most that the files which were watched took, in bytes.
    """

    seconds: float
    memory: Memory
    output: str
    disk: int = 0


@dataclass
class _Watch:
    """Samples a process and its descendants repeatedly, until it is stopped.

    `ru_maxrss` would be simpler, and wrong: it counts what the parent held when it started the program, and leaves out
    grandchildren that are still running.
    """

    pid: int
    files: Callable[[], Iterable[Path]] | None = None
    peaks: dict[int, tuple[str, int]] = field(default_factory=dict)
    disk: int = 0
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
                    name = _kind(process.cmdline())
                except psutil.Error:
                    continue
                # A process may be sampled before it has executed its program; the last name counts.
                self.peaks[process.pid] = (name, held)
        if self.files is not None:
            self.disk = max(self.disk, sum(map(_size, self.files())))

    def memory(self) -> Memory:
        others = [held for name, held in self.peaks.values() if name != "mongod"]
        by_kind: dict[str, int] = {}
        for name, held in self.peaks.values():
            by_kind[name] = max(held, by_kind.get(name, 0))
        return Memory(max(others, default=0), sum(others), len(others), by_kind.pop("mongod", 0), by_kind)


def _kind(command: Sequence[str]) -> str:
    """What a process is, for people: the program, or the module that a Python runs."""
    if not command:
        return "a process that ended"
    program = Path(command[0]).name
    if not program.startswith("python"):
        return program
    words = [word.partition(" ")[0] for word in command[1:]]
    if worker := next((word for word in words if re.fullmatch(r"worker(\.\w+)+", word)), None):
        return worker
    if "--multiprocessing-fork" in command or any("multiprocessing" in word for word in command[1:]):
        return "a process of a pool"
    if "-m" in words:
        return command[command.index("-m") + 1]
    return "python"


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def peak_memory(pid: int) -> int:
    """The peak memory of a running process so far, in bytes; 0 if it is gone or the peak is unknown."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0)


def run(
    command: Sequence[str | Path],
    *,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    files: Callable[[], Iterable[Path]] | None = None,
) -> Ran:
    """Run a program to its end. Afterwards neither it nor a process that it started is running.

    Args:
        folder: where it runs.
        environment: all variables that it gets; ours where None.
        files: lists the files whose size is watched.

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
        watch = _Watch(process.pid, files)
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
        return Ran(seconds, watch.memory(), output.read(), watch.disk)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    # First the program alone, which may stop what it started in an order of its own; then what is left of its group.
    process.terminate()
    try:
        process.wait(timeout=_STOP_SECONDS)
        last = signal.SIGTERM
    except subprocess.TimeoutExpired:
        last = signal.SIGKILL
    with suppress(ProcessLookupError):
        os.killpg(process.pid, last)
    process.wait()
