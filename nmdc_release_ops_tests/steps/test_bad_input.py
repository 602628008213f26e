"""What an operator can get wrong ends in a clear error in `plan`, with the origin unchanged and not frozen."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.programs.mongod import find_mongod
from nmdc_release_ops.mongo.programs.private_mongod import private_mongod
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops_tests.mongo.blocking import freeze_by_block
from nmdc_release_ops_tests.workplace import Workplace, failure_of, untouched, workplace_fixture

workplace = workplace_fixture(warm=True)


@pytest.fixture(scope="module")
def administrator(workplace: Workplace) -> Iterator[MongoClient[Any]]:
    with MongoClient(workplace.origin.server.uri) as client:
        yield client


@pytest.fixture(autouse=True)
def origin_stays_as_it_was(administrator: MongoClient[Any]) -> Iterator[None]:
    with untouched(administrator):
        yield


def refusal_of(result: dg.ExecuteInProcessResult) -> str:
    """What the run page says of the step that failed; `plan` in all these cases."""
    step, message = failure_of(result)
    assert step == "plan"
    assert message.description is not None
    return str(message.description)


@pytest.mark.parametrize("text", ["; rm -rf", "../x", "11.x", "", "1" * 500, "\u0661\u0661.25", "11.25\n11.24"])
def test_a_target_that_is_no_version_is_refused(workplace: Workplace, text: str) -> None:
    message = refusal_of(workplace.release(target_version=text))
    assert "is not a version of the NMDC Schema" in message
    assert "The origin was not touched. The origin is not frozen: no release holds it." in message


def test_a_version_that_was_never_published_is_refused(workplace: Workplace) -> None:
    assert "There is no nmdc-schema 11.99.0 on the package index" in refusal_of(
        workplace.release(target_version="11.99")
    )


def test_an_older_target_is_refused(workplace: Workplace) -> None:
    message = refusal_of(workplace.release(target_version="11.22.0"))
    assert "conforms to 11.23.0, which is newer than 11.22.0" in message


def test_a_from_version_that_contradicts_the_ledger_is_refused(workplace: Workplace) -> None:
    assert "The ledger says that the database conforms to 11.23.0" in refusal_of(
        workplace.release(target_version="11.25", from_version="11.24")
    )


def test_an_empty_ledger_needs_from_version(workplace: Workplace, administrator: MongoClient[Any]) -> None:
    events = administrator[DATABASE]["_migration_events"]
    kept = list(events.find())
    events.delete_many({})
    try:
        assert "from_version" in refusal_of(workplace.release(target_version="11.25"))
    finally:
        events.insert_many(kept)


def test_an_unfinished_migration_in_the_ledger_is_named(workplace: Workplace, administrator: MongoClient[Any]) -> None:
    events = administrator[DATABASE]["_migration_events"]
    started = {
        "_id": "unfinished",
        "created_at": datetime.now(UTC).isoformat(),
        "event": "MIGRATION_STARTED",
        "from_schema_version": "11.23.0",
        "to_schema_version": "11.24.0",
        "migrator_module": "x",
    }
    events.insert_one(started)
    try:
        message = refusal_of(workplace.release(target_version="11.25"))
        assert "a migration from 11.23.0 to 11.24.0 was started" in message
    finally:
        events.delete_one({"_id": "unfinished"})


@contextmanager
def ledger_of(administrator: MongoClient[Any], newest: dict[str, Any], **options: Any) -> Iterator[None]:
    """The ledger with another newest event, and with other options of its collection."""
    events = administrator[DATABASE]["_migration_events"]
    kept = list(events.find())
    events.insert_one({"_id": "newest", **newest})
    try:
        if options:
            administrator[DATABASE].command("collMod", events.name, **options)
        yield
    finally:
        events.drop()
        events.insert_many(kept)


def completed(created_at: Any, version: Any) -> dict[str, Any]:
    return {
        "created_at": created_at,
        "event": "MIGRATION_COMPLETED",
        "from_schema_version": "11.21.0",
        "to_schema_version": version,
    }


def test_an_event_with_a_date_is_read_as_any_other(workplace: Workplace, administrator: MongoClient[Any]) -> None:
    with ledger_of(administrator, completed(datetime.now(UTC), "11.22.0")):
        message = refusal_of(workplace.release(target_version="11.21.0"))
    assert "conforms to 11.22.0, which is newer than 11.21.0" in message


def test_a_newest_event_that_does_not_say_the_version_is_named(
    workplace: Workplace, administrator: MongoClient[Any]
) -> None:
    with ledger_of(administrator, completed(datetime.now(UTC), 11.24)):
        message = refusal_of(workplace.release(target_version="11.25"))
        assert "newest event (MIGRATION_COMPLETED, from 11.21.0 to None, at 20" in message and "from_version" in message
        # Then the operator's word counts.
        message = refusal_of(workplace.release(target_version="11.22.0", from_version="11.23.0"))
        assert "conforms to 11.23.0, which is newer than 11.22.0" in message


def test_a_ledger_that_would_refuse_the_swap_s_events_is_refused_in_the_server_s_words(
    workplace: Workplace, administrator: MongoClient[Any]
) -> None:
    strict = {"$jsonSchema": {"required": ["author"]}}
    with ledger_of(administrator, completed("2000-01-01T00:00:00", "11.22.0"), validator=strict):
        message = refusal_of(workplace.release(target_version="11.25"))
    assert "The ledger of nmdc cannot be used: Document failed validation" in message and "author" in message


def test_a_plain_collection_in_the_place_of_the_ledger_s_view_is_named(
    workplace: Workplace, administrator: MongoClient[Any]
) -> None:
    database = administrator[DATABASE]
    view = database.list_collections(filter={"name": "_migration_latest_schema_version"}).next()["options"]
    database.drop_collection("_migration_latest_schema_version")
    database.create_collection("_migration_latest_schema_version")
    try:
        message = refusal_of(workplace.release(target_version="11.25"))
    finally:
        database.drop_collection("_migration_latest_schema_version")
        database.create_collection("_migration_latest_schema_version", **view)
    assert "_migration_latest_schema_version is a collection, and has to be a view of _migration_events" in message


def test_an_unreachable_origin_is_named_without_its_password(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nmdc_release_ops.mongo.server.connection.SELECTION_SECONDS", 1)
    monkeypatch.setenv("NMDC_ORIGIN_URI", "mongodb://operator:hunter2@127.0.0.1:9/?directConnection=true")
    message = refusal_of(workplace.release())
    assert "The origin at 127.0.0.1:9 did not answer" in message
    assert "hunter2" not in message


def test_a_wrong_password_is_told_from_an_unreachable_server(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NMDC_ORIGIN_URI", workplace.origin.server.uri_for("release_operator", "hunter2"))
    message = refusal_of(workplace.release())
    assert "refused the user or the password in NMDC_ORIGIN_URI" in message
    assert "hunter2" not in message


def test_a_uri_that_is_none_is_not_repeated(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NMDC_ORIGIN_URI", "operator:hunter2@somewhere")
    message = refusal_of(workplace.release())
    assert "NMDC_ORIGIN_URI is not a MongoDB connection string" in message
    assert "hunter2" not in message


def test_a_missing_uri_is_asked_for(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NMDC_ORIGIN_URI")
    assert "NMDC_ORIGIN_URI is not set" in refusal_of(workplace.release())


def test_a_user_without_the_privileges_is_told_which(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NMDC_ORIGIN_URI", workplace.origin.uri("nmdc_editor"))
    message = refusal_of(workplace.release())
    assert "setUserWriteBlockMode" in message and "docs/operator-role.md" in message


def test_a_database_that_does_not_exist_is_named(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NMDC_ORIGIN_DB", "nmdcc")
    assert "The origin has no database nmdcc" in refusal_of(workplace.release())


def test_an_origin_without_authorization_is_refused_unless_told(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with private_mongod(tmp_path, authentication=False) as server, MongoClient[Any](server.uri) as client:
        client[DATABASE].biosample_set.insert_one({"id": "one"})
        monkeypatch.setenv("NMDC_ORIGIN_URI", server.uri)
        assert "does not require authentication" in refusal_of(workplace.release(from_version="11.23.0"))
        logged = refusal_of(workplace.release(allow_without_authorization=True))
        assert "from_version" in logged and "authorization" not in logged


def test_a_standalone_server_is_refused(workplace: Workplace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [find_mongod(), "--dbpath", tmp_path, "--port", port, "--bind_ip", "127.0.0.1", "--nounixsocket"]
    server = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
    try:
        uri = f"mongodb://127.0.0.1:{port}/?directConnection=true"
        with MongoClient[Any](uri) as client:
            client[DATABASE].biosample_set.insert_one({"id": "one"})
        monkeypatch.setenv("NMDC_ORIGIN_URI", uri)
        message = refusal_of(workplace.release(from_version="11.23.0", allow_without_authorization=True))
    finally:
        server.terminate()
        server.wait()
    assert "The origin is a standalone. A release needs a replica set" in message


def test_another_release_in_progress_is_named(workplace: Workplace, administrator: MongoClient[Any]) -> None:
    with MongoClient[Any](workplace.origin.uri()) as operator:
        freeze_by_block(operator, "the-other-release", "the-other-run")
        try:
            message = refusal_of(workplace.release(target_version="11.25"))
        finally:
            thaw(operator, "the-other-release", "the-other-run")
    assert "Release the-other-release (run the-other-run" in message


def test_a_write_block_of_somebody_else_is_left_on(workplace: Workplace, administrator: MongoClient[Any]) -> None:
    administrator.admin.command({"setUserWriteBlockMode": 1, "global": True})
    try:
        message = refusal_of(workplace.release(target_version="11.25"))
        assert is_write_blocked(administrator) is True
    finally:
        administrator.admin.command({"setUserWriteBlockMode": 1, "global": False})
    assert "already blocked, and not by this project" in message


def test_a_capped_collection_is_refused_by_name(workplace: Workplace, administrator: MongoClient[Any]) -> None:
    manifests = administrator[DATABASE].manifest_set
    manifests.rename("aside_set")
    administrator[DATABASE].create_collection("manifest_set", capped=True, size=4096)
    try:
        message = refusal_of(workplace.release(target_version="11.25"))
    finally:
        administrator[DATABASE].manifest_set.drop()
        administrator[DATABASE].aside_set.rename("manifest_set")
    assert "manifest_set is a collection with the option capped" in message


def test_a_home_that_cannot_be_written_is_named(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NMDC_RELEASE_HOME", str(tmp_path / "file" / "home"))
    assert "cannot be written" in refusal_of(workplace.release(target_version="11.25"))


def test_too_little_disk_is_said_with_figures(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "nmdc_release_ops.resources.release_home.ReleaseHomeResource.free_bytes", lambda self: 100_000_000
    )
    message = refusal_of(workplace.release(target_version="11.25"))
    assert "has 100.0 MB free, and the release needs up to" in message


def test_an_unreachable_package_index_is_named(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NMDC_RELEASE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    assert "The package index could not be reached" in refusal_of(workplace.release())


def test_a_missing_mongod_for_the_transformer_is_found_out_before_the_freeze(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NMDC_TRANSFORMER_URI")
    monkeypatch.setenv("MONGOD", "/nowhere/mongod")
    assert "MONGOD is set to /nowhere/mongod" in refusal_of(workplace.release(target_version="11.25"))
