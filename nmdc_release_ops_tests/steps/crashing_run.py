"""Runs the job that is named first, in this process, and kills it with SIGKILL at the point named second.

`after:STEP`: when the record of the step is on disk. `before:N` and `made:N`: before the swap's rename number N (from
0), and when it was made but not noted. After the point, the id of a run may follow, which is re-executed from failure, or of
which only the steps are that follow it.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import dagster as dg

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.mongo.state.journal import Move
from nmdc_release_ops.mongo.swapping import swap
from nmdc_release_ops.resources.record_store import RecordStore


def data_release() -> dg.JobDefinition:
    return defs.get_job_def("data_release")


def rehearsal() -> dg.JobDefinition:
    return defs.get_job_def("rehearsal")


def promote() -> dg.JobDefinition:
    return defs.get_job_def("promote")


def online_release() -> dg.JobDefinition:
    return defs.get_job_def("online_release")


JOBS = {job.__name__: job for job in (data_release, rehearsal, promote, online_release)}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_after_record_of(step: str) -> None:
    keep: Callable[..., None] = RecordStore.handle_output

    def keep_and_die(self: RecordStore, context: dg.OutputContext, obj: Any) -> None:
        keep(self, context, obj)
        if context.step_key == step:
            die()

    RecordStore.handle_output = keep_and_die  # type: ignore[method-assign]


def die_at_rename(number: int, *, made: bool) -> None:
    make = swap.make
    count = 0

    def make_and_die(database: Any, move: Move) -> None:
        nonlocal count
        if count == number and not made:
            die()
        make(database, move)
        if count == number:
            die()
        count += 1

    swap.make = make_and_die


def reexecution(instance: dg.DagsterInstance, of_run: str | None = None, *steps: str) -> dg.ReexecutionOptions | None:
    if of_run is None:
        return None
    if not steps:
        return dg.ReexecutionOptions.from_failure(of_run, instance)
    return dg.ReexecutionOptions(of_run, step_selection=steps)


def main() -> None:
    job, point, *reexecuted = sys.argv[1:]
    when, _, where = point.partition(":")
    if when == "after":
        die_after_record_of(where)
    else:
        die_at_rename(int(where), made=when == "made")
    with dg.DagsterInstance.get() as instance:
        dg.execute_job(
            dg.reconstructable(JOBS[job]),
            instance=instance,
            run_config=None if job == "promote" else {"ops": {"plan": {"config": {"target_version": "11.25"}}}},
            tags={"crash": point},
            reexecution_options=reexecution(instance, *reexecuted),
        )


if __name__ == "__main__":
    main()
