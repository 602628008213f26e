"""The status says what has to be done now: neither what is over already, nor "wait" where nobody works."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from nmdc_release_ops.mongo.freezing.freeze import freeze
from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.collections import find_names
from nmdc_release_ops.mongo.state import ledger
from nmdc_release_ops.mongo.state.database import STATE_DATABASE
from nmdc_release_ops.mongo.state.journal import Journal, Move, State, write_journal
from nmdc_release_ops.mongo.state.lease import LEASE, Strategy, begin_thaw, current_lease
from nmdc_release_ops.mongo.state.ledger import Event
from nmdc_release_ops.mongo.state.ledger_view import ensure_view
from nmdc_release_ops.mongo.state.step_report import STATUS, Stage, write_report
from nmdc_release_ops.status.advice import Urgency
from nmdc_release_ops.status.metrics import collect
from nmdc_release_ops.status.report import StatusReport, read_status
from nmdc_release_ops_tests.mongo.state.journals import journal_in
from nmdc_release_ops_tests.mongo.state.reports import report_of

DATABASE = "report_test"
FAILED = report_of(
    "restore",
    database=DATABASE,
    stage=Stage.FAILED,
)
REHEARSED = FAILED.model_copy(
    update={
        "is_rehearsal": True,
        "release_id": "a-rehearsal",
        "run_id": "its-run",
        "job": "rehearsal",
        "step": "migrate",
    }
)


@pytest.fixture
def database(guarded_mongod: PrivateMongod) -> Iterator[Database[Any]]:
    with MongoClient[Any](guarded_mongod.uri) as client:
        yield client[DATABASE]
        for name in (DATABASE, STATE_DATABASE):
            client.drop_database(name)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def look(database: Database[Any], home: Path) -> StatusReport:
    return read_status(database, "mongodb://127.0.0.1", home, None)


def metrics(database: Database[Any], home: Path) -> dict[str, float]:
    return {one.name: one.value for one in collect(database, home)}


def end(database: Database[Any], state: State, minutes: int, **fields: Any) -> Journal:
    """The journal of a release that was swapped in, or rolled back, so many minutes from now."""
    moment = datetime.now(UTC) + timedelta(minutes=minutes)
    name = "swapped_at" if state is State.SWAPPED else "rolled_back_at"
    journal = journal_in(state, database=DATABASE).model_copy(update={"swapped_at": None, name: moment, **fields})
    write_journal(database.client, journal)
    return journal


def record(database: Database[Any], event: Event, release_id: str = "a-release") -> None:
    ledger.record(
        database, event, from_version="11.23.0", to_version="11.25.0", migrator_module="", release_id=release_id
    )
    ensure_view(database)


def silence(database: Database[Any], minutes: int) -> None:
    moment = datetime.now(UTC) - timedelta(minutes=minutes)
    database.client[STATE_DATABASE][STATUS].update_many({}, {"$set": {"updated_at": moment}})


@pytest.mark.parametrize("state", [State.ROLLED_BACK, State.SWAPPED], ids=["a rollback", "a later release"])
def test_a_failure_is_over_when_something_succeeded_since_and_not_before(
    database: Database[Any], home: Path, state: State
) -> None:
    event = Event.ROLLED_BACK if state is State.ROLLED_BACK else Event.COMPLETED
    for report in (FAILED, REHEARSED):
        write_report(database.client, report)
    end(database, state, minutes=-1)
    record(database, event)
    found = look(database, home)
    assert "Run a-run failed in `restore`" in found.next.says
    assert metrics(database, home)["step_failed"] == 1
    end(database, state, minutes=+1)
    found = look(database, home)
    assert found.working == [] and "failed" not in found.next.says
    assert "step_failed" not in metrics(database, home)


def test_a_rehearsal_that_succeeds_ends_the_failure_of_an_earlier_release(database: Database[Any], home: Path) -> None:
    write_report(database.client, FAILED)
    write_report(database.client, REHEARSED.model_copy(update={"stage": Stage.DONE}))
    assert "Run a-run failed" in look(database, home).next.says
    write_report(database.client, REHEARSED.model_copy(update={"step": "validate", "stage": Stage.DONE}))
    assert "failed" not in look(database, home).next.says


def test_while_a_run_works_without_holding_the_origin_it_is_waited_for_until_it_falls_silent(
    database: Database[Any], home: Path
) -> None:
    write_report(database.client, FAILED.model_copy(update={"stage": Stage.WORKING, "step": "catch_up"}))
    found = look(database, home)
    assert found.next.urgency is Urgency.WAIT and "run a-run (data_release)" in found.next.says
    silence(database, minutes=10)
    found = look(database, home)
    assert found.next.urgency is Urgency.NOTHING
    assert "Run a-run has not reported from `catch_up` for 10 min" in found.next.says


def test_a_thaw_that_does_not_succeed_is_nothing_to_wait_for_however_often_it_is_tried(
    database: Database[Any], home: Path
) -> None:
    client = database.client
    freeze(client, "a-release", "a-run", Strategy.WRITE_BLOCK, database=DATABASE, drain_timeout=10)
    try:
        lease = current_lease(client)
        assert lease is not None and begin_thaw(client, lease) is not None
        assert look(database, home).next.urgency is Urgency.WAIT
        long_ago = datetime.now(UTC) - timedelta(seconds=90)
        client[STATE_DATABASE][LEASE].update_one({}, {"$set": {"thawing_since": long_ago}})
        again = current_lease(client)
        assert again is not None and begin_thaw(client, again) is not None
        found = look(database, home)
    finally:
        thaw(client, "a-release", thawed_by="the test")
    assert found.next.urgency is Urgency.ACT
    assert "without success" in found.next.says and "launch the job `unfreeze`" in found.next.says
    assert found.hold is not None and found.hold.seconds_thawing is not None and found.hold.seconds_thawing >= 90


def test_a_collection_that_is_not_where_it_should_be_is_named_and_counted(database: Database[Any], home: Path) -> None:
    previous = "_release.previous.study_set"
    database[previous].insert_one({"_id": 1})
    (uuid,) = (uuid for uuid, name in find_names(database).items() if name == previous)
    move = Move(uuid=uuid, source="study_set", target=previous)
    end(database, State.ROLLED_BACK, minutes=-1, moves=[move])
    record(database, Event.ROLLED_BACK)
    found = look(database, home)
    assert found.next.urgency is Urgency.ACT
    assert f"The collection study_set is called {previous}" in found.warnings[0]
    assert metrics(database, home)["displaced_collections"] == 1
    database[previous].rename("study_set")
    assert look(database, home).next.urgency is Urgency.NOTHING
    assert metrics(database, home)["displaced_collections"] == 0


def test_what_others_did_to_the_ledger_is_said_and_no_rollback_is_offered_that_would_refuse(
    database: Database[Any], home: Path
) -> None:
    end(database, State.SWAPPED, minutes=-1)
    record(database, Event.COMPLETED)
    found = look(database, home)
    assert (found.next.urgency, found.warnings, found.rollback.is_possible) == (Urgency.NOTHING, [], True)
    record(database, Event.COMPLETED, "the-runtime-s-own")
    found = look(database, home)
    assert not found.rollback.is_possible
    assert "the ledger's newest event is of another migration, from 11.23.0 to 11.25.0" in found.rollback.says
    record(database, Event.STARTED, "the-runtime-s-own")
    found = look(database, home)
    assert found.next.urgency is Urgency.ACT and "ledger" in found.next.says
    assert "does not say which version the database conforms to" in found.warnings[0]
