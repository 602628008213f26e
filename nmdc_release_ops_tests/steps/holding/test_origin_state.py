"""What is said of the origin when a step fails was looked up at that moment."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.mongo.difference.changes import ChangeSet
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod, private_mongod
from nmdc_release_ops.mongo.state.database import STATE_DATABASE
from nmdc_release_ops.mongo.state.journal import State, note_made, read_journal, write_journal
from nmdc_release_ops.mongo.state.lease import Strategy, take_lease
from nmdc_release_ops.mongo.swapping.swap import SwappedRelease, prepare_swap
from nmdc_release_ops.mongo.transfer.stage import STAGED, Staged
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.steps.holding.origin_state import look_up_origin, origin_lookup
from nmdc_release_ops.steps.shared.failures import explain_failures
from nmdc_release_ops_tests.mongo.blocking import freeze_by_block

DATABASE = "origin_state_test"
RELEASE, RUN = "a-release", "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def client(guarded_mongod: PrivateMongod, monkeypatch: pytest.MonkeyPatch) -> Iterator[MongoClient[Any]]:
    monkeypatch.setenv("NMDC_ORIGIN_URI", guarded_mongod.uri)
    monkeypatch.setenv("NMDC_ORIGIN_DB", DATABASE)
    with MongoClient[Any](guarded_mongod.uri) as found:
        yield found
        found.admin.command({"setUserWriteBlockMode": 1, "global": False})
        for name in (STATE_DATABASE, DATABASE):
            found.drop_database(name)


def message(release_id: str | None = RELEASE) -> str:
    return look_up_origin(OriginResource(), RUN, release_id)


def begin_swap(client: MongoClient[Any]) -> None:
    """Freeze, and write the journal of a swap of two moves."""
    freeze_by_block(client, RELEASE, RUN)
    database = client[DATABASE]
    for name in ("study_set", STAGED + "study_set"):
        database[name].insert_one({})
    uuid = next(iter(database.list_collections(filter={"name": STAGED + "study_set"})))["info"]["uuid"]
    staged = Staged(
        name="study_set",
        uuid=uuid.as_uuid() if hasattr(uuid, "as_uuid") else uuid,
        documents=1,
        indexes=1,
        hash="",
    )
    prepare_swap(
        database,
        ChangeSet(changed=["study_set"], created=[], renamed=[], deleted=[], untouched=[]),
        SwappedRelease(RELEASE, from_version="1.0.0", to_version="2.0.0", migrator_module=""),
        RUN,
        staged=[staged],
    )


def set_state(client: MongoClient[Any], state: State) -> None:
    journal = read_journal(client, RELEASE)
    assert journal is not None
    write_journal(client, journal.model_copy(update={"state": state}))


def test_an_origin_that_nobody_holds(client: MongoClient[Any]) -> None:
    assert message() == (
        "The origin is not frozen: no release holds it. No swap was begun. The origin's data are unchanged."
    )


def test_an_origin_that_this_run_froze(client: MongoClient[Any]) -> None:
    lease = freeze_by_block(client, RELEASE, RUN)
    assert message() == (
        f"The origin has been frozen by this run since {lease.frozen_at:%Y-%m-%d %H:%M:%S} UTC. No swap was begun. The "
        "origin's data are unchanged. This run thaws it now; its next log lines say so."
    )


def test_an_origin_that_is_just_being_frozen(client: MongoClient[Any]) -> None:
    take_lease(client, RELEASE, RUN, Strategy.WRITE_BLOCK)
    assert "freezing was begun and is not finished" in message()
    assert "This run thaws it now" in message()


def test_an_origin_that_another_run_holds(client: MongoClient[Any]) -> None:
    freeze_by_block(client, "another", "another-run")
    assert "The origin has been frozen by release another (run another-run, process" in message()
    assert "thaws it now" not in message()


def test_a_freeze_that_somebody_lifted(client: MongoClient[Any]) -> None:
    freeze_by_block(client, RELEASE, RUN)
    client.admin.command({"setUserWriteBlockMode": 1, "global": False})
    assert "somebody lifted the freeze: users can write to it" in message()


def test_a_block_that_is_nobody_s_release(client: MongoClient[Any]) -> None:
    client.admin.command({"setUserWriteBlockMode": 1, "global": True})
    assert "Writes to the origin are blocked, but no release holds it" in message()


@pytest.mark.parametrize(
    ("state", "logged", "action"),
    [
        (State.SWAPPING, "was begun: 1 of its 2 moves are on record as made", "Re-execute the run from failure"),
        (State.ROLLING_BACK, f"Undoing the swap of release {RELEASE} was begun", "Launch the job `rollback` to finish"),
    ],
)
def test_a_swap_that_is_under_way(client: MongoClient[Any], state: State, logged: str, action: str) -> None:
    begin_swap(client)
    journal = read_journal(client, RELEASE)
    assert journal is not None
    note_made(client, journal, 1)
    set_state(client, state)
    for part in ("The origin has been frozen by this run since", logged, "It stays frozen on purpose.", action):
        assert part in message()
    assert "thaws it now" not in message()
    client.admin.command({"setUserWriteBlockMode": 1, "global": False})
    assert (
        "somebody lifted the freeze" in message() and "stays frozen" not in message() and "Do it at once." in message()
    )
    # Somebody removed the lease too: that is told to every release, also to another one.
    client[STATE_DATABASE].freeze_lease.delete_many({})
    assert logged in message(None) and "Do it at once." in message(None)


def test_a_swap_that_is_complete(client: MongoClient[Any]) -> None:
    begin_swap(client)
    set_state(client, State.SWAPPED)
    assert (
        f"The swap of release {RELEASE} is complete: the database is at schema 2.0.0. This run thaws it now"
        in message()
    )
    thaw(client, RELEASE, RUN)
    assert message() == (
        "The origin is not frozen: no release holds it. "
        f"The swap of release {RELEASE} is complete: the database is at schema 2.0.0."
    )


def test_an_origin_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmdc_release_ops.mongo.server.connection.SELECTION_SECONDS", 1)
    origin = OriginResource()
    with private_mongod(tmp_path) as server:
        monkeypatch.setenv("NMDC_ORIGIN_URI", server.uri)
        with origin.connect() as connected:
            lease = freeze_by_block(connected.client, RELEASE, RUN, when_taken=origin.keep_beating)
        server.stop()
        assert message().startswith(
            "The origin does not answer, so its state cannot be determined. This run took its lease at "
        )
        assert f"{lease.taken_at:%H:%M:%S} UTC" in message() and "frozen_origin_watchdog" in message()
        assert "This run does not hold it." in look_up_origin(origin, "another-run")


class _Wrong(MongoError):
    pass


def failure_of(describe_state: Callable[[], str]) -> dg.Failure:
    with pytest.raises(dg.Failure) as raised, explain_failures(describe_state):
        raise _Wrong("What went wrong.")
    return raised.value


def test_the_state_stands_in_the_failure_and_in_its_metadata(client: MongoClient[Any]) -> None:
    freeze_by_block(client, RELEASE, RUN)
    failure = failure_of(origin_lookup(OriginResource(), RUN, RELEASE))
    assert str(failure.description).startswith("What went wrong.\n\nThe origin has been frozen by this run since")
    assert failure.metadata["origin"].value == message()


def test_a_state_that_cannot_be_looked_up_does_not_hide_what_went_wrong() -> None:
    def fail() -> str:
        raise KeyError("unforeseen")

    assert "What went wrong." in str(failure_of(fail).description)
    assert "could not be looked up (KeyError" in str(failure_of(fail).description)
