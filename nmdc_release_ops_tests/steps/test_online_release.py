"""An online release begins as a rehearsal does, and is none: it is carried out in the same run."""

from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.archive.manifest import read_manifest
from nmdc_release_ops.mongo.freezing.freeze import freeze
from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.mongo.state.generations import STAGED
from nmdc_release_ops.mongo.state.lease import Strategy
from nmdc_release_ops.records.data_release import Purpose, ReleasePlan, ValidationReport
from nmdc_release_ops.records.rehearsed import REHEARSED
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops_tests.workplace import Workplace, failure_of, untouched, workplace_fixture

workplace = workplace_fixture(scale=200, warm=True)


def execute(workplace: Workplace, *steps: str) -> dg.ExecuteInProcessResult:
    """The first steps of an online release."""
    config = {"target_version": "11.24.0", "max_frozen_seconds": 4}
    return defs.get_job_def("online_release").execute_in_process(
        run_config={"ops": {"plan": {"config": config}}},
        instance=workplace.instance,
        raise_on_error=False,
        op_selection=list(steps),
    )


@pytest.fixture(scope="module")
def validated(workplace: Workplace) -> dg.ExecuteInProcessResult:
    with MongoClient[Any](workplace.origin.server.uri) as client, untouched(client):
        result = execute(workplace, "plan", "dump", "migrate", "validate")
    assert result.success
    return result


def test_it_dumps_migrates_and_validates_while_people_write(validated: dg.ExecuteInProcessResult) -> None:
    plan: ReleasePlan = validated.output_for_node("plan")
    assert (plan.purpose, plan.max_frozen_seconds, plan.rehearsal) == (Purpose.ONLINE_RELEASE, 4, None)
    assert plan.catches_up
    assert read_manifest(ReleaseHomeResource().archive(plan)).was_frozen is False


def test_it_keeps_the_ids_of_all_documents(validated: dg.ExecuteInProcessResult) -> None:
    report: ValidationReport = validated.output_for_node("validate")
    assert report.identifiers_path == ReleaseHomeResource().identifiers(validated.output_for_node("plan"))
    assert report.identifiers_path.is_file()


def test_it_is_no_rehearsal(workplace: Workplace, validated: dg.ExecuteInProcessResult) -> None:
    """Nobody is told to promote it, the next rehearsal does not remove it, and no promotion takes it."""
    plan: ReleasePlan = validated.output_for_node("plan")
    assert validated.output_for_node("validate").conclusion == ""
    assert workplace.instance.fetch_materializations(dg.AssetKey(["nmdc", "rehearsal"]), limit=1).records == []
    assert ReleaseHomeResource().find_rehearsals(plan.origin, plan.database) == []
    assert not (ReleaseHomeResource().release(plan) / REHEARSED).exists()


def test_its_plan_refuses_while_another_release_holds_the_origin(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    """It freezes in the end, as a release does; a rehearsal would go on."""
    freeze(client, "another", "a-run", Strategy.WRITE_BLOCK, database=DATABASE, drain_timeout=10)
    try:
        step, failure = failure_of(execute(workplace, "plan"))
    finally:
        thaw(client, "another", thawed_by="a-run")
    assert step == "plan"
    assert "another" in failure.description


def reexecute(workplace: Workplace, of: str, *steps: str) -> tuple[str, dg.JobExecutionResult]:
    """Execute these steps again, with the records of the others."""
    result = dg.execute_job(
        dg.reconstructable(online_release),
        instance=workplace.instance,
        reexecution_options=dg.ReexecutionOptions(of, step_selection=steps),
        raise_on_error=False,
    )
    return result.run_id, result


def online_release() -> dg.JobDefinition:
    return defs.get_job_def("online_release")


def test_what_somebody_else_writes_to_a_staged_collection_is_noticed_and_staged_again(
    workplace: Workplace, validated: dg.ExecuteInProcessResult, client: MongoClient[Any]
) -> None:
    caught_up, first = reexecute(workplace, validated.run_id, "catch_up")
    assert first.success, failure_of(first)
    staged = client[DATABASE][f"{STAGED}study_set"]
    staged.update_one({}, {"$set": {"name": "not validated"}})
    reconciled, second = reexecute(workplace, caught_up, "freeze", "reconcile", "restore", "unfreeze")
    step, failure = failure_of(second)
    assert step == "reconcile"
    assert "is not what was migrated and validated" in failure.description
    assert is_write_blocked(client) is False
    _, third = reexecute(workplace, reconciled, "catch_up")
    assert third.success, failure_of(third)
    assert staged.find_one({"name": "not validated"}) is None
    assert staged.count_documents({}) == client[DATABASE].study_set.count_documents({})


def test_collections_that_were_redefined_ask_for_a_new_rehearsal(
    workplace: Workplace, validated: dg.ExecuteInProcessResult, client: MongoClient[Any]
) -> None:
    client[DATABASE].study_set.create_index("a_new_one")
    try:
        step, failure = failure_of(reexecute(workplace, validated.run_id, "catch_up")[1])
        assert step == "catch_up"
        assert "study_set" in failure.description and "a new rehearsal" in failure.description
    finally:
        client[DATABASE].study_set.drop_index("a_new_one_1")
