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
from nmdc_release_ops.mongo.state.generations import STAGED
from nmdc_release_ops.mongo.state.lease import current_lease
from nmdc_release_ops.records.data_release import CaughtUp, FreezeWindow, Reconciled, ReleasePlan
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops_tests.hammer import hammering, lost_writes, read_account
from nmdc_release_ops_tests.prepared_release import AFTER, BEFORE, data_hashes, put_back, recorded_version
from nmdc_release_ops_tests.sent_commands import sent_commands
from nmdc_release_ops_tests.workplace import Workplace, failure_of, untouched, workplace_fixture

workplace = workplace_fixture(scale=1_000)


@pytest.fixture
def client(workplace: Workplace) -> Iterator[MongoClient[Any]]:
    with MongoClient[Any](workplace.origin.server.uri) as found:
        yield found
        put_back(found)


@pytest.fixture(scope="module", autouse=True)
def rehearsed(workplace: Workplace) -> Iterator[None]:
    """A rehearsal that every test promotes; it is in use, so that no promotion removes it."""
    result = workplace.rehearse(target_version="11.25")
    assert result.success
    with ReleaseHomeResource().use(ReleasePlan.model_validate(result.output_for_node("plan"))):
        yield


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
    assert FreezeWindow.model_validate(result.output_for_node("unfreeze")).seconds > 0
    # What the hammer inserted before the swap was migrated like the rest.
    inserted = {entry.id for entry in read_account(hammer.account) if entry.outcome == "acknowledged"}
    assert inserted


def test_where_nobody_wrote_the_last_round_neither_migrates_nor_validates(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    with sent_commands() as sent:
        result = promote(workplace)
    assert result.success
    (last,) = reconciled(result).rounds
    assert (last.written, last.migrated, last.validated, last.staged) == ({}, False, 0, 0)
    names = [command.name for command in sent if command.port == client.address and client.address[1]]
    assert "dbHash" not in names[: names.index("setUserWriteBlockMode")] if "setUserWriteBlockMode" in names else True
    assert recorded_version(client) == AFTER


def test_a_promotion_can_be_rolled_back(workplace: Workplace, client: MongoClient[Any]) -> None:
    before = data_hashes(client)
    assert promote(workplace).success
    assert data_hashes(client) != before
    assert defs.get_job_def("rollback").execute_in_process(instance=workplace.instance).success
    assert data_hashes(client) == before
    assert recorded_version(client) == BEFORE


def test_a_document_that_violates_the_schema_stops_it_before_the_freeze(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    study = client[DATABASE].study_set.find_one()
    assert study is not None
    client[DATABASE].study_set.update_one({"_id": study["_id"]}, {"$set": {"no_such_slot": 1}})
    try:
        with untouched(client):
            step, failure = failure_of(promote(workplace))
        assert step == "catch_up"
        assert "What was written since the rehearsal is invalid" in failure.description
        assert "no_such_slot" in failure.description
    finally:
        client[DATABASE].study_set.replace_one({"_id": study["_id"]}, study)


def test_a_document_that_others_refer_to_cannot_be_deleted_meanwhile(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    biosample = client[DATABASE].biosample_set.find_one()
    assert biosample is not None
    study = client[DATABASE].study_set.find_one({"id": biosample["associated_studies"][0]})
    assert study is not None
    client[DATABASE].study_set.delete_one({"_id": study["_id"]})
    try:
        step, failure = failure_of(promote(workplace))
        assert step == "catch_up"
        assert "dangling reference" in failure.description and study["id"] in failure.description
    finally:
        client[DATABASE].study_set.insert_one(study)


def test_collections_that_were_redefined_ask_for_a_new_rehearsal(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    client[DATABASE].study_set.create_index("a_new_one")
    try:
        step, failure = failure_of(promote(workplace))
        assert step == "catch_up"
        assert "study_set" in failure.description and "Launch a new rehearsal" in failure.description
    finally:
        client[DATABASE].study_set.drop_index("a_new_one_1")


def test_what_somebody_else_writes_to_a_staged_collection_is_noticed(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    first = promote(workplace, ["choose", "catch_up"])
    assert first.success
    client[DATABASE][f"{STAGED}study_set"].update_one({}, {"$set": {"name": "not validated"}})
    options = dg.ReexecutionOptions(first.run_id, step_selection=["freeze", "reconcile", "restore", "unfreeze"])
    again = dg.execute_job(
        dg.reconstructable(promotion), instance=workplace.instance, reexecution_options=options, raise_on_error=False
    )
    step, failure = failure_of(again)
    assert step == "reconcile"
    assert "is not what was migrated and validated" in failure.description
    assert is_write_blocked(client) is False
    last = dg.execute_job(
        dg.reconstructable(promotion),
        instance=workplace.instance,
        reexecution_options=dg.ReexecutionOptions(
            again.run_id, step_selection=["catch_up", "freeze", "reconcile", "restore", "unfreeze"]
        ),
        raise_on_error=False,
    )
    assert last.success
    assert client[DATABASE].study_set.find_one({"name": "not validated"}) is None


def promotion() -> dg.JobDefinition:
    return defs.get_job_def("promote")
