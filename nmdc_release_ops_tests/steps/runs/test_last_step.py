"""A run knows when none of the steps that it executes is left, whatever was selected and whatever became of them."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from nmdc_release_ops_tests.steps import hooked_jobs
from nmdc_release_ops_tests.steps.hooked_jobs import SEEN, many_processes, one_process

ALL = {"first", "independent", "second", "third", "zz_last"}


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as made:
        yield made


def seen(instance: dg.DagsterInstance, run_id: str) -> list[tuple[str, set[str], str]]:
    """What the hook said after each step: the step, the steps that were left, those that were not selected."""
    found = []
    for entry in instance.all_logs(run_id):
        if SEEN in entry.user_message:
            step, _, rest = entry.user_message.partition(SEEN)[2].partition(": ")
            left, _, not_selected = rest.partition(" | ")
            found.append((step, set(filter(None, left.split(","))), not_selected))
    return found


def execute(instance: dg.DagsterInstance, job: dg.JobDefinition, **config: Any) -> str:
    run_config = {"ops": {name: {"config": {what: True}} for name, what in config.items()}}
    result = dg.execute_job(
        dg.reconstructable(getattr(hooked_jobs, job.name)), instance, run_config=run_config, raise_on_error=False
    )
    return result.run_id


@pytest.mark.parametrize("job", [one_process, pytest.param(many_processes, marks=pytest.mark.faults)])
def test_only_after_the_last_step_none_is_left(instance: dg.DagsterInstance, job: dg.JobDefinition) -> None:
    logged = seen(instance, execute(instance, job))
    assert {step for step, _, _ in logged} == ALL
    # Steps that go on side by side may end together; the last hook sees that nothing is left.
    assert logged[-1][1] == set()
    assert all(left or step == logged[-1][0] for step, left, _ in logged if job is one_process)
    assert not any(step in left for step, left, _ in logged)


def test_only_selected_steps_count_and_the_others_are_named(instance: dg.DagsterInstance) -> None:
    parent = execute(instance, one_process)
    options = dg.ReexecutionOptions(parent, step_selection=["second"])
    again = dg.execute_job(dg.reconstructable(one_process), instance, reexecution_options=options)
    ((step, left, not_selected),) = seen(instance, again.run_id)
    assert (step, left) == ("second", set())
    named = not_selected.split(",")
    assert set(named) == ALL - {"second"} and named.index("first") < named.index("third")


def test_steps_that_are_skipped_are_not_left(instance: dg.DagsterInstance) -> None:
    logged = seen(instance, execute(instance, one_process, first="skip"))
    assert "second" not in {name for _, left, _ in logged for name in left}
    assert logged[-1][1] == set()


def test_steps_behind_one_that_failed_are_not_left(instance: dg.DagsterInstance) -> None:
    logged = {step: left for step, left, _ in seen(instance, execute(instance, one_process, second="fail"))}
    assert logged["zz_last"] == set()


def test_execute_in_process_tells_the_same(instance: dg.DagsterInstance) -> None:
    logged = seen(instance, one_process.execute_in_process(instance=instance).run_id)
    assert logged[-1][1] == set() and all(left for _, left, _ in logged[:-1])
