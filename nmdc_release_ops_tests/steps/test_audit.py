"""An audit finds bad data weeks before a release does, while everybody works, and says what is new."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from bson import ObjectId
from pymongo import MongoClient

from nmdc_release_ops.catalog import CONFORMS_TO_SCHEMA, DATABASE, IDS_UNIQUE, REFERENCES_RESOLVE
from nmdc_release_ops.definitions import defs
from nmdc_release_ops.demo.origin import DATABASE as NMDC
from nmdc_release_ops.files import lock
from nmdc_release_ops.mongo.freezing.freeze import freeze
from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.state.database import STATE_DATABASE
from nmdc_release_ops.mongo.state.lease import Strategy, current_lease
from nmdc_release_ops.mongo.transfer.throttle import Throttle
from nmdc_release_ops.steps.shared.failures import WorkerDied
from nmdc_release_ops_tests.prepared_release import BEFORE
from nmdc_release_ops_tests.sent_commands import Command, on_each_command, sent_commands
from nmdc_release_ops_tests.services.webhook_server import LoopbackWebhook, loopback_webhook
from nmdc_release_ops_tests.steps.checks import evaluations, execute_checks
from nmdc_release_ops_tests.workplace import Workplace, failure_of, untouched, workplace_fixture

workplace = workplace_fixture(scale=300, warm=True)


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackWebhook]:
    with loopback_webhook() as found:
        monkeypatch.setenv("NMDC_NOTICE_WEBHOOK", found.address)
        yield found


@pytest.fixture(scope="module")
def sound(workplace: Workplace) -> None:
    """There was an audit, and it found nothing."""
    shown = audit(workplace)
    assert shown["violations"] == 0, shown


def launch(workplace: Workplace, **config: Any) -> dg.ExecuteInProcessResult:
    return defs.get_job_def("audit").execute_in_process(
        run_config={"ops": {"audit_origin": {"config": config}}}, instance=workplace.instance, raise_on_error=False
    )


def audit(workplace: Workplace, **config: Any) -> dict[str, Any]:
    """What the run page of an audit shows."""
    return shown_by(launch(workplace, **config))


def shown_by(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    assert result.success, failure_of(result)
    (output,) = (event.step_output_data for event in result.all_node_events if event.is_successful_output)
    return {name: value.value for name, value in output.metadata.items()}


def audits(workplace: Workplace) -> Path:
    (folder,) = workplace.home.glob("origins/*/audits")
    return folder


@contextmanager
def damaged(client: MongoClient[Any], collection: str, change: dict[str, Any]) -> Iterator[str]:
    """Somebody damages a document by hand, and corrects it in the end; its id is yielded."""
    documents = client[NMDC][collection]
    document = documents.find_one(sort=[("id", 1)])
    assert document is not None
    documents.update_one({"_id": document["_id"]}, {"$set": change})
    try:
        yield str(document["id"])
    finally:
        documents.replace_one({"_id": document["_id"]}, document)


def test_a_document_damaged_by_hand_is_found_by_name_and_is_not_new_again(
    workplace: Workplace, client: MongoClient[Any], webhook: LoopbackWebhook, sound: None
) -> None:
    with damaged(client, "study_set", {"study_category": "no such category"}) as study:
        found = audit(workplace)
        assert found["new violations"] == found["documents with new violations"] == 1
        (row,) = (record.data for record in found["the first new ones"].records)
        assert (row["collection"], row["id"]) == ("study_set", study)
        assert "no such category" in row["message"]
        assert study in Path(found["all new ones"]).read_text()
        again = audit(workplace)
        assert (again["violations"], again["new violations"]) == (1, 0)
        assert "none is new since the last audit" in again["audit"]
        with damaged(client, "biosample_set", {"depth": "deep"}) as biosample:
            more = audit(workplace)
        assert {record.data["id"] for record in more["the first new ones"].records} == {biosample}
    corrected = audit(workplace)
    assert (corrected["violations"], corrected["new violations"]) == (0, 0)
    assert corrected["gone since the last audit"] == more["violations"] > 1
    assert len(webhook.texts) == 2, "one for each audit that found something new"
    assert study in webhook.texts[0] and BEFORE in webhook.texts[0]
    assert biosample in webhook.texts[1]


def test_an_audit_changes_no_data_and_locks_nobody(workplace: Workplace, client: MongoClient[Any]) -> None:
    port = client.address and client.address[1]
    with untouched(client):
        with sent_commands() as sent:
            assert launch(workplace).success
        ours = {(one.database, one.name) for one in sent if one.port == port}
    allowed = {"find", "getMore", "aggregate", "listCollections", "listIndexes", "killCursors", "collStats", "dbStats"}
    assert {name for database, name in ours if database == NMDC} <= allowed
    forbidden = {"dbHash", "setUserWriteBlockMode", "fsync", "insert", "update", "delete", "findAndModify"}
    # A counter of the project's own, which marks the moment that is read.
    assert {(database, name) for database, name in ours if name in forbidden} == {(STATE_DATABASE, "update")}


def test_an_audit_may_run_while_a_release_holds_the_origin(
    workplace: Workplace, client: MongoClient[Any], sound: None
) -> None:
    freeze(client, "another", "a-run", Strategy.WRITE_BLOCK, database=NMDC, drain_timeout=10)
    try:
        found = audit(workplace)
        lease = current_lease(client)
    finally:
        thaw(client, "another", thawed_by="a-run")
    assert found["violations"] == 0
    assert lease is not None and lease.release_id == "another"


def test_two_audits_of_one_database_do_not_work_at_once(workplace: Workplace, sound: None) -> None:
    with lock(audits(workplace) / "work"):
        step, failure = failure_of(launch(workplace))
    assert step == "audit_origin"
    assert "Another audit of this database is at work. This one did nothing." in str(failure.description)
    assert audit(workplace)["violations"] == 0


def test_no_archive_is_left_and_what_a_killed_audit_left_is_removed(workplace: Workplace, sound: None) -> None:
    folder = audits(workplace)
    (folder / "work" / "archive.partial").mkdir(parents=True)
    (folder / "work" / "archive.partial" / "half").write_bytes(b"half")
    found = audit(workplace)
    kept = Path(found["all of them"]).parent
    assert not (folder / "work").exists()
    assert {path.name for path in kept.iterdir()} == {
        *("violations.jsonl", "violations.sha256", "new.jsonl", "validation.json", "validation.html")
    }


def test_what_nobody_could_be_told_of_is_new_in_the_next_audit_too(
    workplace: Workplace, client: MongoClient[Any], sound: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with damaged(client, "study_set", {"study_category": "no such category"}) as study:
        # Nobody listens there.
        monkeypatch.setenv("NMDC_NOTICE_WEBHOOK", "http://127.0.0.1:9/")
        assert audit(workplace)["new violations"] == 1
        with loopback_webhook() as webhook:
            monkeypatch.setenv("NMDC_NOTICE_WEBHOOK", webhook.address)
            assert audit(workplace)["new violations"] == 1
            assert audit(workplace)["new violations"] == 0
            (notice,) = webhook.texts
    assert study in notice


def test_a_damaged_report_of_the_last_audit_is_passed_over(workplace: Workplace, client: MongoClient[Any]) -> None:
    assert audit(workplace)["violations"] == 0
    with damaged(client, "study_set", {"study_category": "no such category"}):
        audit(workplace)
        last = max(audits(workplace).glob("*Z-*"))
        (last / "violations.jsonl").write_bytes(b'{"collection": "stu')
        result = launch(workplace)
    # Compared with the one before, which had found nothing.
    assert shown_by(result)["new violations"] == 1
    lines = [entry.user_message for entry in workplace.instance.all_logs(result.run_id)]
    assert any(f"{last / 'violations.jsonl'} is damaged." in line for line in lines)


def test_a_release_during_an_audit_is_noticed(workplace: Workplace, client: MongoClient[Any], sound: None) -> None:
    events = client[NMDC]["_migration_events"]
    release = {
        "created_at": "2099-01-01T00:00:00+00:00",
        "event": "MIGRATION_COMPLETED",
        "from_schema_version": BEFORE,
        "to_schema_version": "11.24.0",
    }
    made: list[Any] = []

    def swap_once(command: Command) -> None:
        if command.name == "find" and command.content["find"] == "biosample_set" and not made:
            made.append(None)
            made[0] = events.insert_one(release).inserted_id

    before = sorted(audits(workplace).iterdir())
    with on_each_command(swap_once):
        result = launch(workplace)
    events.delete_one({"_id": made[0]})
    _, failure = failure_of(result)
    assert f"it was at schema {BEFORE}, and is at 11.24.0. Nothing was judged" in str(failure.description)
    assert sorted(audits(workplace).iterdir()) == before, "the next audit compares with the last that was complete"


def test_the_checks_say_how_many_violations_of_their_kind_there_are(
    workplace: Workplace, client: MongoClient[Any], sound: None
) -> None:
    studies = client[NMDC]["study_set"]
    studies.drop_index("id_1")
    study = studies.find_one()
    assert study is not None
    copy = studies.insert_one({**study, "_id": ObjectId()}).inserted_id
    try:
        with damaged(client, "biosample_set", {"associated_studies": ["nmdc:sty-11-nowhere"]}):
            result = launch(workplace)
    finally:
        studies.delete_one({"_id": copy})
        studies.create_index("id", unique=True)
    found = evaluations(workplace, result.run_id)
    assert {name: one.passed for name, one in found.items()} == {
        CONFORMS_TO_SCHEMA: True,
        REFERENCES_RESOLVE: False,
        IDS_UNIQUE: False,
    }
    assert "1 dangling reference" in str(found[REFERENCES_RESOLVE].description)
    (record,) = workplace.instance.fetch_observations(DATABASE, limit=1).records
    assert record.asset_observation is not None
    assert record.asset_observation.metadata["violations"].value == 2


def test_a_check_that_is_executed_by_itself_is_an_audit_and_one_pass_answers_all(
    workplace: Workplace, client: MongoClient[Any], sound: None
) -> None:
    before = set(audits(workplace).glob("*Z-*"))
    with damaged(client, "study_set", {"study_category": "no such category"}), untouched(client):
        (alone,) = execute_checks(workplace, CONFORMS_TO_SCHEMA).values()
        assert not alone.passed
        found = execute_checks(workplace, CONFORMS_TO_SCHEMA, REFERENCES_RESOLVE, IDS_UNIQUE)
    assert {name: one.passed for name, one in found.items()} == {
        CONFORMS_TO_SCHEMA: False,
        REFERENCES_RESOLVE: True,
        IDS_UNIQUE: True,
    }
    assert found[CONFORMS_TO_SCHEMA].severity is dg.AssetCheckSeverity.ERROR
    assert len(set(audits(workplace).glob("*Z-*")) - before) == 2


def test_documents_that_nobody_wrote_since_the_last_audit_are_not_judged_again(
    workplace: Workplace, client: MongoClient[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def settled() -> dict[str, Any]:
        """The next audit but one: what was written while an audit read, or just before, comes at the end of its archive, and in
        its place in the next."""
        audit(workplace)
        return audit(workplace)

    audit(workplace)
    again = settled()
    assert again["documents judged anew"] == 0 and again["documents"] > 250
    with damaged(client, "study_set", {"study_category": "no such category"}):
        found = audit(workplace)
        assert (found["violations"], found["new violations"]) == (1, 1)
        assert 0 < found["documents judged anew"] < found["documents"]
        kept = settled()
    assert (kept["violations"], kept["new violations"], kept["documents judged anew"]) == (1, 0, 0)
    monkeypatch.setattr("nmdc_release_ops.steps.judging.auditing.digest_judging", lambda *_: "another")
    other = audit(workplace)
    assert other["documents judged anew"] == other["documents"], "another schema, or another code, judges"
    assert [path.name for path in (audits(workplace) / "verdicts").iterdir()] == ["another"]


def test_an_audit_that_fails_leaves_the_verdicts_of_the_last_one(workplace: Workplace, sound: None) -> None:
    audit(workplace)

    def list_verdicts() -> dict[str, int]:
        return {path.name: path.stat().st_ino for path in audits(workplace).glob("verdicts/*/*")}

    before = list_verdicts()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nmdc_release_ops.steps.judging.auditing.require_summary", _worker_died)
        failure_of(launch(workplace))
    assert before and list_verdicts() == before


def _worker_died(*_: Any) -> Any:
    raise WorkerDied("The validating process ended.")


def test_a_throttled_audit_reads_the_same(workplace: Workplace, sound: None) -> None:
    assert audit(workplace, documents_per_second=2_000)["violations"] == 0


def test_the_environment_limits_how_fast_audits_read_unless_the_run_says_otherwise(
    workplace: Workplace, client: MongoClient[Any], sound: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []

    class Noted(Throttle):
        def __init__(self, documents_per_second: float) -> None:
            rates.append(documents_per_second)
            super().__init__(documents_per_second)

    monkeypatch.setattr("nmdc_release_ops.steps.judging.auditing.Throttle", Noted)
    monkeypatch.setenv("NMDC_AUDIT_DOCUMENTS_PER_SECOND", "3000")
    audit(workplace)
    execute_checks(workplace, CONFORMS_TO_SCHEMA)
    audit(workplace, documents_per_second=9_000)
    assert rates == [3_000, 3_000, 9_000]
    monkeypatch.setenv("NMDC_AUDIT_DOCUMENTS_PER_SECOND", "fast")
    _, failure = failure_of(launch(workplace))
    assert "NMDC_AUDIT_DOCUMENTS_PER_SECOND is 'fast'. It is a number of documents" in str(failure.description)


def test_an_audit_of_a_database_whose_version_nobody_knows_refuses(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    events = client[NMDC]["_migration_events"]
    kept = list(events.find())
    events.delete_many({})
    try:
        _, failure = failure_of(launch(workplace))
    finally:
        events.insert_many(kept)
    assert "does not say which version of the schema" in str(failure.description)
