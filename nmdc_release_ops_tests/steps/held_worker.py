"""Catches the process that migrates or validates while it works, and makes it take its time: a small database is judged in no
time."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import psutil

SECONDS = 60
# Enough to have imported what it needs. The one that validates has its work done by others.
_ROOMS = {"migrate": "migrating", "validate": "validating"}
_SECONDS_AT_WORK = {"migrate": 0.5, "validate": 0.0}


def worker_at_work(step: str, among: Iterable[psutil.Process]) -> psutil.Process | None:
    """The worker of a step, if it is one of these processes and works."""
    for process in among:
        with suppress(psutil.Error):
            if (
                f"worker.{_ROOMS[step]}.{step}" in process.cmdline()
                and process.cpu_times().user > _SECONDS_AT_WORK[step]
            ):
                if step == "validate" and not crew_of(process):
                    continue
                return process
    return None


def crew_of(worker: psutil.Process) -> list[psutil.Process]:
    """The processes that judge."""
    crew = []
    for child in worker.children(recursive=True):
        with suppress(psutil.Error):
            if "spawn_main" in " ".join(child.cmdline()):
                crew.append(child)
    return crew


@contextmanager
def held(
    step: str, processes: Callable[[], Iterable[psutil.Process]], seconds: float = SECONDS
) -> Iterator[psutil.Process]:
    """The worker of a step, as soon as there is one. While the block lasts, those that work for it stand still."""
    deadline = time.monotonic() + seconds
    while (worker := worker_at_work(step, processes())) is None:
        if time.monotonic() > deadline:
            raise AssertionError(f"no worker for {step}")
        time.sleep(0.02)
    crew = crew_of(worker)
    for process in crew:
        process.suspend()
    try:
        yield worker
    finally:
        for process in crew:
            with suppress(psutil.NoSuchProcess):
                process.resume()
