"""Suspends the process that migrates or validates while it works: with a small database it would be done at once."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import psutil

SECONDS = 60
# Enough to have imported what it needs. The process that validates leaves the work to its pool.
_FOLDERS = {"migrate": "migrating", "validate": "validating"}
_SECONDS_AT_WORK = {"migrate": 0.5, "validate": 0.0}


def worker_at_work(step: str, among: Iterable[psutil.Process]) -> psutil.Process | None:
    """The worker of a step, if it is one of these processes and has begun to work."""
    for process in among:
        with suppress(psutil.Error):
            if (
                f"worker.{_FOLDERS[step]}.{step}" in process.cmdline()
                and process.cpu_times().user > _SECONDS_AT_WORK[step]
            ):
                if step == "validate" and not pool_of(process):
                    continue
                return process
    return None


def pool_of(worker: psutil.Process) -> list[psutil.Process]:
    """The processes of a worker's pool."""
    pool = []
    for child in worker.children(recursive=True):
        with suppress(psutil.Error):
            if "spawn_main" in " ".join(child.cmdline()):
                pool.append(child)
    return pool


@contextmanager
def held(
    step: str, processes: Callable[[], Iterable[psutil.Process]], seconds: float = SECONDS
) -> Iterator[psutil.Process]:
    """The worker of a step, as soon as there is one. Its pool is suspended while the block lasts."""
    deadline = time.monotonic() + seconds
    while (worker := worker_at_work(step, processes())) is None:
        if time.monotonic() > deadline:
            raise AssertionError(f"no worker for {step}")
        time.sleep(0.02)
    pool = pool_of(worker)
    for process in pool:
        process.suspend()
    try:
        yield worker
    finally:
        for process in pool:
            with suppress(psutil.NoSuchProcess):
                process.resume()
