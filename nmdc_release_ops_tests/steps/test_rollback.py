"""The job `rollback`: after a release the database is, within a second, what it was before; and can be released again."""

import os
import subprocess
import sys
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.mongo.state import ledger
from nmdc_release_ops.mongo.state.journal import State, newest_journal, write_journal
from nmdc_release_ops.mongo.state.lease import current_lease, freezes_of
from nmdc_release_ops.mongo.state.step_report import Stage, read_reports
from nmdc_release_ops_tests.mongo.state.journals import journal_in
from nmdc_release_ops_tests.steps.origin_facts import look_at
from nmdc_release_ops_tests.workplace import Workplace, failure_of, workplace_fixture

workplace = workplace_fixture(scope="function", warm=True)


def roll_back(workplace: Workplace, **config: Any) -> dg.ExecuteInProcessResult:
    return defs.get_job_def("rollback").execute_in_process(
        run_config={"ops": {"roll_back": {"config": config}}}, instance=workplace.instance, raise_on_error=False
    )


def data_of(client: MongoClient[Any]) -> dict[str, Any]:
    """All that a release may change, but for the ledger, which grows."""
    facts = look_at(client)
    del facts["hashes"]["_migration_events"]
    return facts


def assert_writable(client: MongoClient[Any]) -> None:
    assert is_write_blocked(client) is False
    assert current_lease(client) is None


def log_of(workplace: Workplace, result: dg.ExecuteInProcessResult) -> str:
    return "\n".join(entry.message for entry in workplace.instance.all_logs(result.run_id))


def freeze_and_die(workplace: Workplace, release_id: str) -> None:
    program = """
import os, sys
from pymongo import MongoClient
from nmdc_release_ops_tests.mongo.blocking import freeze_by_block
freeze_by_block(MongoClient(os.environ["NMDC_ORIGIN_URI"]), sys.argv[1], "a-run-that-is-no-more")
os.kill(os.getpid(), 9)
"""
    environment = {**os.environ, **workplace.environment()}
    killed = subprocess.run([sys.executable, "-c", program, release_id], env=environment, check=False)
    assert killed.returncode == -9


def version(client: MongoClient[Any]) -> Any:
    return client[DATABASE]["_migration_latest_schema_version"].find_one()


