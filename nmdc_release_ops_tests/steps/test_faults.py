"""A run whose process is killed leaves the origin as it was, or one named action away from done."""

import os
import signal
import subprocess
import sys
import time
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.server.collections import collection_hashes
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.mongo.state.lease import current_lease
from nmdc_release_ops_tests.prepared_release import recorded_version, tick
from nmdc_release_ops_tests.steps.crashed_release import (
    assert_frozen_in_the_swap,
    assert_released,
    crash,
    reexecute,
)
from nmdc_release_ops_tests.workplace import PROJECT, Workplace, workplace_fixture

pytestmark = pytest.mark.faults

workplace = workplace_fixture(scope="function", warm="workers")


def hashes(client: MongoClient[Any]) -> dict[str, str]:
    names = client[DATABASE].list_collection_names(filter={"type": "collection"})
    return collection_hashes(
        client[DATABASE], [name for name in names if not name.startswith(("_release.", "system."))]
    )


def test_killed_after_each_step_before_the_swap_the_origin_is_as_it_was_and_re_execution_goes_on(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    before = hashes(client)
    last: list[str] = []
    killed: list[str] = []
    for step in ("plan", "freeze", "dump", "migrate", "validate"):
        killed = [crash(workplace, f"after:{step}", *killed)]
        # The step before was killed before it was over, so that it is made again.
        assert started(workplace, killed[0]) == [*last, step]
        last = [step]
        assert hashes(client) == before
        assert recorded_version(client) == "11.23.0"
        # The one action for who wants to write now, and not wait for the release.
        assert defs.get_job_def("unfreeze").execute_in_process(instance=workplace.instance).success
        assert is_write_blocked(client) is False and current_lease(client) is None
    assert reexecute(workplace, killed[0]).success
    assert_released(client)


def test_killed_in_the_swap_of_a_whole_release_it_stays_frozen_and_re_execution_finishes(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    """At every move: see `test_killed_in_the_swap`."""
    run_id = crash(workplace, "made:2")
    assert_frozen_in_the_swap(workplace, client)
    assert reexecute(workplace, run_id).success
    assert_released(client)


def test_killed_in_the_swap_a_rollback_brings_back_what_was_and_the_next_release_is_none_the_worse(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    before = hashes(client)
    del before["_migration_events"]
    rollback = defs.get_job_def("rollback")
    for point in ("before:1", "made:3"):
        crash(workplace, point)
        assert rollback.execute_in_process(instance=workplace.instance).success
        after = hashes(client)
        del after["_migration_events"]
        assert after == before, point
        assert recorded_version(client) == "11.23.0"
        assert is_write_blocked(client) is False and current_lease(client) is None
        assert rollback.execute_in_process(instance=workplace.instance).success
    assert workplace.release(target_version="11.25").success
    assert_released(client)


def test_killed_in_the_middle_the_watchdog_thaws_within_a_tick_and_killed_after_the_swap_re_execution_only_thaws(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    run_id = crash(workplace, "after:dump", reported=False)
    assert is_write_blocked(client) is True
    tick(workplace.instance)
    assert is_write_blocked(client) is False and current_lease(client) is None

    run_id = crash(workplace, "after:restore", run_id)
    # Killed before the dump was over, so that all but the plan and the freeze are of this run.
    assert started(workplace, run_id) == ["dump", "migrate", "validate", "restore"]
    after = hashes(client)
    assert is_write_blocked(client) is True
    assert reexecute(workplace, run_id).success
    assert hashes(client) == after
    assert_released(client)


def test_a_transformer_killed_while_migrating_fails_the_run_and_thaws_the_origin(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    before = hashes(client)
    command = [sys.executable, "-m", "dagster", "job", "execute", "-m", "nmdc_release_ops.definitions"]
    run = subprocess.Popen(
        [*command, "-j", "data_release"],
        env={**os.environ, **workplace.environment()},
        cwd=PROJECT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        os.kill(_transformer_pid(workplace), signal.SIGKILL)
        _, message = run.communicate(timeout=180)
    finally:
        run.kill()
    assert run.returncode != 0
    assert "The origin is thawed: writes are allowed again" in message
    assert hashes(client) == before
    assert is_write_blocked(client) is False and current_lease(client) is None
    (failed,) = workplace.instance.get_runs()
    assert reexecute(workplace, failed.run_id).success
    assert_released(client)


def started(workplace: Workplace, run_id: str) -> list[str]:
    """The steps that a run began, in order."""
    entries = workplace.instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_START)
    return [str(entry.get_dagster_event().step_key) for entry in entries]


def _transformer_pid(workplace: Workplace) -> int:
    """Wait until a migrator uses its first collection; return the process id of the transformer's mongod."""
    deadline = time.monotonic() + 120
    while not _has_logged(workplace, "documents are loaded"):
        assert time.monotonic() < deadline, "no migrator used a collection"
        time.sleep(0.05)
    (lock,) = workplace.home.glob("origins/*/releases/*/transformer/data/mongod.lock")
    return int(lock.read_text())


def _has_logged(workplace: Workplace, text: str) -> bool:
    """Whether the newest run has logged a text."""
    instance = workplace.instance
    return any(
        text in entry.user_message for run in instance.get_runs(limit=1) for entry in instance.all_logs(run.run_id)
    )
