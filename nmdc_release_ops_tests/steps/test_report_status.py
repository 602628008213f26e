"""The jobs that only look: `status` says at any time what state the origin is in, `check` what a release would meet."""

import json
from typing import Any

import dagster as dg
from pymongo import MongoClient

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.freezing.freeze import freeze
from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.state.journal import State, write_journal
from nmdc_release_ops.mongo.state.lease import Strategy, current_lease
from nmdc_release_ops.records.data_release import ReleasePlan
from nmdc_release_ops_tests.mongo.state.journals import journal_in, swapped_in
from nmdc_release_ops_tests.prepared_release import AFTER, BEFORE
from nmdc_release_ops_tests.workplace import Workplace, failure_of, untouched, workplace_fixture

workplace = workplace_fixture(scale=200, warm=True)
PREFIX = "nmdc_release_ops/"


def execute(workplace: Workplace, job: str, **ops: Any) -> dg.ExecuteInProcessResult:
    return defs.get_job_def(job).execute_in_process(
        run_config={"ops": ops}, instance=workplace.instance, raise_on_error=False
    )


def status(workplace: Workplace) -> dict[str, str]:
    """What the run page of `status` shows."""
    result = execute(workplace, "status")
    assert result.success, failure_of(result)
    (output,) = (event.step_output_data for event in result.all_node_events if event.is_successful_output)
    return {name: str(value.value) for name, value in output.metadata.items()}


def tags(workplace: Workplace, result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """The project's own tags of a run."""
    run = workplace.instance.get_run_by_id(result.run_id)
    assert run is not None
    return {name.removeprefix(PREFIX): value for name, value in run.tags.items() if name.startswith(PREFIX)}


def test_status_names_the_database_its_version_and_that_nothing_has_to_be_done(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    with untouched(client):
        found = status(workplace)
    host = workplace.origin.uri().split("@")[1].split("/")[0]
    assert found["database"].startswith(f"{DATABASE} on {host} (MongoDB ")
    assert found["schema version"] == BEFORE
    assert found["writes"] == "The origin is not frozen: no release holds it."
    assert found["last release"] == "none that this project made"
    assert found["rehearsal"] == "There is no rehearsal."
    assert found["next"].startswith("Nothing has to be done.")
    password = workplace.origin.uri().split("@")[0].rpartition(":")[2]
    assert password not in json.dumps(found)


def test_status_says_who_blocks_writes_and_changes_nothing_about_it(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    freeze(client, "another", "a-run", Strategy.WRITE_BLOCK, database=DATABASE, drain_timeout=10)
    try:
        before = current_lease(client)
        found = status(workplace)
        after = current_lease(client)
    finally:
        thaw(client, "another", thawed_by="a-run")
    assert before is not None and after is not None
    assert after.model_copy(update={"silent": before.silent}) == before
    assert "frozen by release another (run a-run" in found["writes"]
    assert "not known to this Dagster" in found["run of the release that holds it"]
    assert found["next"] == "Wait until the release is done."


def test_status_says_how_to_undo_the_last_release_and_how_to_go_on_with_half_a_swap(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    with swapped_in(client):
        assert f"the job `rollback` brings back schema {BEFORE}" in status(workplace)["last release"]
        write_journal(client, journal_in(State.SWAPPING))
        found = status(workplace)
    assert found["last release"].endswith("half done.")
    assert "launch the job `rollback` to undo it" in found["writes"]
    assert found["next"].startswith("Finish or undo the swap")


def test_check_plans_a_release_and_neither_freezes_nor_changes_anything(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    with untouched(client):
        result = execute(workplace, "check", plan={"config": {"target_version": "11.25"}})
    assert result.success, failure_of(result)
    plan = ReleasePlan.model_validate(result.output_for_node("plan"))
    assert (plan.from_version, plan.to_version) == (BEFORE, AFTER)
    assert {event.step_key for event in result.all_node_events} == {"plan"}
    assert tags(workplace, result)["schema"] == f"{BEFORE} -> {AFTER}"


def test_runs_are_told_apart_by_their_tags_and_each_names_the_database_first(workplace: Workplace) -> None:
    result = execute(workplace, "check", plan={"config": {"target_version": BEFORE}})
    assert result.success, failure_of(result)
    host = workplace.origin.uri().split("@")[1].split("/")[0]
    assert tags(workplace, result) == {
        "origin": f"{DATABASE} on {host}",
        "schema": f"{BEFORE} -> {BEFORE}",
        "outcome": "nothing to do",
    }
    logged = [entry.message for entry in workplace.instance.all_logs(result.run_id) if entry.dagster_event is None]
    assert f"{DATABASE} on {host}" in next(line for line in logged if "This run sets" not in line)


def test_check_names_what_would_stop_a_release(workplace: Workplace, client: MongoClient[Any]) -> None:
    client[DATABASE].create_collection("_release.staged.study_set", viewOn="study_set")
    try:
        step, failure = failure_of(execute(workplace, "check", plan={"config": {"target_version": "11.25"}}))
    finally:
        client[DATABASE].drop_collection("_release.staged.study_set")
    assert step == "plan"
    assert "_release.staged.study_set" in str(failure.description)
