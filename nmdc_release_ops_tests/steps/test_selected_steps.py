"""Whichever steps are re-executed, a release only swaps in what was dumped, migrated and validated in one go."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.mongo.state.journal import Journal, State, newest_journal, write_journal
from nmdc_release_ops.mongo.state.lease import current_lease
from nmdc_release_ops.records.data_release import MigratedDatabase, ReleasePlan
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops_tests.prepared_release import (
    BEFORE,
    PreparedRelease,
    failed_plainly,
    prepared_release_fixture,
    recorded_version,
    tick,
)
from nmdc_release_ops_tests.workplace import workplace_fixture

workplace = workplace_fixture(scale=200, warm=True)
made = prepared_release_fixture(patience=5)


def assert_not_released(release: PreparedRelease, result: dg.JobExecutionResult, step: str) -> None:
    """`restore` refused, named the step to go back to, and the origin is thawed and at its old version."""
    text = failed_plainly(result)
    assert f"Re-execute this run from `{step}`" in text, text
    tick(release.workplace.instance)
    assert recorded_version(release.client) == BEFORE
    assert release.client[DATABASE].list_collection_names(filter={"name": {"$regex": "^_release"}}) == []


def test_a_write_that_only_a_later_dump_has_is_not_swapped_away(release: PreparedRelease) -> None:
    biosamples = release.client[DATABASE].biosample_set
    sample = biosamples.find_one({})
    biosamples.update_one({"_id": sample["_id"]}, {"$set": {"name": "written in between"}})
    try:
        assert_not_released(release, release.execute(["dump", "restore", "unfreeze"]), "migrate")
        dumped = release.execute(["dump"])
        assert dumped.success
        tick(release.workplace.instance)
        assert_not_released(release, release.execute(["restore", "unfreeze"], of_run=dumped.run_id), "migrate")
        assert biosamples.find_one({"_id": sample["_id"]})["name"] == "written in between"
    finally:
        biosamples.replace_one({"_id": sample["_id"]}, sample)


def test_what_was_migrated_again_is_not_released_on_an_earlier_validation(release: PreparedRelease) -> None:
    instruments = release.client[DATABASE].instrument_set
    instruments.insert_one({"_id": "not validated", "no_such_slot": 1})
    try:
        assert_not_released(release, release.execute(["dump", "migrate", "restore"]), "validate")
        assert instruments.count_documents({"_id": "not validated"}) == 1
    finally:
        instruments.delete_one({"_id": "not validated"})


@pytest.mark.faults
def test_a_new_plan_does_not_release_what_was_migrated_for_another_version(release: PreparedRelease) -> None:
    other = {"ops": {"plan": {"config": {"target_version": "11.24"}}}}
    result = release.execute(["plan", "restore"], config=other)
    assert_not_released(release, result, "dump")
    assert list(release.client[DATABASE]["_migration_events"].find({"release_id": {"$ne": "demo"}})) == []


@pytest.fixture
def migrate_json(release: PreparedRelease) -> Iterator[Path]:
    path = ReleaseHomeResource().record(release.run_id, "migrate")
    written = path.read_bytes()
    yield path
    path.write_bytes(written)


def list_as_untouched(content: dict[str, Any], name: str) -> None:
    content["changes"]["changed"].remove(name)
    content["changes"]["untouched"].append(name)


def test_a_record_that_was_edited_by_hand_is_refused(release: PreparedRelease, migrate_json: Path) -> None:
    written = json.loads(migrate_json.read_bytes())
    list_as_untouched(written["record"], "biosample_set")
    migrate_json.write_text(json.dumps(written))
    text = failed_plainly(release.execute(["restore", "unfreeze"]))
    assert "was changed after it was written" in text and "Re-execute the run from `migrate`" in text
    assert recorded_version(release.client) == BEFORE


def test_a_record_that_was_edited_together_with_its_digest_does_not_fit_the_others(
    release: PreparedRelease, migrate_json: Path
) -> None:
    content = json.loads(migrate_json.read_bytes())["record"]
    list_as_untouched(content, "biosample_set")
    migrate_json.write_text(MigratedDatabase.model_validate_json(json.dumps(content)).to_json())
    assert_not_released(release, release.execute(["restore", "unfreeze"]), "validate")


def test_a_record_that_is_gone_is_asked_for_by_its_step(release: PreparedRelease, migrate_json: Path) -> None:
    migrate_json.unlink()
    text = failed_plainly(release.execute(["restore", "unfreeze"]))
    assert "the record of the step `migrate`, is missing" in text and "did nothing to the origin" in text
    assert recorded_version(release.client) == BEFORE


def test_an_archive_that_was_dumped_again_is_not_migrated_under_the_earlier_record(release: PreparedRelease) -> None:
    assert release.execute(["dump"]).success
    tick(release.workplace.instance)
    text = failed_plainly(release.execute(["migrate", "validate"]))
    assert "was overwritten by a later dump" in text and "Re-execute this run from `dump`" in text


@pytest.mark.parametrize("steps", [["dump"], ["restore"], ["unfreeze"]], ids=" ".join)
def test_a_run_does_nothing_to_another_database_than_the_one_that_it_was_planned_for(
    release: PreparedRelease, monkeypatch: pytest.MonkeyPatch, steps: list[str]
) -> None:
    database = release.client["nmdc_copy"]
    database.biosample_set.insert_one({"id": "of another database"})
    monkeypatch.setenv("NMDC_ORIGIN_DB", "nmdc_copy")
    try:
        text = failed_plainly(release.execute(steps))
        assert "was planned for the database nmdc of" in text and "now name another one" in text
        assert database.list_collection_names() == ["biosample_set"]
        assert current_lease(release.client) is None
    finally:
        release.client.drop_database("nmdc_copy")


def test_a_run_does_nothing_to_another_server_than_the_one_that_it_was_planned_for(
    release: PreparedRelease, monkeypatch: pytest.MonkeyPatch, guarded_mongod: PrivateMongod
) -> None:
    monkeypatch.setenv("NMDC_ORIGIN_URI", guarded_mongod.uri)
    text = failed_plainly(release.execute(["restore"]))
    assert "now name another one" in text and "This step changed neither." in text
    with MongoClient[Any](guarded_mongod.uri) as other:
        assert current_lease(other) is None and DATABASE not in other.list_database_names()


def transformer_of(release: PreparedRelease) -> Any:
    record = MigratedDatabase.from_json(ReleaseHomeResource().record(release.run_id, "migrate").read_bytes())
    return MongoClient[Any](release.transformer.uri)[record.database]


@pytest.mark.parametrize("steps", [["validate"], ["restore"]], ids=" ".join)
def test_indexes_that_changed_on_the_transformer_are_not_released(release: PreparedRelease, steps: list[str]) -> None:
    biosamples = transformer_of(release).biosample_set
    biosamples.create_index("made_later")
    try:
        text = failed_plainly(release.execute(steps))
    finally:
        biosamples.drop_index("made_later_1")
    assert "biosample_set of the transformer changed since the migrators ended" in text
    assert recorded_version(release.client) == BEFORE and current_lease(release.client) is None


@pytest.mark.faults
def test_a_run_of_selected_steps_migrates_in_a_database_of_its_own(release: PreparedRelease) -> None:
    before = transformer_of(release).name
    again = release.execute(["dump", "migrate"])
    assert again.success
    made = MigratedDatabase.from_json(ReleaseHomeResource().record(again.run_id, "migrate").read_bytes())
    with MongoClient[Any](release.transformer.uri) as client:
        assert {before, made.database} <= set(client.list_database_names()) and before != made.database


def test_a_plan_of_before_another_release_is_not_carried_out(release: PreparedRelease) -> None:
    plan = ReleasePlan.from_json(ReleaseHomeResource().record(release.run_id, "plan").read_bytes())
    other = Journal(
        release_id="20260101T000000Z-of-somebody",
        number=1,
        database=DATABASE,
        from_version=BEFORE,
        to_version=BEFORE,
        migrator_module="",
        state=State.SWAPPED,
        started_at=datetime.now(UTC),
        moves=[],
        hashes={},
    )
    assert plan.in_force is None
    write_journal(release.client, other)
    text = failed_plainly(release.execute(["restore"]))
    assert f"The data now come from release {other.release_id}; " in text
    assert current_lease(release.client) is None


def test_a_release_that_has_swapped_is_not_frozen_again(release: PreparedRelease) -> None:
    released = release.execute(["restore", "unfreeze"])
    assert released.success
    text = failed_plainly(release.execute(["freeze"], of_run=released.run_id))
    assert "was swapped in at" in text
    assert current_lease(release.client) is None and is_write_blocked(release.client) is False


def test_what_was_rolled_back_is_not_swapped_in_again_when_its_run_is_re_executed(release: PreparedRelease) -> None:
    released = release.execute(["restore", "unfreeze"])
    assert released.success
    rollback = defs.get_job_def("rollback")
    assert rollback.execute_in_process(instance=release.workplace.instance).success
    for step in ("freeze", "dump", "restore"):
        text = failed_plainly(release.execute([step], of_run=released.run_id))
        assert "was rolled back at" in text and "Launch a new release" in text, text
    assert recorded_version(release.client) == BEFORE
    release.assert_nothing_lost()


@pytest.mark.faults
def test_restore_refuses_when_a_later_release_is_in_force(release: PreparedRelease) -> None:
    released = release.execute(["restore", "unfreeze"])
    assert released.success
    journal = newest_journal(release.client, DATABASE)
    assert journal is not None
    later = journal.model_copy(update={"release_id": "the-next", "number": journal.number + 1})
    write_journal(release.client, later)
    assert "release the-next since" in failed_plainly(release.execute(["restore"], of_run=released.run_id))
    write_journal(release.client, later.model_copy(update={"state": State.ROLLED_BACK}))
    assert release.execute(["restore"], of_run=released.run_id).success
