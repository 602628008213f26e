"""A release that fails leaves the origin as it was and writable, and says why; after the cause is gone it succeeds."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.swapping.unchanged import OriginChanged
from nmdc_release_ops_tests.workplace import Workplace, failure_of, make_workplace, untouched


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, schema_cache: Path) -> Iterator[Workplace]:
    yield from make_workplace(tmp_path_factory.mktemp("failures"), schema_cache, scale=500)


@pytest.fixture(scope="module")
def client(workplace: Workplace) -> Iterator[MongoClient[Any]]:
    with MongoClient(workplace.origin.server.uri) as found:
        yield found


@pytest.fixture(autouse=True)
def origin_stays_as_it_was_and_writable(client: MongoClient[Any]) -> Iterator[None]:
    with untouched(client):
        yield


def test_a_document_that_a_migrator_refuses_stops_the_release_and_is_named(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    biosamples = client[DATABASE].biosample_set
    sample = biosamples.find_one({})
    biosamples.update_one({"_id": sample["_id"]}, {"$set": {"collection_time_inc": "13:42+0000"}})
    try:
        result = workplace.release(target_version="11.25")
    finally:
        biosamples.replace_one({"_id": sample["_id"]}, sample)
    step, said = failure_of(result)
    assert step == "migrate"
    assert f"migrator_from_11_24_1_to_11_25_0 failed at document {sample['id']} of biosample_set" in said.description
    assert "Field `collection_time_inc` present" in said.description
    assert "The origin has been frozen by this run since" in said.description
    assert "The origin's data are unchanged." in said.description
    log = "\n".join(entry.message for entry in workplace.instance.all_logs(result.run_id))
    assert "The origin is thawed: writes are allowed again" in log


def test_every_violation_is_collected_and_the_origin_is_thawed(workplace: Workplace, client: MongoClient[Any]) -> None:
    database = client[DATABASE]
    study, sample = database.study_set.find_one({}), database.biosample_set.find_one({})
    instrument = database.instrument_set.find_one({})
    database.study_set.update_one({"_id": study["_id"]}, {"$set": {"study_category": "no such category"}})
    database.biosample_set.update_one({"_id": sample["_id"]}, {"$set": {"not_a_slot": 1}})
    database.instrument_set.insert_one({"_id": "misplaced", "id": study["id"], "type": "nmdc:Study"})
    try:
        result = workplace.release(target_version="11.25")
    finally:
        database.study_set.replace_one({"_id": study["_id"]}, study)
        database.biosample_set.replace_one({"_id": sample["_id"]}, sample)
        database.instrument_set.delete_one({"_id": "misplaced"})
    assert instrument is not None
    step, said = failure_of(result)
    assert step == "validate"
    violations = [json.loads(line) for line in Path(said.metadata["all of them"].value).read_text().splitlines()]
    found = {(one["collection"], one["id"]) for one in violations}
    assert found == {("study_set", study["id"]), ("biosample_set", sample["id"]), ("instrument_set", study["id"])}
    assert {one["violation"] for one in violations} >= {"class not allowed"}
    (twice,) = (one for one in violations if one["violation"] == "duplicate id")
    assert (twice["id"], twice["new"]) == (study["id"], False)
    assert said.metadata["violations"].value == len(violations) - 1 >= 3
    assert "no such category" in json.dumps(violations)


def test_a_transformer_that_is_down_is_named(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmdc_release_ops.mongo.server.connection.SELECTION_SECONDS", 1)
    monkeypatch.setenv("NMDC_TRANSFORMER_URI", "mongodb://127.0.0.1:9/?directConnection=true")
    step, said = failure_of(workplace.release(target_version="11.25"))
    # Found out in `plan`: scientists are not kept from writing for it.
    assert step == "plan"
    assert "The transformer at 127.0.0.1:9 did not answer" in said.description


def test_a_write_between_a_failure_and_its_re_execution_is_never_swapped_away(
    workplace: Workplace, client: MongoClient[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from nmdc_release_ops.steps import restore

    def refuse(*_: Any, **__: Any) -> None:
        raise OriginChanged("made to fail before the swap")

    database = client[DATABASE]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restore, "_refuse_if_changed", refuse)
        failed = workplace.release(target_version="11.25")
    assert failure_of(failed)[0] == "restore"
    database.biosample_set.update_one({"id": "written-in-between"}, {"$set": {"name": "x"}}, upsert=True)
    try:
        again = dg.execute_job(
            dg.reconstructable(_data_release),
            instance=workplace.instance,
            reexecution_options=dg.ReexecutionOptions.from_failure(failed.run_id, workplace.instance),
            raise_on_error=False,
        )
        (failure,) = [event for event in again.all_events if event.is_step_failure]
        assert failure.step_key == "restore"
        assert "biosample_set of the origin changed since it was dumped" in str(
            failure.step_failure_data.user_failure_data.description
        )
    finally:
        database.biosample_set.delete_one({"id": "written-in-between"})
        for name in database.list_collection_names(filter={"name": {"$regex": "^_release"}}):
            database[name].drop()


def test_a_run_that_was_overtaken_by_another_release_neither_dumps_nor_swaps(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    from nmdc_release_ops.steps import restore

    def refuse(*_: Any, **__: Any) -> None:
        raise OriginChanged("made to fail before the swap")

    database = client[DATABASE]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restore, "_refuse_if_changed", refuse)
        failed = workplace.release(target_version="11.25")
    event = database["_migration_events"].insert_one(
        {
            "created_at": "2999-01-01T00:00:00+00:00",
            "event": "MIGRATION_COMPLETED",
            "from_schema_version": "11.23.0",
            "to_schema_version": "11.26.0",
        }
    )
    try:
        for steps in (None, ["dump", "migrate", "validate", "restore", "unfreeze"]):
            again = dg.execute_job(
                dg.reconstructable(_data_release),
                instance=workplace.instance,
                reexecution_options=dg.ReexecutionOptions(parent_run_id=failed.run_id, step_selection=steps)
                if steps
                else dg.ReexecutionOptions.from_failure(failed.run_id, workplace.instance),
                raise_on_error=False,
            )
            (failure,) = [event for event in again.all_events if event.is_step_failure]
            assert failure.step_key == ("dump" if steps else "restore")
            said = str(failure.step_failure_data.user_failure_data.description)
            assert "conforms to schema 11.26.0 now" in said and "Launch a new release instead" in said
    finally:
        database["_migration_events"].delete_one({"_id": event.inserted_id})
        for name in database.list_collection_names(filter={"name": {"$regex": "^_release"}}):
            database[name].drop()


def test_a_collection_that_appeared_since_the_dump_is_not_left_unmigrated(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    from nmdc_release_ops.steps import restore

    database = client[DATABASE]
    compare = restore._refuse_if_changed

    def appear_and_compare(*args: Any) -> None:
        # As between a failure and the re-execution; a write block would refuse it now.
        database.manifest_set.insert_one({"_id": "the first of its kind"})
        compare(*args)

    # The demo has every collection of the schema; this one is empty.
    assert database.manifest_set.count_documents({}) == 0
    database.manifest_set.drop()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(restore, "_refuse_if_changed", appear_and_compare)
            step, said = failure_of(workplace.release(target_version="11.25"))
    finally:
        database.manifest_set.drop()
        database.create_collection("manifest_set")
    assert step == "restore"
    assert "manifest_set of the origin changed since it was dumped" in said.description


def _data_release() -> dg.JobDefinition:
    from nmdc_release_ops.definitions import defs

    return defs.get_job_def("data_release")
