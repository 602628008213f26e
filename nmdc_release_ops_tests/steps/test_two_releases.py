"""Of two releases that are started at the same moment exactly one goes through; the other says who holds the origin."""

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.mongo.state.lease import current_lease
from nmdc_release_ops_tests.prepared_release import AFTER, recorded_version
from nmdc_release_ops_tests.schema.forking.on_request import WAITING_RUN, forked
from nmdc_release_ops_tests.workplace import PROJECT, Workplace, workplace_fixture

pytestmark = pytest.mark.faults


workplace = workplace_fixture(warm="workers")


def test_exactly_one_of_two_gets_the_origin_and_the_other_names_it(workplace: Workplace, tmp_path: Path) -> None:
    started = [
        subprocess.Popen(
            forked(WAITING_RUN, str(tmp_path), str(number)),
            env={**os.environ, **workplace.environment()},
            cwd=PROJECT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for number in range(2)
    ]
    try:
        deadline = time.monotonic() + 120
        # Both stand before their freeze, having seen in `plan` that nobody holds the origin.
        while len(list(tmp_path.glob("waiting-*"))) < 2:
            assert all(process.poll() is None for process in started)
            assert time.monotonic() < deadline
            time.sleep(0.01)
        (tmp_path / "go").touch()
        message = [process.communicate(timeout=240)[1].decode() for process in started]
    finally:
        for process in started:
            process.kill()
    runs = {run.status: run for run in workplace.instance.get_runs()}
    assert set(runs) == {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE}, message
    won, lost = runs[dg.DagsterRunStatus.SUCCESS], runs[dg.DagsterRunStatus.FAILURE]
    (failure,) = [
        entry.dagster_event.step_failure_data
        for entry in workplace.instance.all_logs(lost.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
        if entry.dagster_event
    ]
    description = failure.user_failure_data.description
    assert f"run {won.run_id}" in description and "has held the origin since" in description
    with MongoClient[Any](workplace.origin.server.uri) as client:
        assert recorded_version(client) == AFTER
        assert current_lease(client) is None and is_write_blocked(client) is False
        # The loser's failure hook did not thaw the winner's origin.
        events = list(client["nmdc"]["_migration_events"].find({"release_id": {"$ne": "demo"}}))
        assert [event["event"] for event in events] == ["MIGRATION_STARTED", "MIGRATION_COMPLETED"]
        (freeze,) = client["nmdc_release_ops"]["freezes"].find({})
        assert freeze["run_id"] == freeze["thawed_by"] == won.run_id
