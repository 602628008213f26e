"""Holds up the process that migrates or validates while it works: with a small database it would be done at once."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import psutil

from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod

SECONDS = 60
_FOLDERS = {"migrate": "migrating", "validate": "validating"}


def worker_at_work(step: str, among: Iterable[psutil.Process]) -> psutil.Process | None:
    """The worker of a step, if it is one of these processes and has begun to work."""
    for process in among:
        with suppress(psutil.Error):
            # One that waits for its task knows no server.
            if is_worker(process, step) and process.net_connections(kind="tcp"):
                return process
    return None


def is_worker(process: psutil.Process, step: str) -> bool:
    """Whether it is a worker of a step, at work or waiting for its task."""
    return f"worker.{_FOLDERS[step]}.{step}" in process.cmdline()


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
    step: str,
    processes: Callable[[], Iterable[psutil.Process]],
    transformer: PrivateMongod | None = None,
    seconds: float = SECONDS,
) -> Iterator[psutil.Process]:
    """The worker of a step, as soon as there is one. What it waits for is suspended while the block lasts: the pool of the
    one that validates, the transformer of the one that migrates, which gives it up after ten seconds.
    """
    deadline = time.monotonic() + seconds
    while (worker := worker_at_work(step, processes())) is None:
        if time.monotonic() > deadline:
            raise AssertionError(f"no worker for {step}")
        time.sleep(0.02)
    suspended = pool_of(worker)
    if transformer is not None and step == "migrate":
        suspended.append(psutil.Process(transformer.pid))
    for process in suspended:
        process.suspend()
    try:
        yield worker
    finally:
        for process in suspended:
            with suppress(psutil.NoSuchProcess):
                process.resume()
