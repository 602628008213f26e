"""Looking for the workers of a run while it goes on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

import psutil

from nmdc_release_ops_tests.fault_point import Point, at
from nmdc_release_ops_tests.prepared_release import PreparedRelease
from nmdc_release_ops_tests.steps.held_worker import is_worker
from nmdc_release_ops_tests.workplace import Workplace

STEPS = ["freeze", "dump", "migrate", "validate"]
# Two migrators do something, each in an environment of its own.
WORKERS = 3
_DUMPING = Point("dump", "find", number=12)


@contextmanager
def watched(parent: psutil.Process) -> Iterator[list[psutil.Process]]:
    """The workers that a process starts while the block lasts. In the end all are gone."""
    seen: dict[int, psutil.Process] = {}
    stopped = Event()

    def watch() -> None:
        while not stopped.wait(0.01):
            seen.update((worker.pid, worker) for worker in workers_of(parent))

    found: list[psutil.Process] = []
    thread = Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        stopped.set()
        thread.join()
    found.extend(seen.values())
    assert psutil.wait_procs(found, timeout=15)[1] == []


def workers_of(parent: psutil.Process) -> list[psutil.Process]:
    workers = []
    with suppress(psutil.Error):
        for child in parent.children():
            with suppress(psutil.Error):
                if is_worker(child, "migrate") or is_worker(child, "validate"):
                    workers.append(child)
    return workers


def seen_in(release: PreparedRelease, steps: list[str], workplace: Workplace, fault: Callable[[], None]) -> int:
    """How many workers a run of these steps started; the fault is done in the dump."""
    with watched(psutil.Process()) as found, at(_DUMPING, workplace.instance, fault):
        assert release.execute(steps).success
    return len(found)
