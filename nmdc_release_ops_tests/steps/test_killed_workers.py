"""Workers that wait for their task are killed, or the run that they wait for."""

import os
import subprocess
import sys
import time

import psutil
import pytest

from nmdc_release_ops_tests.prepared_release import PreparedRelease, prepared_release_fixture
from nmdc_release_ops_tests.steps.watched_workers import STEPS, WORKERS, seen_in, watched, workers_of
from nmdc_release_ops_tests.workplace import Workplace, workplace_fixture

pytestmark = pytest.mark.faults

workplace = workplace_fixture()
made = prepared_release_fixture(patience=1)


def kill_waiting() -> None:
    waiting = workers_of(psutil.Process())
    assert len(waiting) == WORKERS
    for worker in waiting:
        worker.kill()
    psutil.wait_procs(waiting, timeout=15)


def test_workers_that_are_killed_while_they_wait_are_started_again(
    release: PreparedRelease, workplace: Workplace
) -> None:
    assert seen_in(release, STEPS, workplace, kill_waiting) == 2 * WORKERS


def test_a_run_that_is_killed_while_workers_wait_leaves_none(release: PreparedRelease, workplace: Workplace) -> None:
    command = [sys.executable, "-m", "nmdc_release_ops_tests.steps.crashing_run", "data_release", "after:freeze"]
    run = subprocess.Popen(command, env={**os.environ, **workplace.environment()}, stdout=subprocess.DEVNULL)
    with watched(psutil.Process(run.pid)) as found:
        assert run.wait(timeout=300) < 0
        time.sleep(0.1)
    assert len(found) == WORKERS
    release.put_back()
