"""Which steps a run executes, which have succeeded, and which are left."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import lru_cache
from graphlib import TopologicalSorter

import dagster as dg

_ENDED = {
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.STEP_SKIPPED,
}


@dataclass(frozen=True)
class Steps:
    """The steps of a run.

    Attributes:
        succeeded: those that have.
        left: those still to be executed.
        not_selected: those of the job that this run does not execute, in the order of execution.
    """

    succeeded: frozenset[str]
    left: frozenset[str]
    not_selected: tuple[str, ...]


@lru_cache(4)
def _read_plan(instance: dg.DagsterInstance, run_id: str) -> tuple[frozenset[str], Mapping[str, Set[str]]]:
    """The steps that a run executes, and for each of the job which others it needs; a run's plan does not change."""
    run = instance.get_run_by_id(run_id)
    if run is None or run.execution_plan_snapshot_id is None:
        raise LookupError(f"Dagster has no execution plan of run {run_id}")
    plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
    return frozenset(plan.step_keys_to_execute), plan.step_deps


def read_steps(instance: dg.DagsterInstance, run_id: str, succeeded: str) -> Steps:
    """Read a run's steps from its plan, and its progress from its event log.

    Args:
        succeeded: the step that has just succeeded.
    """
    selected, dependencies = _read_plan(instance, run_id)
    succeeded_steps = {succeeded}
    stopped: set[str] = set()
    for entry in instance.all_logs(run_id, of_type=_ENDED):
        event = entry.dagster_event
        if event is not None and event.step_key is not None:
            (succeeded_steps if event.is_step_success else stopped).add(event.step_key)
    abandoned = _find_downstream(dependencies, stopped & selected)
    return Steps(
        succeeded=frozenset(succeeded_steps),
        left=selected - succeeded_steps - stopped - abandoned,
        not_selected=tuple(step for step in TopologicalSorter(dependencies).static_order() if step not in selected),
    )


def executes(instance: dg.DagsterInstance, run_id: str, *steps: str) -> bool:
    """Whether a run executes all of these steps, sooner or later."""
    selected, _ = _read_plan(instance, run_id)
    return selected.issuperset(steps)


def _find_downstream(dependencies: Mapping[str, Set[str]], stopped: Set[str]) -> set[str]:
    """The steps that will not be executed because one that they need failed or was skipped."""
    affected = set(stopped)
    while more := {step for step, needed in dependencies.items() if step not in affected and needed & affected}:
        affected |= more
    return affected
