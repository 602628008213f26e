"""The demo's release, seen afterwards with a plain driver: what it changed, and what it left exactly as it was."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient
from pymongo.database import Database

from nmdc_release_ops.demo.origin import DATABASE, NMDC_ROLES
from nmdc_release_ops.mongo.archive.manifest import read_manifest, verify
from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.collections import collection_hashes, list_collections
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.mongo.state.lease import current_lease, freezes_of
from nmdc_release_ops.records.data_release import MigratedDatabase
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops_tests.mongo.blocking import freeze_by_block
from nmdc_release_ops_tests.steps.origin_facts import look_at
from nmdc_release_ops_tests.workplace import Workplace, make_workplace

SCALE = 1_500
CHANGED = ["biosample_set", "data_generation_set", "study_set"]


class Released:
    """A workplace where the demo's release was made, and what the origin was before and after."""

    def __init__(self, workplace: Workplace) -> None:
        self.workplace = workplace
        self.client: MongoClient[Any] = MongoClient(workplace.origin.server.uri)
        database = self.client[DATABASE]
        self.investigators_before = {
            document["id"]: document["principal_investigator"]
            for document in database.data_generation_set.find({"principal_investigator": {"$exists": True}})
        }
        self.before = look_at(self.client)
        self.result: dg.ExecuteInProcessResult = workplace.release(target_version="11.25")
        self.after = look_at(self.client)

    @property
    def database(self) -> Database[Any]:
        return self.client[DATABASE]

    @property
    def reports(self) -> Path:
        return ReleaseHomeResource().attempt(self.result.output_for_node("plan"), self.result.run_id)

    @property
    def release_id(self) -> str:
        return str(self.result.output_for_node("plan").release_id)


@pytest.fixture(scope="module")
def released(
    tmp_path_factory: pytest.TempPathFactory, warm_schema: Path, warm_transformer: PrivateMongod
) -> Iterator[Released]:
    folder = tmp_path_factory.mktemp("released")
    for workplace in make_workplace(folder, warm_schema, SCALE, transformer=warm_transformer):
        found = Released(workplace)
        assert found.result.success, [event.message for event in found.result.all_events if event.is_failure]
        yield found
        found.client.close()


def test_the_ledger_says_the_new_version(released: Released) -> None:
    view = released.database["_migration_latest_schema_version"]
    assert list(view.find()) == [{"schema_version": "11.25.0"}]
    started, completed = list(released.database["_migration_events"].find({"release_id": released.release_id}))
    assert (started["event"], completed["event"]) == ("MIGRATION_STARTED", "MIGRATION_COMPLETED")
    assert set(completed) == {
        "_id",
        "created_at",
        "event",
        "from_schema_version",
        "to_schema_version",
        "migrator_module",
        "release_id",
    }
    assert completed["created_at"].endswith("+00:00")
    assert (completed["from_schema_version"], completed["to_schema_version"]) == ("11.23.0", "11.25.0")


def test_investigators_of_data_generations_became_credit_associations(released: Released) -> None:
    generations = released.database.data_generation_set
    assert released.investigators_before
    assert generations.count_documents({"principal_investigator": {"$exists": True}}) == 0
    for identifier, investigator in released.investigators_before.items():
        (association,) = generations.find_one({"id": identifier})["has_credit_associations"]
        assert association["applied_roles"] == ["Principal Investigator"]
        expected = investigator.get("name") or investigator.get("has_raw_value")
        assert association["applies_to_agent"]["name"] == expected


def test_only_what_the_migrators_changed_was_written(released: Released) -> None:
    before, after = released.before, released.after
    changed = {name for name in before["hashes"] if before["hashes"][name] != after["hashes"][name]}
    assert changed == {*CHANGED, "_migration_events"}
    for name in before["uuids"]:
        same = before["uuids"][name] == after["uuids"][name]
        assert same is (name not in CHANGED), name