def test_a_release_is_rolled_back_refused_for_writes_told_twice_and_released_again(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    nothing = failure_of(roll_back(workplace))
    assert "No release has swapped anything" in nothing[1].description
    before = data_of(client)
    assert workplace.release(target_version="11.25").success
    assert version(client) == {"schema_version": "11.25.0"}

    journal = newest_journal(client, DATABASE)
    assert journal is not None
    client[DATABASE].study_set.update_one({}, {"$set": {"description": "written after the release"}})
    _, refused = failure_of(roll_back(workplace))
    assert "study_set were written to since release" in refused.description
    assert "study_set (1 updated): set aside as _release.staged.study_set" in refused.description
    assert_writable(client)
    assert version(client) == {"schema_version": "11.25.0"}

    # The Launchpad offers the last config again: what was allowed for one release is not allowed for the next.
    _, unnamed = failure_of(roll_back(workplace, allow_writes_set_aside=True))
    assert "allow_writes_set_aside may be given only together with release_id" in unnamed.description
    _, unnamed = failure_of(roll_back(workplace, accept_lost=["study_set"]))
    assert "accept_lost may be given only together with release_id" in unnamed.description
    _, there = failure_of(roll_back(workplace, release_id=journal.release_id, accept_lost=["study_set"]))
    assert "accept_lost names study_set, and no such collection" in there.description
    assert_writable(client)
    client[DATABASE].instrument_set.insert_one({"_id": "x", "id": "nmdc:inst-99-x", "type": "nmdc:Instrument"})
    _, untouched = failure_of(roll_back(workplace, release_id=journal.release_id, allow_writes_set_aside=True))
    assert "instrument_set (1 inserted): left in place, in the form of schema 11.25.0" in untouched.description
    assert "allow_writes_left_in_place: true" in untouched.description
    client[DATABASE].instrument_set.delete_one({"_id": "x"})

    allowed = {"allow_writes_set_aside": True, "allow_writes_left_in_place": True}
    done = roll_back(workplace, release_id=journal.release_id, **allowed)
    assert done.success
    assert "This run sets allow_writes_set_aside: True (the default is False)" in log_of(workplace, done)
    assert "Written since the release: study_set (1 updated): set aside as _release.staged" in log_of(workplace, done)
    assert "frozen_origin_watchdog, has never run here" in log_of(workplace, done), "it is warned, and not refused"
    assert data_of(client) == before
    assert version(client) == {"schema_version": "11.23.0"}
    assert_writable(client)
    set_aside = client[DATABASE]["_release.staged.study_set"]
    assert set_aside.count_documents({"description": "written after the release"}) == 1
    (materialized,) = [
        event for event in done.all_events if event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION
    ]
    assert materialized.materialization.metadata["schema version"].value == "11.23.0"
    (output,) = [event for event in done.all_events if event.event_type is dg.DagsterEventType.STEP_OUTPUT]
    written = output.step_output_data.metadata["written since the release"].value.records
    assert [(one.data["collection"], one.data["now"]) for one in written] == [
        ("study_set", "set aside"),
        ("instrument_set", "left in place"),
    ]

    again = roll_back(workplace)
    assert again.success and "was already rolled back" in log_of(workplace, again)
    assert data_of(client) == before

    # As if it had been killed between its last line and its thaw.
    journal = newest_journal(client, DATABASE)
    assert journal is not None
    freeze_and_die(workplace, journal.release_id)
    assert is_write_blocked(client) is True
    assert roll_back(workplace).success
    assert_writable(client)

    with MongoClient[Any](workplace.origin.uri("nmdc_editor")) as editor:
        editor[DATABASE].study_set.update_one({}, {"$set": {"description": "written after the rollback"}})
    assert workplace.release(target_version="11.25").success
    assert version(client) == {"schema_version": "11.25.0"}
    assert client[DATABASE].study_set.count_documents({"description": "written after the rollback"}) == 1


def test_a_rollback_that_a_later_migration_forbids_locks_nobody_out_and_is_reported_as_failed(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    def migrate(from_version: str, to_version: str, release_id: str) -> None:
        ledger.record(
            client[DATABASE],
            ledger.Event.COMPLETED,
            from_version=from_version,
            to_version=to_version,
            migrator_module="",
            release_id=release_id,
        )

    write_journal(client, journal_in(State.SWAPPED))
    migrate("11.23.0", "11.25.0", "a-release")
    migrate("11.25.0", "11.26.0", "not ours")
    refused = roll_back(workplace)
    assert "of another migration, from 11.25.0 to 11.26.0" in failure_of(refused)[1].description
    assert freezes_of(client, "a-release") == []
    assert_writable(client)
    (report,) = read_reports(client, DATABASE)
    told = (report.run_id, report.job, report.step, report.stage, report.release_id)
    assert told == (refused.run_id, "rollback", "roll_back", Stage.FAILED, "a-release")
    (written,) = workplace.home.glob("metrics-*.prom")
    assert 'dagster_job="rollback",release="a-release",step="roll_back"} 1' in written.read_text()

    client[DATABASE]["_migration_events"].delete_one({"release_id": "not ours"})
    # Nothing was moved, and nobody knows what was written since.
    assert roll_back(workplace, release_id="a-release", allow_writes_left_in_place=True).success
    (report,) = read_reports(client, DATABASE)
    assert (report.step, report.stage) == ("roll_back", Stage.DONE)


@pytest.mark.faults
def test_while_it_is_rolled_back_only_the_operator_writes(
    workplace: Workplace, client: MongoClient[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from nmdc_release_ops.mongo.swapping import rollback

    assert workplace.release(target_version="11.25").success
    make = rollback.make
    seen: list[int | None] = []

    def make_while_others_try(database: Any, move: Any) -> None:
        with MongoClient[Any](workplace.origin.uri("nmdc_editor")) as editor:
            try:
                editor[DATABASE].jobs.insert_one({})
            except OperationFailure as error:
                seen.append(error.code)
            assert editor[DATABASE].jobs.find_one() is not None
        make(database, move)

    monkeypatch.setattr(rollback, "make", make_while_others_try)
    assert roll_back(workplace).success
    assert seen == [371] * 6  # UserWritesBlocked
    assert_writable(client)
