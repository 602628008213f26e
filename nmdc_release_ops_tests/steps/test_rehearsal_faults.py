"""A rehearsal that is killed, or whose server is lost, leaves the origin as it is and can be re-executed; it reads from a
secondary where there is one."""

from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops_tests.fault_point import Point, at
from nmdc_release_ops_tests.replica_set import ReplicaSet
from nmdc_release_ops_tests.sent_commands import sent_commands
from nmdc_release_ops_tests.steps.crashed_release import crash
from nmdc_release_ops_tests.steps.crashing_run import rehearsal
from nmdc_release_ops_tests.workplace import Workplace, failure_of, replicated_workplace_fixture, untouched

pytestmark = pytest.mark.faults


workplace = replicated_workplace_fixture()


def rehearse(workplace: Workplace) -> dg.JobExecutionResult:
    return dg.execute_job(
        dg.reconstructable(rehearsal),
        instance=workplace.instance,
        run_config={"ops": {"plan": {"config": {"target_version": "11.25"}}}},
        raise_on_error=False,
    )


def reexecute(workplace: Workplace, run_id: str) -> dg.JobExecutionResult:
    return dg.execute_job(
        dg.reconstructable(rehearsal),
        instance=workplace.instance,
        reexecution_options=dg.ReexecutionOptions.from_failure(run_id, workplace.instance),
        raise_on_error=False,
    )


@pytest.mark.parametrize("step", ["plan", "dump", "migrate"])
def test_a_killed_rehearsal_is_re_executed(workplace: Workplace, client: MongoClient[Any], step: str) -> None:
    with untouched(client):
        killed = crash(workplace, f"after:{step}", job="rehearsal")
        assert reexecute(workplace, killed).success


def test_documents_are_read_from_a_secondary(
    workplace: Workplace, client: MongoClient[Any], members: ReplicaSet
) -> None:
    with sent_commands() as sent, untouched(client):
        assert rehearse(workplace).success
    primary = members.primary()
    dumped = [
        command.port
        for command in sent
        if command.name == "find" and command.database == DATABASE and command.content["find"].endswith("_set")
        if command.port in members.ports
    ]
    assert len(dumped) >= 10
    assert primary not in dumped


@pytest.mark.parametrize(
    "point",
    [
        Point("dump", "update", "after"),
        Point("dump", "find", "after", number=3),
        Point("dump", "getMore", "before"),
        Point("dump", "aggregate", "before", number=3),
    ],
    ids=str,
)
def test_a_step_down_during_the_dump_is_survived(
    workplace: Workplace, client: MongoClient[Any], members: ReplicaSet, point: Point
) -> None:
    with untouched(client):
        with at(point, workplace.instance, members.step_down):
            result = rehearse(workplace)
        if not result.success:
            step, failure = failure_of(result)
            assert step == "dump"
            assert "The origin's data are unchanged" in failure.description
            result = reexecute(workplace, result.run_id)
        assert result.success
