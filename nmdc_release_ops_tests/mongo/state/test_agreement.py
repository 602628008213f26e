"""The ledger, its view and the journals are compared without changing any of them."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from nmdc_release_ops.mongo.archive.restoring import ArchivedRelease, complete_restoring
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.state import ledger
from nmdc_release_ops.mongo.state.agreement import compare_ledger
from nmdc_release_ops.mongo.state.database import STATE_DATABASE
from nmdc_release_ops.mongo.state.journal import State, write_journal
from nmdc_release_ops.mongo.state.ledger import EVENTS, LATEST_VERSION, Event
from nmdc_release_ops.mongo.state.ledger_view import ensure_view
from nmdc_release_ops_tests.mongo.state.journals import journal_in


@pytest.fixture
def database(scratch_mongod: PrivateMongod) -> Iterator[Database[Any]]:
    with MongoClient[Any](scratch_mongod.uri) as client:
        for name in ("agreement", STATE_DATABASE):
            client.drop_database(name)
        yield client["agreement"]
        for name in ("agreement", STATE_DATABASE):
            client.drop_database(name)


def record(database: Database[Any], event: Event, release_id: str = "a-release") -> None:
    ledger.record(
        database, event, from_version="11.23.0", to_version="11.24.0", migrator_module="", release_id=release_id
    )


def swap(database: Database[Any], state: State) -> None:
    journal = journal_in(state, database=database.name, from_version="11.23.0", to_version="11.24.0")
    write_journal(database.client, journal)


def test_a_complete_release_agrees(database: Database[Any]) -> None:
    swap(database, State.SWAPPED)
    record(database, Event.STARTED)
    record(database, Event.COMPLETED)
    ensure_view(database)
    found = compare_ledger(database)
    assert (found.version, found.problem) == ("11.24.0", "")


def test_another_tools_later_migration_agrees(database: Database[Any]) -> None:
    swap(database, State.SWAPPED)
    record(database, Event.COMPLETED)
    record(database, Event.COMPLETED, "another-tool")
    ensure_view(database)
    assert compare_ledger(database).problem == ""


def test_an_empty_ledger_an_unfinished_migration_and_half_a_swap_are_named(database: Database[Any]) -> None:
    assert compare_ledger(database).problem == "The ledger of agreement is empty."
    record(database, Event.STARTED)
    assert "does not say which version" in compare_ledger(database).problem
    swap(database, State.SWAPPING)
    assert "was begun and is neither finished nor undone" in compare_ledger(database).problem


def test_an_event_that_somebody_removed_or_changed_is_missed(database: Database[Any]) -> None:
    swap(database, State.SWAPPED)
    record(database, Event.COMPLETED, "an-earlier-one")
    assert "has no event of release a-release" in compare_ledger(database).problem
    record(database, Event.ROLLED_BACK)
    assert "its newest event in the ledger says 11.23.0" in compare_ledger(database).problem


def test_a_view_that_shows_something_else_is_named(database: Database[Any]) -> None:
    record(database, Event.COMPLETED)
    assert f"The view {LATEST_VERSION} does not show 11.24.0" in compare_ledger(database).problem
    pipeline = [{"$project": {"_id": 0, "schema_version": "11.99.0"}}]
    database.create_collection(LATEST_VERSION, viewOn=EVENTS, pipeline=pipeline)
    assert f"The view {LATEST_VERSION} does not show 11.24.0" in compare_ledger(database).problem


def test_the_event_that_completes_a_restore_by_hand_makes_the_ledger_say_the_earlier_version(
    database: Database[Any],
) -> None:
    swap(database, State.SWAPPED)
    record(database, Event.COMPLETED)
    ensure_view(database)
    (_, (line,)), _ = complete_restoring(database.name, ArchivedRelease("11.23.0", "11.24.0"))
    (told,) = re.findall(r"new Date\(\)\.toISOString\(\), (.*)\}\)", line)
    # As JavaScript writes it.
    created_at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    database[EVENTS].insert_one({"created_at": created_at, **json.loads(f"{{{told}}}")})
    found = compare_ledger(database)
    assert (found.version, found.problem) == ("11.23.0", "")
