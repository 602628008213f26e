"""A release whose process is killed at one point, and its re-execution."""

import os
import signal
import subprocess
from typing import Any

import dagster as dg
from pymongo import MongoClient

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.mongo.state.journal import is_swap_under_way
from nmdc_release_ops.mongo.state.lease import current_lease
from nmdc_release_ops_tests.prepared_release import recorded_version
from nmdc_release_ops_tests.schema.forking.on_request import CRASHING_RUN, forked
from nmdc_release_ops_tests.steps.crashing_run import data_release
from nmdc_release_ops_tests.workplace import PROJECT, Workplace


def crash(workplace: Workplace, point: str, *reexecuted: str, reported: bool = True, job: str = "data_release") -> str:
    """Run a job that is killed at `point`; return the run's id, `reported` as failed as the watchdog would.

    Args:
        reexecuted: the id of a run that is re-executed from failure; if steps follow it, only they are executed again.
    """
    done = subprocess.run(
        forked(CRASHING_RUN, job, point, *reexecuted),
        env={**os.environ, **workplace.environment()},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-3000:]
    running = dg.RunsFilter(tags={"crash": point}, statuses=[dg.DagsterRunStatus.STARTED])
    (run,) = workplace.instance.get_runs(running)
    if reported:
        workplace.instance.report_run_failed(run)
    return run.run_id


def reexecute(workplace: Workplace, run_id: str) -> Any:
    return dg.execute_job(
        dg.reconstructable(data_release),
        instance=workplace.instance,
        reexecution_options=dg.ReexecutionOptions.from_failure(run_id, workplace.instance),
    )


def assert_frozen_in_the_swap(workplace: Workplace, client: MongoClient[Any]) -> None:
    """Half a swap is made, and nobody can write, not even after the job `unfreeze`, which refuses."""
    lease = current_lease(client)
    assert lease is not None and is_swap_under_way(client, lease.release_id)
    assert recorded_version(client) is None
    refused = defs.get_job_def("unfreeze").execute_in_process(instance=workplace.instance, raise_on_error=False)
    assert not refused.success
    assert is_write_blocked(client) is True


def assert_released(client: MongoClient[Any]) -> None:
    assert recorded_version(client) == "11.25.0"
    assert client[DATABASE].data_generation_set.count_documents({"principal_investigator": {"$exists": True}}) == 0
    names = client[DATABASE].list_collection_names()
    assert sorted(name for name in names if name.startswith("_release.")) == [
        "_release.previous.biosample_set",
        "_release.previous.data_generation_set",
        "_release.previous.study_set",
    ]
    assert is_write_blocked(client) is False
    assert current_lease(client) is None
