"""The origin's mongod is killed under a release, or the transformer's, or the process that migrates or validates: the
origin is as it was, or one named action away from done."""

import os
import signal
from threading import Thread

import dagster as dg
import psutil
import pytest

from nmdc_release_ops.demo.origin import DemoOrigin
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.mongo.state.lease import current_lease
from nmdc_release_ops_tests.fault_point import Point, at
from nmdc_release_ops_tests.prepared_release import (
    PreparedRelease,
    failed_plainly,
    is_swap_under_way,
    prepared_release_fixture,
    tick,
)
from nmdc_release_ops_tests.steps.held_worker import held
from nmdc_release_ops_tests.workplace import Workplace, workplace_fixture

pytestmark = pytest.mark.faults

FREEZING = Point("freeze", "setUserWriteBlockMode")
DUMPING = Point("dump", "find", number=12)
STAGING = Point("restore", "create", number=2)
SWAPPING = Point("restore", "renameCollection", number=3)
STEPS = {"freeze": ["freeze", "dump"], "dump": ["dump"], "restore": ["restore", "unfreeze"]}

# From the dump on, so that the run holds the origin as a whole release does.
# How often to try to kill a server while the worker needs it.
TRIES = 3
UP_TO = {"migrate": ["dump", "migrate"], "validate": ["dump", "migrate", "validate"]}


workplace = workplace_fixture()
made = prepared_release_fixture(patience=1)


def kill(workplace: Workplace) -> None:
    os.kill(workplace.origin.server.pid, signal.SIGKILL)
    workplace.origin.stop()


def start_again(workplace: Workplace) -> None:
    server = workplace.origin.server
    workplace.origin = DemoOrigin.open(server.folder, port=server.port)


@pytest.mark.parametrize("point", [FREEZING, DUMPING, STAGING], ids=str)
def test_killed_before_the_swap_and_started_again_it_is_as_it_was_and_thawed_within_a_tick(
    release: PreparedRelease, workplace: Workplace, point: Point
) -> None:
    with at(point, workplace.instance, lambda: kill(workplace)):
        result = release.execute(STEPS[point.step])
    text = failed_plainly(result)
    assert "origin" in text and "re-execute the run" in text
    log = "\n".join(entry.message for entry in workplace.instance.all_logs(result.run_id))
    assert "The origin could not be thawed" in log
    start_again(workplace)
    # A write block outlives the server: without the watchdog nobody could write.
    assert is_write_blocked(release.client) is True and current_lease(release.client) is not None
    assert "had left the origin frozen" in str(tick(workplace.instance))
    release.assert_nothing_lost()
    release.assert_recovers(result)


def test_killed_in_the_swap_and_started_again_it_stays_frozen_and_re_execution_finishes(
    release: PreparedRelease, workplace: Workplace
) -> None:
    with at(SWAPPING, workplace.instance, lambda: kill(workplace)):
        result = release.execute(STEPS["restore"])
    text = failed_plainly(result)
    assert "The origin stopped answering" in text and "re-execute the run from failure" in text
    start_again(workplace)
    lease = current_lease(release.client)
    assert lease is not None and is_swap_under_way(release.client, lease.release_id)
    assert tick(workplace.instance) is None
    assert is_write_blocked(release.client) is True
    release.assert_recovers(result)


@pytest.mark.parametrize("point", [FREEZING, DUMPING, STAGING, SWAPPING], ids=str)
def test_killed_and_started_again_at_once_nothing_is_lost(
    release: PreparedRelease, workplace: Workplace, point: Point
) -> None:
    def restart() -> None:
        kill(workplace)
        start_again(workplace)

    with at(point, workplace.instance, restart):
        result: dg.JobExecutionResult = release.execute(STEPS[point.step])
    release.assert_recovers(result)


@pytest.mark.parametrize("step", ["migrate", "validate"])
def test_when_the_process_of_a_worker_is_killed_the_run_says_so_and_thaws_and_the_step_can_be_made_again(
    release: PreparedRelease, workplace: Workplace, step: str
) -> None:
    killed: list[psutil.Process] = []
    killer = Thread(target=lambda: killed.extend(kill_worker(step, release.transformer)))
    killer.start()
    result = release.execute(UP_TO[step])
    killer.join()
    text = failed_plainly(result)
    assert "ended with exit code -9" in text and "Re-execute the run from failure" in text
    log = "\n".join(entry.message for entry in workplace.instance.all_logs(result.run_id))
    assert "The origin is thawed: writes are allowed again" in log
    release.assert_nothing_lost()
    psutil.wait_procs(killed, timeout=10)
    assert [process for process in killed if process.is_running()] == []
    release.assert_recovers(result)


def test_when_the_transformer_is_killed_in_validate_the_run_fails_plainly_and_thaws_and_the_step_can_be_made_again(
    release: PreparedRelease, workplace: Workplace
) -> None:
    """In `migrate`: see `test_faults`."""

    def kill_transformer() -> None:
        with held("validate", ours):
            os.kill(release.transformer.pid, signal.SIGKILL)

    for _ in range(TRIES):
        killer = Thread(target=kill_transformer)
        killer.start()
        result = release.execute(UP_TO["validate"])
        killer.join()
        old = release.transformer
        old.stop()
        release.transformer = PrivateMongod.start(old.folder, authentication=False, port=old.port)
        if not result.success:
            break
        # On a busy machine so small a database can be read before its server is killed.
        release.put_back()
    failed_plainly(result)
    release.assert_nothing_lost()
    release.assert_recovers(result)


def kill_worker(step: str, transformer: PrivateMongod) -> list[psutil.Process]:
    """Kill the process that migrates or validates as soon as there is one; return it and those that it had started."""
    with held(step, ours, transformer) as worker:
        family = [worker, *worker.children(recursive=True)]
        worker.kill()
    return family


def ours() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)
