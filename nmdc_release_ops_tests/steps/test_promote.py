"""A promotion brings what was rehearsed up to what people wrote since, and blocks writes for a moment only."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.mongo.state.lease import current_lease
from nmdc_release_ops.pages.summary import Outcome, ReleaseSummary, Swap
from nmdc_release_ops.records.data_release import CaughtUp, FreezeLease, FreezeWindow, Reconciled
from nmdc_release_ops_tests.hammer import hammering, lost_writes
from nmdc_release_ops_tests.prepared_release import AFTER, BEFORE, data_hashes, put_back, recorded_version
from nmdc_release_ops_tests.steps.checks import evaluations
from nmdc_release_ops_tests.workplace import Workplace, failure_of, untouched, workplace_fixture

workplace = workplace_fixture(scale=500, warm=True)


@pytest.fixture
def client(workplace: Workplace) -> Iterator[MongoClient[Any]]:
    with MongoClient[Any](workplace.origin.server.uri) as found:
        yield found
        put_back(found)


@pytest.fixture(scope="module", autouse=True)
def rehearsed(workplace: Workplace) -> None:
    """A rehearsal that these tests promote, the last of them to the end."""
    assert workplace.rehearse(target_version="11.25").success


def promote(workplace: Workplace, op_selection: list[str] | None = None, **config: Any) -> dg.ExecuteInProcessResult:
    return defs.get_job_def("promote").execute_in_process(
        run_config={"ops": {"choose": {"config": config}}},
        instance=workplace.instance,
        raise_on_error=False,
        op_selection=op_selection,
    )


def caught_up(result: dg.ExecuteInProcessResult) -> CaughtUp:
    return CaughtUp.model_validate(result.output_for_node("catch_up"))


def reconciled(result: dg.ExecuteInProcessResult) -> Reconciled:
    return Reconciled.model_validate(result.output_for_node("reconcile"))


def summary_of(workplace: Workplace, result: dg.ExecuteInProcessResult) -> ReleaseSummary:
    """What the promotion's page shows."""
    (path,) = workplace.home.glob(f"origins/*/releases/*-{result.run_id[:8]}/release.json")
    found = ReleaseSummary.read(path)
    assert found is not None and path.with_suffix(".html").is_file()
    return found


def test_a_document_that_violates_the_schema_stops_it_before_the_freeze(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    study = client[DATABASE].study_set.find_one()
    assert study is not None
    client[DATABASE].study_set.update_one({"_id": study["_id"]}, {"$set": {"no_such_slot": 1}})
    try:
        with untouched(client):
            result = promote(workplace)
            step, failure = failure_of(result)
        assert step == "catch_up"
        summary = summary_of(workplace, result)
        assert (summary.outcome, summary.stopped_in, summary.swap) == (Outcome.FAILED, "catch_up", Swap.NOT_BEGUN)
        assert summary.validated is not None and summary.validated.violations == 1
        assert "What was written since the rehearsal is invalid" in failure.description
        assert "no_such_slot" in failure.description
    finally:
        client[DATABASE].study_set.replace_one({"_id": study["_id"]}, study)


def test_references_to_a_document_that_was_deleted_meanwhile_are_found_and_judged_as_a_release_would(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    """The origin has the same dangling references, so they are not new, and a release would not stop for them either."""
    database = client[DATABASE]
    biosample = database.biosample_set.find_one()
    assert biosample is not None
    study = database.study_set.find_one({"id": biosample["associated_studies"][0]})
    assert study is not None
    slots = ("associated_studies", "part_of")
    referring = sum(
        one.get(slot, []).count(study["id"])
        for name in database.list_collection_names(filter={"name": {"$regex": "_set$"}})
        for one in database[name].find({"$or": [{slot: study["id"]} for slot in slots]})
        for slot in slots
    )
    database.study_set.delete_one({"_id": study["_id"]})
    try:
        result = promote(workplace, ["choose", "catch_up"])
        assert result.success, failure_of(result)
        assert referring > 0
        assert sum(done.tolerated for done in caught_up(result).rounds) == referring
    finally:
        database.study_set.insert_one(study)


def test_whoever_writes_all_the_time_loses_nothing_and_waits_a_moment(
    workplace: Workplace, client: MongoClient[Any], tmp_path: Path
) -> None:
    with hammering(workplace.origin.uri("nmdc_editor"), tmp_path / "account.jsonl") as hammer:
        hammer.wait_for_more("acknowledged", "biosample_set")
        result = promote(workplace)
        assert result.success, failure_of(result)
        for collection in ("biosample_set", "study_set", "jobs"):
            hammer.wait_for_more("acknowledged", collection)
        hammer.kill()
    assert lost_writes(hammer.account, client[DATABASE]) == []
    assert hammer.count("refused") > 0
    assert recorded_version(client) == AFTER
    assert current_lease(client) is None and is_write_blocked(client) is False
    assert sum(caught_up(result).rounds[0].written.values()) > 0
    last = reconciled(result).rounds[-1]
    assert last.migrated and last.written["biosample_set"] > 0
    window = FreezeWindow.model_validate(result.output_for_node("unfreeze"))
    assert window.seconds > 0
    summary = summary_of(workplace, result)
    assert summary.is_released and summary.rehearsal is not None and summary.archive is not None
    assert summary.blocked_seconds == pytest.approx(window.seconds, abs=0.01)
    assert window.verification is not None and summary.verification == window.verification.describe()
    # The step `freeze` went on to the end by itself.
    assert FreezeLease.model_validate(result.output_for_node("freeze")).is_over


def test_where_nobody_writes_the_last_round_does_nothing_and_the_release_can_be_rolled_back(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    before = data_hashes(client)
    result = defs.get_job_def("online_release").execute_in_process(
        run_config={"ops": {"plan": {"config": {"target_version": "11.25"}}}},
        instance=workplace.instance,
        raise_on_error=False,
    )
    assert result.success, failure_of(result)
    (last,) = reconciled(result).rounds
    assert (last.written, last.migrated, last.validated, last.staged) == ({}, False, 0, 0)
    assert recorded_version(client) == AFTER
    found = evaluations(workplace, result.run_id)
    assert (len(found), {one.passed for one in found.values()}) == (5, {True})
    record = workplace.instance.get_latest_materialization_event(dg.AssetKey(["nmdc", "database"]))
    assert record is not None and record.asset_materialization is not None
    numbers = record.asset_materialization.metadata
    assert numbers["documents changed"].value == result.output_for_node("migrate").documents_changed
    assert "writes blocked (s)" in numbers and "catch_up (s)" in numbers
    assert data_hashes(client) != before
    assert defs.get_job_def("rollback").execute_in_process(instance=workplace.instance).success
    assert data_hashes(client) == before
    assert recorded_version(client) == BEFORE