def test_indexes_and_options_of_every_collection_and_view_are_as_before(released: Released) -> None:
    assert released.before["indexes"] == released.after["indexes"]
    assert released.before["options"] == released.after["options"]
    assert any(index.get("unique") for index in released.after["indexes"]["biosample_set"].values())


def test_users_and_roles_are_exactly_as_before(released: Released) -> None:
    assert released.before["roles"] == released.after["roles"]
    assert released.before["users"] == released.after["users"]
    assert {role["role"] for role in released.after["roles"]} >= set(NMDC_ROLES)
    assert all(user.get("credentials") for user in released.after["users"])
    with MongoClient[Any](released.workplace.origin.uri("nmdc_runtime")) as runtime:
        runtime[DATABASE].jobs.insert_one({"_id": "after the release"})
        runtime[DATABASE].jobs.delete_one({"_id": "after the release"})
    with MongoClient[Any](released.workplace.origin.uri("nmdc_reader")) as reader:
        assert reader[DATABASE].biosample_set.find_one() is not None


def test_what_was_swapped_out_is_kept(released: Released) -> None:
    names = [name for name in released.database.list_collection_names() if name.startswith("_release.")]
    assert sorted(names) == [f"_release.previous.{name}" for name in CHANGED]
    hashes = collection_hashes(released.database, names)
    for name in CHANGED:
        assert hashes[f"_release.previous.{name}"] == released.before["hashes"][name]
        assert (
            list_collections(released.database, [f"_release.previous.{name}"])[f"_release.previous.{name}"].uuid
            == (released.before["uuids"][name])
        )


def test_the_origin_is_thawed_and_the_freeze_is_on_record(released: Released) -> None:
    assert is_write_blocked(released.client) is False
    assert current_lease(released.client) is None
    (freeze_,) = freezes_of(released.client, released.release_id)
    assert released.result.output_for_node("unfreeze").seconds == pytest.approx(freeze_.seconds)
    assert 0 < freeze_.seconds < 300


def test_the_archive_is_whole_private_and_holds_the_database_as_it_was(released: Released) -> None:
    archive = released.result.output_for_node("dump")
    manifest = read_manifest(archive.path)
    verify(archive.path, manifest)
    assert {one.name: one.hash for one in manifest.collections}.items() <= released.before["hashes"].items()
    for path in (archive.path, archive.path.parent):
        assert path.stat().st_mode & 0o077 == 0
    assert not (archive.path.parent / "transformer").exists()


def test_collections_outside_the_schema_are_listed_and_left_alone(released: Released) -> None:
    plan = released.result.output_for_node("plan")
    assert {"jobs", "alldocs"} <= set(plan.left_alone)
    # The ledger is written by a release: it is neither left alone nor migrated.
    assert "_migration_events" not in plan.left_alone
    assert "jobs" not in {found.name for found in plan.collections}


def test_the_plan_says_where_each_migrator_runs_and_what_is_installed_there(released: Released) -> None:
    plan = released.result.output_for_node("plan")
    assert [(hop.to_version, hop.does_nothing, hop.environment) for hop in plan.migrators] == [
        ("11.24.0", False, "11.24.0"),
        ("11.24.1", True, ""),
        ("11.25.0", False, "11.25.0"),
    ]
    (output,) = [event for event in released.result.all_events if _is_plan(event)]
    metadata = output.event_specific_data.metadata
    installed = json.loads((released.reports / "environments.json").read_text())
    assert metadata["installed"].value == installed
    assert {name: packages["nmdc-schema"] for name, packages in installed.items()} == {
        "11.24.0": "11.24.0",
        "11.25.0": "11.25",
    }
    assert {"pymongo", "linkml", "dagster-pipes"} <= installed["11.25.0"].keys()
    rows = [record.data for record in metadata["migrators"].records]
    assert [row["runs in schema"] for row in rows] == ["11.24.0", "", "11.25.0"]


def _is_plan(event: dg.DagsterEvent) -> bool:
    return event.is_successful_output and event.step_key == "plan"


