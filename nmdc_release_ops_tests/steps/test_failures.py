"""A release that fails leaves the origin as it was and writable, and says why; after the cause is gone it succeeds."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.transfer.load import load_one
from nmdc_release_ops_tests.prepared_release import PreparedRelease, prepared_release_fixture
from nmdc_release_ops_tests.workplace import Workplace, failure_of, make_workplace, untouched

# The demo has every collection of the schema; this one is empty.
ABSENT = "manifest_set"


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, warm_schema: Path) -> Iterator[Workplace]:
    for made in make_workplace(tmp_path_factory.mktemp("workplace"), warm_schema, scale=500):
        with MongoClient[Any](made.origin.server.uri) as client:
            assert client[DATABASE][ABSENT].count_documents({}) == 0
            client[DATABASE].drop_collection(ABSENT)
        yield made


made = prepared_release_fixture(patience=5)


@pytest.fixture(autouse=True)
def origin_stays_as_it_was_and_writable(release: PreparedRelease) -> Iterator[None]:
    """Looked at before the release is put back, which would thaw the origin."""
    with untouched(release.client):
        yield


def test_a_document_that_a_migrator_refuses_stops_the_release_and_is_named(
    release: PreparedRelease, client: MongoClient[Any]
) -> None:
    biosamples = client[DATABASE].biosample_set
    sample = biosamples.find_one({})
    biosamples.update_one({"_id": sample["_id"]}, {"$set": {"collection_time_inc": "13:42+0000"}})
    try:
        result = release.execute(["freeze", "dump", "migrate", "validate", "restore", "unfreeze"])
    finally:
        biosamples.replace_one({"_id": sample["_id"]}, sample)
    step, text = failure_of(result)
    assert step == "migrate"
    assert f"migrator_from_11_24_1_to_11_25_0 failed at document {sample['id']} of biosample_set" in text.description
    assert "Field `collection_time_inc` present" in text.description
    assert "The origin has been frozen by this run since" in text.description
    assert "The origin's data are unchanged." in text.description
    log = "\n".join(entry.message for entry in release.workplace.instance.all_logs(result.run_id))
    assert "The origin is thawed: writes are allowed again" in log


def test_every_violation_is_collected_and_the_origin_is_thawed(
    release: PreparedRelease, client: MongoClient[Any]
) -> None:
    database = client[DATABASE]
    study, sample = database.study_set.find_one({}), database.biosample_set.find_one({})
    instrument = database.instrument_set.find_one({})
    database.study_set.update_one({"_id": study["_id"]}, {"$set": {"study_category": "no such category"}})
    database.biosample_set.update_one({"_id": sample["_id"]}, {"$set": {"not_a_slot": 1}})
    database.instrument_set.insert_one({"_id": "misplaced", "id": study["id"], "type": "nmdc:Study"})
    try:
        result = release.execute(["dump", "migrate", "validate", "restore", "unfreeze"])
    finally:
        database.study_set.replace_one({"_id": study["_id"]}, study)
        database.biosample_set.replace_one({"_id": sample["_id"]}, sample)
        database.instrument_set.delete_one({"_id": "misplaced"})
    assert instrument is not None
    step, text = failure_of(result)
    assert step == "validate"
    violations = [json.loads(line) for line in Path(text.metadata["all of them"].value).read_text().splitlines()]
    found = {(one["collection"], one["id"]) for one in violations}
    assert found == {("study_set", study["id"]), ("biosample_set", sample["id"]), ("instrument_set", study["id"])}
    assert {one["violation"] for one in violations} >= {"class not allowed"}
    (twice,) = (one for one in violations if one["violation"] == "duplicate id")
    assert (twice["id"], twice["new"]) == (study["id"], False)
    assert text.metadata["violations"].value == len(violations) - 1 >= 3
    assert "no such category" in json.dumps(violations)
    assert "Correct the data in the origin. Nobody wrote to them since the dump. Then re-execute" in text.description
    # They were corrected by now: to validate the same dump again finds the same, and the error says so.
    step, text = failure_of(release.execute_from_failure(result.run_id))
    assert step == "validate"
    corrected = "Since the dump, somebody wrote to biosample_set, instrument_set, study_set of the origin."
    assert f"{corrected} If that corrected the data, re-execute this run from `dump`" in text.description


def test_a_transformer_that_is_lost_while_a_migrator_waits_for_documents_is_named(
    release: PreparedRelease, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_after_it_is_gone(*arguments: Any, **named: Any) -> None:
        os.kill(release.transformer.pid, signal.SIGKILL)
        load_one(*arguments, **named)

    monkeypatch.setattr("nmdc_release_ops.mongo.transfer.on_demand.load_one", load_after_it_is_gone)
    monkeypatch.setattr("nmdc_release_ops.mongo.server.connection.SELECTION_SECONDS", 1)
    started = time.monotonic()
    try:
        step, text = failure_of(release.execute(["dump", "migrate", "validate", "restore", "unfreeze"]))
    finally:
        gone = release.transformer
        gone.stop()
        release.transformer = PrivateMongod.start(gone.folder, authentication=False, port=gone.port)
    assert step == "migrate"
    assert "transformer" in text.description and "The origin's data are unchanged." in text.description
    assert time.monotonic() - started < 60, "the worker was ended, and nobody waited for it"
    monkeypatch.undo()


def test_a_transformer_that_is_down_is_named(release: PreparedRelease, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmdc_release_ops.mongo.server.connection.SELECTION_SECONDS", 1)
    monkeypatch.setenv("NMDC_TRANSFORMER_URI", "mongodb://127.0.0.1:9/?directConnection=true")
    step, text = failure_of(release.workplace.release(target_version="11.25"))
    # Found out in `plan`: scientists are not kept from writing for it.
    assert step == "plan"
    assert "The transformer at 127.0.0.1:9 did not answer" in text.description


def test_a_write_between_a_failure_and_its_re_execution_is_never_swapped_away(release: PreparedRelease) -> None:
    biosamples = release.client[DATABASE].biosample_set
    biosamples.update_one({"id": "written-in-between"}, {"$set": {"name": "x"}}, upsert=True)
    try:
        step, text = failure_of(release.execute(["restore", "unfreeze"]))
        assert step == "restore"
        assert "biosample_set of the origin changed since it was dumped" in text.description
    finally:
        biosamples.delete_one({"id": "written-in-between"})


@pytest.mark.parametrize("steps", [["restore", "unfreeze"], ["dump", "migrate", "validate", "restore", "unfreeze"]])
def test_a_run_that_was_overtaken_by_another_release_neither_dumps_nor_swaps(
    release: PreparedRelease, steps: list[str]
) -> None:
    events = release.client[DATABASE]["_migration_events"]
    event = events.insert_one(
        {
            "created_at": "2999-01-01T00:00:00+00:00",
            "event": "MIGRATION_COMPLETED",
            "from_schema_version": "11.23.0",
            "to_schema_version": "11.26.0",
        }
    )
    try:
        step, text = failure_of(release.execute(steps))
        assert step == steps[0]
        assert "conforms to schema 11.26.0 now" in text.description
        assert "Launch a new run instead" in text.description
    finally:
        events.delete_one({"_id": event.inserted_id})


def test_a_collection_that_appeared_since_the_dump_is_not_left_unmigrated(release: PreparedRelease) -> None:
    release.client[DATABASE][ABSENT].insert_one({"_id": "the first of its kind"})
    try:
        step, text = failure_of(release.execute(["restore", "unfreeze"]))
    finally:
        release.client[DATABASE].drop_collection(ABSENT)
    assert step == "restore"
    assert f"{ABSENT} of the origin changed since it was dumped" in text.description
