"""A rehearsal finds out what a release would do, while everybody works; the origin stays as it is."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from bson import ObjectId
from pymongo import MongoClient

from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.files import lock
from nmdc_release_ops.mongo.archive.manifest import read_manifest
from nmdc_release_ops.mongo.freezing.freeze import freeze
from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.state.lease import Strategy, current_lease
from nmdc_release_ops.records.data_release import MigratedDatabase, ReleasePlan, ValidationReport
from nmdc_release_ops_tests.sent_commands import Command, sent_commands
from nmdc_release_ops_tests.steps.crashing_run import data_release, rehearsal
from nmdc_release_ops_tests.workplace import Workplace, failure_of, untouched, workplace_fixture

workplace = workplace_fixture(scale=500, warm=True)

READING = {
    "rolesInfo",
    *("find", "getMore", "aggregate", "listCollections", "listIndexes", "killCursors", "dbStats", "collStats"),
    "abortTransaction",
}


@dataclass(frozen=True)
class Rehearsed:
    """A rehearsal of 11.24.0, and every command that was sent meanwhile."""

    result: dg.ExecuteInProcessResult
    sent: list[Command]


@pytest.fixture(scope="module")
def first(workplace: Workplace) -> Rehearsed:
    with (
        MongoClient[Any](workplace.origin.server.uri) as client,
        untouched(client),
        sent_commands() as sent,
    ):
        result = workplace.rehearse(target_version="11.24.0")
    assert result.success
    return Rehearsed(result, list(sent))


def plan_of(result: dg.ExecuteInProcessResult) -> ReleasePlan:
    return ReleasePlan.model_validate(result.output_for_node("plan"))


@contextmanager
def writing(client: MongoClient[Any]) -> Iterator[dict[Any, Any]]:
    """Somebody writes valid documents as fast as possible; the documents that are left are yielded at the end, by `_id`."""
    collection = client[DATABASE]["study_set"]
    pattern = collection.find_one()
    assert pattern is not None
    stop = threading.Event()
    written: dict[Any, Any] = {}

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            document = {
                **pattern,
                "_id": ObjectId(),
                "id": f"nmdc:sty-99-rehearsal{number}",
                "name": f"number {number}",
            }
            collection.insert_one(document)
            written[document["_id"]] = document
            if number % 3 == 0:
                victim = next(iter(written))
                collection.delete_one({"_id": victim})
                del written[victim]
            if number % 5 == 0:
                changed = next(iter(written))
                collection.update_one({"_id": changed}, {"$set": {"name": f"again {number}"}})

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield written
    finally:
        stop.set()
        thread.join()


def test_a_rehearsal_says_what_a_release_would_do(workplace: Workplace, first: Rehearsed) -> None:
    report = ValidationReport.model_validate(first.result.output_for_node("validate"))
    migrated = MigratedDatabase.model_validate(first.result.output_for_node("migrate"))
    assert "Schema 11.23.0 -> 11.24.0 was rehearsed: 3 changed, 16 untouched" in report.conclusion
    assert "Launch the job promote when it suits: it blocks writes for a few seconds" in report.conclusion
    (asset,) = workplace.instance.fetch_materializations(dg.AssetKey(["nmdc", "rehearsal"]), limit=2).records
    assert asset.asset_materialization is not None
    assert asset.asset_materialization.metadata["changed"].value == ", ".join(migrated.changes.changed)
    assert "UTC" in str(asset.asset_materialization.metadata["the origin's oplog reaches back to"].value)


def test_nobody_is_locked_out_and_nothing_is_written_to_the_origins_database(
    first: Rehearsed, client: MongoClient[Any]
) -> None:
    port = client.address and client.address[1]
    sent = [command for command in first.sent if command.port == port]
    names = {command.name for command in sent}
    assert names.isdisjoint({"dbHash", "setUserWriteBlockMode", "fsync", "reIndex", "compact"})
    to_the_database = [command for command in sent if command.database == DATABASE]
    # Every event of a release is tried on the ledger, in a transaction that is aborted.
    assert {command.name for command in to_the_database} - READING <= {"insert"}
    inserts = [command.content for command in to_the_database if command.name == "insert"]
    assert {content["insert"] for content in inserts} <= {"_migration_events"}
    assert all("autocommit" in content for content in inserts)
    assert any(command.name == "find" and command.content["find"] == "biosample_set" for command in to_the_database)
    assert current_lease(client) is None


@pytest.mark.parametrize("steps", [["freeze"], ["restore"]])
def test_the_plan_of_a_rehearsal_is_not_carried_out(
    workplace: Workplace, first: Rehearsed, client: MongoClient[Any], steps: list[str]
) -> None:
    """Somebody re-executes a step of another job with the records of a rehearsal."""
    with untouched(client):
        result = dg.execute_job(
            dg.reconstructable(data_release),
            instance=workplace.instance,
            reexecution_options=dg.ReexecutionOptions(first.result.run_id, step_selection=steps),
            raise_on_error=False,
        )
    step, failure = failure_of(result)
    assert [step] == steps
    assert "is a rehearsal: its plan is not carried out" in failure.description


def test_two_runs_of_one_rehearsal_do_not_dump_at_the_same_time(workplace: Workplace, first: Rehearsed) -> None:
    archive = workplace_archive(workplace, plan_of(first.result))
    with lock(archive):
        again = reexecute(workplace, first.result.run_id, "dump")
    step, failure = failure_of(again)
    assert step == "dump"
    assert "Another run is dumping" in failure.description
    assert read_manifest(archive).was_frozen is False


def test_what_people_write_during_the_dump_is_in_the_archive_as_it_was_at_one_moment(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    with writing(client) as written:
        rehearsed = workplace.rehearse(target_version="11.24.0")
    assert rehearsed.success
    assert len(written) > 100
    archive = workplace_archive(workplace, plan_of(rehearsed))
    manifest = read_manifest(archive)
    assert manifest.was_frozen is False
    assert "oplog.bson" in manifest.other_files
    assert "oplog.bson" in {path.name for path in archive.iterdir()}


def test_what_is_cached_is_enough_while_the_package_index_is_out_of_reach(
    workplace: Workplace, first: Rehearsed, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody listens there.
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple/")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    rehearsed = workplace.rehearse(target_version="11.24.0")
    assert rehearsed.success, failure_of(rehearsed)


def test_a_rehearsal_may_run_while_another_release_holds_the_origin(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    freeze(client, "another", "a-run", Strategy.WRITE_BLOCK, database=DATABASE, drain_timeout=10)
    try:
        rehearsed = workplace.rehearse(target_version="11.24.0")
        lease = current_lease(client)
        assert lease is not None
        assert lease.release_id == "another"
    finally:
        thaw(client, "another", thawed_by="a-run")
    assert rehearsed.success
    assert any("another" in warning for warning in plan_of(rehearsed).warnings)


def test_a_violation_fails_a_rehearsal_as_it_fails_a_release(workplace: Workplace, client: MongoClient[Any]) -> None:
    studies = client[DATABASE]["study_set"]
    study = studies.find_one_and_update({}, {"$set": {"study_category": "no such category"}})
    with untouched(client):
        rehearsed = workplace.rehearse(target_version="11.24.0")
    step, failure = failure_of(rehearsed)
    assert step == "validate"
    assert "no such category" in failure.description
    assert "No swap was begun. The origin's data are unchanged." in failure.description
    newest = workplace.instance.fetch_materializations(dg.AssetKey(["nmdc", "rehearsal"]), limit=1).records
    assert [record for record in newest if record.run_id == rehearsed.run_id] == []
    studies.replace_one({"_id": study["_id"]}, study)
    assert workplace_archive(workplace, plan_of(rehearsed)).is_dir()


def test_one_rehearsal_keeps_its_archive_and_one_that_was_removed_says_so(
    workplace: Workplace, first: Rehearsed
) -> None:
    archive = workplace_archive(workplace, plan_of(first.result))
    # What a killed run leaves.
    for name in ("archive.partial", "archive.delta", "transformer"):
        (archive.parent / name).mkdir(exist_ok=True)
    assert workplace.rehearse(target_version="11.24.0").success
    assert {path.name for path in archive.parent.iterdir()}.isdisjoint(
        {"archive", "archive.partial", "archive.delta", "transformer"}
    )
    assert len(list(workplace.home.glob("origins/*/releases/*/archive"))) == 1
    for name in ("migrate", "validate"):
        step, failure = failure_of(reexecute(workplace, first.result.run_id, name))
        assert step == name
        assert "was removed: there was a later rehearsal, or a release" in failure.description
    assert not (archive.parent / "transformer").exists()


def reexecute(workplace: Workplace, run_id: str, step: str) -> dg.JobExecutionResult:
    return dg.execute_job(
        dg.reconstructable(rehearsal),
        instance=workplace.instance,
        reexecution_options=dg.ReexecutionOptions(run_id, step_selection=[step]),
        raise_on_error=False,
    )


def test_a_release_does_what_was_rehearsed_and_removes_the_rehearsal(workplace: Workplace) -> None:
    """The last test of this file: the database is at another version afterwards."""
    rehearsed = workplace.rehearse(target_version="11.24.0")
    archive = workplace_archive(workplace, plan_of(rehearsed))
    assert archive.is_dir()
    released = workplace.release(target_version="11.24.0")
    assert released.success
    of_rehearsal = MigratedDatabase.model_validate(rehearsed.output_for_node("migrate"))
    of_release = MigratedDatabase.model_validate(released.output_for_node("migrate"))
    assert of_rehearsal.changes == of_release.changes
    assert of_rehearsal.counts == of_release.counts
    assert of_rehearsal.documents == of_release.documents
    # Of collections that no migrator used, the rehearsal has no dbHash: asking for it would have blocked writers.
    loaded = of_rehearsal.hashes.keys() - set(of_rehearsal.unloaded)
    assert {name: of_rehearsal.hashes[name] for name in loaded} == {name: of_release.hashes[name] for name in loaded}
    assert loaded >= set(of_rehearsal.changes.changed)
    assert not archive.is_dir()


def workplace_archive(workplace: Workplace, plan: ReleasePlan) -> Path:
    (found,) = workplace.home.glob(f"origins/*/releases/{plan.release_id}")
    return found / "archive"
