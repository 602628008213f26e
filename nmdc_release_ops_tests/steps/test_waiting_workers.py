"""The workers that `freeze` starts are the ones that migrate and validate; a step that finds none starts its own."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

import psutil

from nmdc_release_ops_tests.fault_point import Point, at
from nmdc_release_ops_tests.prepared_release import PreparedRelease, prepared_release_fixture
from nmdc_release_ops_tests.steps.held_worker import is_worker
from nmdc_release_ops_tests.workplace import Workplace, workplace_fixture

STEPS = ["freeze", "dump", "migrate", "validate"]
DUMPING = Point("dump", "find", number=5)
# Two migrators do something, each in an environment of its own.
WORKERS = 3

workplace = workplace_fixture()
made = prepared_release_fixture(patience=1)


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


def kill_waiting() -> None:
    waiting = workers_of(psutil.Process())
    assert len(waiting) == WORKERS
    for worker in waiting:
        worker.kill()
    psutil.wait_procs(waiting, timeout=15)


def nothing() -> None:
    assert len(workers_of(psutil.Process())) == WORKERS


def seen_in(release: PreparedRelease, steps: list[str], workplace: Workplace, fault: Callable[[], None]) -> int:
    """How many workers a run of these steps started; the fault is done in the dump."""
    with watched(psutil.Process()) as found, at(DUMPING, workplace.instance, fault):
        assert release.execute(steps).success
    return len(found)


def test_the_workers_that_wait_in_the_dump_are_those_that_work(release: PreparedRelease, workplace: Workplace) -> None:
    assert seen_in(release, STEPS, workplace, nothing) == WORKERS


def test_workers_that_are_killed_while_they_wait_are_started_again(
    release: PreparedRelease, workplace: Workplace
) -> None:
    assert seen_in(release, STEPS, workplace, kill_waiting) == 2 * WORKERS


def test_a_run_that_ends_after_the_freeze_leaves_no_worker(release: PreparedRelease) -> None:
    with watched(psutil.Process()) as found:
        assert release.execute(["freeze"]).success
    assert len(found) == WORKERS


def test_steps_that_are_re_executed_without_the_freeze_start_their_own(release: PreparedRelease) -> None:
    with watched(psutil.Process()) as found:
        assert release.execute(["dump", "migrate"]).success
    assert len(found) == WORKERS - 1


def test_a_run_that_is_killed_while_workers_wait_leaves_none(release: PreparedRelease, workplace: Workplace) -> None:
    command = [sys.executable, "-m", "nmdc_release_ops_tests.steps.crashing_run", "data_release", "after:freeze"]
    run = subprocess.Popen(command, env={**os.environ, **workplace.environment()}, stdout=subprocess.DEVNULL)
    with watched(psutil.Process(run.pid)) as found:
        assert run.wait(timeout=300) < 0
        time.sleep(0.1)
    assert len(found) == WORKERS
    release.put_back()