def test_what_the_migrators_changed_is_shown_document_by_document(released: Released) -> None:
    (output,) = [
        event for event in released.result.all_events if event.is_successful_output and event.step_key == "migrate"
    ]
    metadata = output.event_specific_data.metadata
    rows = {record.data["collection"]: record.data for record in metadata["documents changed"].records}
    assert sorted(rows) == CHANGED
    migrated = released.result.output_for_node("migrate")
    assert sum(row["changed"] for row in rows.values()) == sum(counts.changed for counts in migrated.counts) > 0
    assert rows["data_generation_set"]["changed"] >= len(released.investigators_before)
    for name, row in rows.items():
        before = released.database[f"_release.previous.{name}"].count_documents({})
        assert (row["added"], row["removed"], row["changed"] + row["unchanged"]) == (0, 0, before)
    paths = {
        (record.data["collection"], record.data["path"]): record.data for record in metadata["paths changed"].records
    }
    investigators = paths["data_generation_set", "principal_investigator"]
    assert (investigators["change"], investigators["documents"]) == ("removed", len(released.investigators_before))
    assert ("study_set", "has_credit_associations[].applies_to_person → applies_to_agent") in paths
    page = Path(metadata["difference"].value)
    assert page == migrated.difference == released.reports / "difference.html"
    assert "What changed in nmdc from schema 11.23.0 to 11.25.0" in page.read_text()
    assert page.with_suffix(".json").is_file()
    log = "\n".join(entry.message for entry in released.workplace.instance.all_logs(released.result.run_id))
    assert "data_generation_set: " in log and "changed, 0 added, 0 removed" in log


def test_only_the_collections_that_migrators_used_were_loaded_and_each_use_is_on_record(released: Released) -> None:
    plan, migrated = (released.result.output_for_node(step) for step in ("plan", "migrate"))
    used = {name for outcome in migrated.migrators for name in outcome.touched}
    everything = {one.name for one in plan.collections}
    assert set(CHANGED) <= used < everything
    assert set(migrated.unloaded) == everything - used
    assert migrated.documents == {one.name: one.documents for one in plan.collections}
    for outcome in migrated.migrators:
        assert {name for name, count in outcome.written.items() if count} == {
            name for name, how in outcome.touched.items() if "written" in how
        }
    (output,) = [
        event for event in released.result.all_events if event.is_successful_output and event.step_key == "migrate"
    ]
    metadata = output.event_specific_data.metadata
    assert metadata["loaded"].value.startswith(f"{len(used)} of {len(everything)} collections, ")
    assert "biosample_set (read, written)" in metadata["migrators"].records[0].data["touched"]
    only_read = sorted(used - set(CHANGED))
    difference = json.loads((released.reports / "difference.json").read_text())
    assert difference["used"] == only_read
    assert ("Used by migrators, and unchanged" in (released.reports / "difference.html").read_text()) is bool(only_read)
    assert released.result.output_for_node("validate").documents == sum(migrated.documents.values())


def test_a_record_of_before_there_was_a_difference_can_still_be_read(released: Released) -> None:
    record = json.loads(ReleaseHomeResource().record(released.result.run_id, "migrate").read_bytes())["record"]
    del record["counts"], record["difference"]
    earlier = MigratedDatabase.model_validate(record)
    assert earlier.changes == released.result.output_for_node("migrate").changes
    assert (earlier.counts, earlier.difference) == ([], None)


def test_the_asset_catalog_has_the_version_and_the_archive(released: Released) -> None:
    instance = released.workplace.instance
    database = instance.get_latest_materialization_event(dg.AssetKey(["nmdc", "database"]))
    archive = instance.get_latest_materialization_event(dg.AssetKey(["nmdc", "archive"]))
    assert database is not None and archive is not None
    assert database.asset_materialization is not None and archive.asset_materialization is not None
    assert database.asset_materialization.metadata["schema version"].value == "11.25.0"
    assert archive.asset_materialization.metadata["schema version"].value == "11.23.0"


