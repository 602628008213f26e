"""Somebody who bypasses the freeze makes collections anew under the names that a swap or a rollback needs."""

from collections.abc import Callable
from typing import Any

import pytest

from nmdc_release_ops.mongo.preflight import inspect_collections
from nmdc_release_ops.mongo.server import renaming
from nmdc_release_ops.mongo.server.topology import describe_server
from nmdc_release_ops.mongo.state.generations import INTRUDER, PREVIOUS, STAGED
from nmdc_release_ops.mongo.state.journal import Move, SwapBlocked, read_journal
from nmdc_release_ops.mongo.swapping import moves as moves_module
from nmdc_release_ops.mongo.swapping import rollback, swap
from nmdc_release_ops_tests.mongo.swapping.prepared_swap import (
    RUN,
    begin_swap,
    migrate,
    prepare,
    release,
    roll_back,
    stage_all,
    state_of,
)


def intrude(monkeypatch: pytest.MonkeyPatch, module: Any, moment: str) -> list[str]:
    """Insert a document under the name that a move needs, before each look at the names, or between the look and the rename;
    return the names."""
    made: list[str] = []
    make, rename = moves_module.make, renaming.rename_collection

    def insert(database: Any, target: str | None) -> None:
        if target is not None and target not in made:
            made.append(target)
            database[target].insert_one({"_id": "an intruder's", "version": 0})

    def make_after(database: Any, move: Move) -> None:
        insert(database, move.target)
        make(database, move)

    def rename_after(database: Any, uuid: Any, source: str, target: str) -> None:
        if not target.startswith(INTRUDER):
            insert(database, target)
        rename(database, uuid, source, target)

    if moment == "before the look":
        monkeypatch.setattr(module, "make", make_after)
    else:
        monkeypatch.setattr(moves_module, "rename_collection", rename_after)
    return made


@pytest.mark.parametrize("moment", ["before the look", "before the rename"])
def test_a_swap_moves_aside_what_was_made_under_a_name_that_it_needs(
    origin: Any, transformer: Any, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = begin_swap(origin, transformer)
    logged: list[str] = []
    made = intrude(monkeypatch, swap, moment)
    done = swap.perform_swap(origin, journal, RUN, log=logged.append)
    assert len(made) == len(journal.moves)
    assert origin.changed_set.find_one()["version"] == 2
    assert_kept(origin, made, done, logged)


@pytest.mark.parametrize("moment", ["before the look", "before the rename"])
def test_a_rollback_moves_aside_what_was_made_under_a_name_that_it_needs(
    origin: Any, transformer: Any, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state_of(origin)
    journal = release(origin, transformer)
    logged: list[str] = []
    made = intrude(monkeypatch, rollback, moment)
    done = rollback.perform_rollback(origin, rollback.prepare_rollback(origin, journal, RUN), RUN, log=logged.append)
    assert len(made) == len(journal.moves)
    assert state_of(origin) == before
    assert_kept(origin, made, done, logged)


def assert_kept(origin: Any, made: list[str], journal: Any, logged: list[str]) -> None:
    """Each has a name of its own, with its document; the journal and the operator know."""
    assert [intruder.name for intruder in journal.intruders] == made
    assert read_journal(origin.client, journal.release_id) == journal
    for number, (intruder, line) in enumerate(zip(journal.intruders, logged, strict=True), start=1):
        live = intruder.name.removeprefix(STAGED).removeprefix(PREVIOUS)
        assert intruder.kept_as == f"{INTRUDER}{number}.{live}"
        assert [one["_id"] for one in origin[intruder.kept_as].find()] == ["an intruder's"]
        assert intruder.kept_as in line and "1 documents" in line


def test_a_swap_that_was_blocked_by_a_new_live_collection_can_be_undone_instead(
    origin: Any, transformer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state_of(origin)
    journal = begin_swap(origin, transformer)

    def stop_after_the_first(database: Any, move: Move) -> None:
        moves_module.make(database, move)
        database.changed_set.insert_one({"_id": "an intruder's", "version": 0})
        raise ConnectionError

    monkeypatch.setattr(swap, "make", stop_after_the_first)
    with pytest.raises(ConnectionError):
        swap.perform_swap(origin, journal, RUN)
    done = roll_back(origin)
    assert state_of(origin) == before
    assert origin[done.intruders[0].kept_as].find_one()["_id"] == "an intruder's"


def test_a_later_release_finds_another_number(origin: Any, transformer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    origin[f"{INTRUDER}1.some_set"].insert_one({"_id": "of an earlier release"})
    journal = begin_swap(origin, transformer)
    intrude(monkeypatch, swap, "before the look")
    done = swap.perform_swap(origin, journal, RUN)
    assert done.intruders[0].kept_as.startswith(f"{INTRUDER}2.")


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda found: found.command("create", "new_set", viewOn="kept_set", pipeline=[]), "view"),
        (lambda found: found.command("create", "new_set", timeseries={"timeField": "t"}), "timeseries"),
    ],
    ids=["view", "timeseries"],
)
def test_what_cannot_be_renamed_is_named_and_can_be_removed_by_hand(
    origin: Any, transformer: Any, make: Callable[[Any], None], what: str
) -> None:
    journal = begin_swap(origin, transformer)
    make(origin)
    with pytest.raises(SwapBlocked, match=f"created a {what} under the name new_set"):
        swap.perform_swap(origin, journal, RUN)
    origin.new_set.drop()
    swap.perform_swap(origin, journal, RUN)
    assert origin.new_set.find_one()["version"] == 2


@pytest.mark.parametrize("what", ["view", "timeseries"])
def test_a_view_under_a_name_that_is_needed_is_found_before_anything_is_renamed(
    origin: Any, transformer: Any, what: str
) -> None:
    def make(name: str) -> None:
        options = {"viewOn": "kept_set", "pipeline": []} if what == "view" else {"timeseries": {"timeField": "t"}}
        origin.command("create", name, **options)

    changes = migrate(transformer)
    stage_all(transformer, origin, changes)
    make(PREVIOUS + "changed_set")
    server = describe_server(origin.client, origin.name)
    (problem,) = inspect_collections(origin.client, server, origin.name, ["changed_set"]).problems
    assert problem.startswith(f"{PREVIOUS}changed_set is a {what}, which cannot be renamed")
    with pytest.raises(SwapBlocked, match=f"changed_set is a {what}.* Nothing was swapped"):
        prepare(origin, changes)
    assert read_journal(origin.client, "a-release") is None
    origin[PREVIOUS + "changed_set"].drop()
    journal = swap.perform_swap(origin, prepare(origin, changes), RUN)
    make("gone_set")
    with pytest.raises(SwapBlocked, match=f"gone_set is a {what}.* Nothing was renamed"):
        rollback.prepare_rollback(origin, journal, RUN)
    assert read_journal(origin.client, "a-release") == journal