def test_what_the_migrators_say_is_in_the_event_log(released: Released) -> None:
    log = "\n".join(entry.message for entry in released.workplace.instance.all_logs(released.result.run_id))
    assert "Running migrator 1 of 5" in log
    assert "migrator_from_11_24_1_to_11_25_0: done" in log


def test_no_secret_is_written_anywhere(released: Released) -> None:
    """Neither the operator's password, as it is or percent-encoded, nor a connection string with one."""
    origin = released.workplace.origin
    secrets = [password.encode() for password in origin._passwords.values()] + [origin.uri().encode()]
    searched = 0
    for folder in (released.workplace.home, released.workplace.dagster_home):
        for path in folder.rglob("*"):
            if path.is_file() and "schema" not in path.relative_to(folder).parts:
                content = path.read_bytes()
                searched += 1
                assert not any(secret in content for secret in secrets), path
    assert searched > 20


def test_releasing_the_same_version_again_succeeds_and_does_nothing(released: Released) -> None:
    before = look_at(released.client)
    result = released.workplace.release(target_version="11.25.0")
    assert result.success
    skipped = {event.step_key for event in result.all_events if event.is_step_skipped}
    assert skipped == {"freeze", "dump", "migrate", "validate", "restore", "unfreeze"}
    assert look_at(released.client) == before


@pytest.mark.parametrize(
    "write",
    [
        lambda database: database.biosample_set.insert_one({"id": "new"}),
        lambda database: database.biosample_set.update_many({}, {"$set": {"changed": True}}),
        lambda database: database.biosample_set.delete_many({}),
        lambda database: database.create_collection("new_set"),
        lambda database: database.biosample_set.drop(),
        lambda database: database.biosample_set.create_index("name"),
        lambda database: database.biosample_set.rename("renamed_set"),
        lambda database: _in_transaction(database),
        lambda database: database.biosample_set.bulk_write(_BULK),
        lambda database: database.client.drop_database(DATABASE),
        lambda database: list(database.biosample_set.aggregate([{"$out": "copy_set"}])),
        lambda database: database.command("collMod", "biosample_set", validationLevel="off"),
    ],
    ids=[
        "insert",
        "update",
        "delete",
        "create",
        "drop",
        "index",
        "rename",
        "transaction",
        "bulk",
        "drop-database",
        "out",
        "collMod",
    ],
)
def test_while_frozen_no_write_of_the_runtime_is_accepted_and_reads_go_on(released: Released, write: Any) -> None:
    from pymongo.errors import BulkWriteError, OperationFailure

    before = look_at(released.client)
    with (
        MongoClient[Any](released.workplace.origin.uri()) as operator,
        MongoClient[Any](released.workplace.origin.uri("nmdc_runtime")) as runtime,
    ):
        freeze_by_block(operator, "a-release", "a-run")
        try:
            with pytest.raises(OperationFailure) as refusal:
                write(runtime[DATABASE])
            codes = {refusal.value.code}
            if isinstance(refusal.value, BulkWriteError):
                codes = {error["code"] for error in refusal.value.details["writeErrors"]}
            assert codes == {371}
            assert runtime[DATABASE].biosample_set.count_documents({}) > 0
        finally:
            thaw(operator, "a-release", "a-run")
    _reload_views(released.client[DATABASE])
    assert look_at(released.client) == before


def _reload_views(database: Database[Any]) -> None:
    """MongoDB 6.0.5 may forget the views of a database whose dropping it has just refused, until a view is created or it is
    restarted; what defines them is still there."""
    database.create_collection("a_view", viewOn="biosample_set")
    database.drop_collection("a_view")


def _in_transaction(database: Database[Any]) -> None:
    with database.client.start_session() as session, session.start_transaction():
        database.biosample_set.insert_one({"id": "new"}, session=session)


def _bulk() -> list[Any]:
    from pymongo import DeleteOne, InsertOne, UpdateOne

    return [InsertOne({"id": "new"}), UpdateOne({}, {"$set": {"changed": 1}}), DeleteOne({})]


_BULK = _bulk()
