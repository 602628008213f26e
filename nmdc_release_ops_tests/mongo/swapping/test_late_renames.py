"""A holder is suspended between its look at the lease and a rename; another machine goes on in its place; the rename comes."""

from collections.abc import Callable
from typing import Any

import pytest

from nmdc_release_ops.mongo.preflight import inspect_collections
from nmdc_release_ops.mongo.server import renaming
from nmdc_release_ops.mongo.server.collections import find_names, list_collections
from nmdc_release_ops.mongo.server.topology import describe_server
from nmdc_release_ops.mongo.state.generations import PREVIOUS, is_ours
from nmdc_release_ops.mongo.state.journal import Journal, State, SwapBlocked, read_journal
from nmdc_release_ops.mongo.state.lease import LeaseLost, Strategy, current_lease, release_lease, take_lease
from nmdc_release_ops.mongo.swapping import carry_out, rollback, swap
from nmdc_release_ops.mongo.swapping import moves as moves_module
from nmdc_release_ops.mongo.swapping.carry_out import LateRename
from nmdc_release_ops.mongo.swapping.displaced import drop_staged, find_displaced, put_back_if_late
from nmdc_release_ops.mongo.swapping.since_release import WritesSinceRelease
from nmdc_release_ops_tests.mongo.swapping.prepared_swap import (
    RUN,
    begin_swap,
    migrate,
    prepare,
    release,
    stage_all,
    state_of,
)

OTHER = "a-run-on-another-machine"
Elsewhere = Callable[[Any, Any], None]


class Killed(BaseException):
    pass


def suspend(monkeypatch: pytest.MonkeyPatch, number: int, elsewhere: Callable[[], None]) -> None:
    """At rename `number` (from 0), after everything was looked at, let the other machine do its work first."""
    rename = renaming.rename_collection
    count = 0

    def rename_late(database: Any, uuid: Any, source: str, target: str) -> None:
        nonlocal count
        count += 1
        if count == number + 1:
            elsewhere()
        rename(database, uuid, source, target)

    monkeypatch.setattr(moves_module, "rename_collection", rename_late)


def take_over(origin: Any, release_id: str = "a-release") -> Journal:
    take_lease(origin.client, release_id, OTHER, Strategy.NONE)
    journal = read_journal(origin.client, release_id)
    assert journal is not None
    return journal


def give_back(origin: Any) -> None:
    held = current_lease(origin.client)
    assert held is not None
    release_lease(origin.client, held, "the test")


def roll_back(origin: Any, transformer: Any) -> None:
    journal = rollback.prepare_rollback(origin, take_over(origin), OTHER)
    rollback.perform_rollback(origin, journal, OTHER)
    give_back(origin)


def finish(origin: Any, transformer: Any) -> None:
    swap.perform_swap(origin, take_over(origin), OTHER)
    give_back(origin)


def places(origin: Any) -> dict[Any, str]:
    """Where everything is that is no ledger."""
    return {uuid: name for uuid, name in find_names(origin).items() if not name.startswith(("_migration", "system."))}


def count_renames(journal: Journal) -> int:
    return sum(move.target is not None for move in journal.moves)


@pytest.mark.parametrize(
    "elsewhere",
    [
        pytest.param(roll_back, id="was rolled back", marks=pytest.mark.faults),
        pytest.param(finish, id="was finished"),
    ],
)
def test_a_late_rename_of_a_swap_changes_nothing_in_the_end(
    origin: Any, transformer: Any, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = migrate(transformer)
    stage_all(transformer, origin, changes)
    for number in range(count_renames(prepare(origin, changes))):
        journal = begin_swap(origin, transformer, changes)
        seen: dict[str, Any] = {}

        def go_on(seen: dict[str, Any] = seen) -> None:
            elsewhere(origin, transformer)
            seen["places"] = places(origin)

        with monkeypatch.context() as patch:
            suspend(patch, number, go_on)
            with pytest.raises((LeaseLost, LateRename)):
                swap.perform_swap(origin, journal, RUN)
        assert places(origin) == seen["places"], f"suspended at rename {number}"
        found = read_journal(origin.client, "a-release")
        assert found is not None
        if found.state is State.SWAPPED:
            assert found.made == len(found.moves)
            roll_back(origin, transformer)


@pytest.mark.faults
def test_a_late_rename_of_a_rollback_changes_nothing_in_the_end(
    origin: Any, transformer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = migrate(transformer)

    def roll_back_and_swap_again() -> None:
        roll_back(origin, transformer)
        release(origin, transformer, changes)
        give_back(origin)

    release(origin, transformer, changes)
    give_back(origin)
    number = 0
    while True:
        take_lease(origin.client, "a-release", RUN, Strategy.NONE)
        journal = read_journal(origin.client, "a-release")
        assert journal is not None
        if number == count_renames(journal):
            break
        undoing = rollback.prepare_rollback(origin, journal, RUN)
        seen: dict[str, Any] = {}

        def go_on(seen: dict[str, Any] = seen) -> None:
            roll_back_and_swap_again()
            seen["places"] = places(origin)

        with monkeypatch.context() as patch:
            suspend(patch, number, go_on)
            with pytest.raises((LeaseLost, LateRename)):
                rollback.perform_rollback(origin, undoing, RUN)
        assert places(origin) == seen["places"], f"suspended at rename {number}"
        number += 1


def leave_a_late_rename(origin: Any, transformer: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The rename comes after a rollback, and the process is killed before it can look again."""
    changes = migrate(transformer)
    journal = begin_swap(origin, transformer, changes)

    def die(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        suspend(patch, 0, lambda: roll_back(origin, transformer))
        patch.setattr(carry_out, "put_back_if_late", die)
        with pytest.raises(Killed):
            swap.perform_swap(origin, journal, RUN)
    assert "changed_set" not in origin.list_collection_names()
    assert origin[PREVIOUS + "changed_set"].count_documents({}) == 1
    return changes


def test_a_late_rename_is_undone_and_raises_an_alarm(
    origin: Any, transformer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state_of(origin)
    journal = begin_swap(origin, transformer)
    suspend(monkeypatch, 0, lambda: roll_back(origin, transformer))
    with pytest.raises(
        LateRename, match=r"renamed changed_set to _release\.previous\.changed_set .* The rename was undone"
    ):
        swap.perform_swap(origin, journal, RUN)
    assert state_of(origin) == before


@pytest.mark.parametrize("written", [False, True], ids=["as it was", "people wrote to it"])
def test_a_new_collection_that_a_late_rename_made_live_is_found_and_put_back(
    origin: Any, transformer: Any, written: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state_of(origin)
    journal = begin_swap(origin, transformer)
    renames = [move.target for move in journal.moves if move.target is not None]

    def die(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        suspend(patch, renames.index("new_set"), lambda: roll_back(origin, transformer))
        patch.setattr(carry_out, "put_back_if_late", die)
        with pytest.raises(Killed):
            swap.perform_swap(origin, journal, RUN)
    assert origin.new_set.find_one()["version"] == 2
    server = describe_server(origin.client, origin.name)
    (problem,) = inspect_collections(origin.client, server, origin.name, ["changed_set"]).problems
    assert "_release.staged.new_set is called new_set" in problem
    journal = take_over(origin)
    if written:
        origin.new_set.insert_one({"_id": "written since"})
        with pytest.raises(WritesSinceRelease, match="new_set"):
            rollback.put_displaced_back(origin, journal, OTHER)
    rollback.put_displaced_back(origin, journal, OTHER, allow_writes_set_aside=written)
    assert state_of(origin) == before
    assert find_displaced(origin) == []


def test_what_an_operator_renamed_by_hand_is_not_taken_for_a_late_rename(origin: Any, transformer: Any) -> None:
    release(origin, transformer)
    origin[PREVIOUS + "gone_set"].rename("saved_set")
    origin.changed_set.drop()
    origin[PREVIOUS + "changed_set"].rename("changed_set")
    assert find_displaced(origin) == []


@pytest.mark.parametrize("made_anew", [False, True], ids=["the name is free", "people made it anew"])
def test_the_only_copy_is_never_dropped_and_rollback_puts_it_back(
    origin: Any, transformer: Any, made_anew: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state_of(origin)
    changes = leave_a_late_rename(origin, transformer, monkeypatch)
    if made_anew:
        origin.changed_set.insert_one({"_id": "written since", "version": 1})
    # No release begins, stages or swaps over it.
    server = describe_server(origin.client, origin.name)
    (problem,) = inspect_collections(origin.client, server, origin.name, ["changed_set"]).problems
    assert "changed_set is called _release.previous.changed_set" in problem
    drop_staged(origin)
    stage_all(transformer, origin, changes)
    with pytest.raises(SwapBlocked, match=r"changed_set is called _release\.previous\.changed_set"):
        prepare(origin, changes, "the-next-release")
    give_back(origin)
    journal = take_over(origin)
    if made_anew:
        with pytest.raises(WritesSinceRelease, match="changed_set"):
            rollback.put_displaced_back(origin, journal, OTHER)
    rollback.put_displaced_back(origin, journal, OTHER, allow_writes_set_aside=made_anew)
    assert state_of(origin) == before
    assert find_displaced(origin) == []
    aside = [name for name in origin.list_collection_names() if "intruder" in name]
    assert [origin[name].find_one()["_id"] for name in aside] == (["written since"] if made_anew else [])


def test_a_previous_collection_is_kept_while_nothing_is_live_in_its_place(origin: Any, transformer: Any) -> None:
    """Somebody dropped what the release brought: what it replaced is the only copy now."""
    changes = migrate(transformer)
    release(origin, transformer, changes)
    give_back(origin)
    origin.changed_set.drop()
    untouched = changes.model_copy(update={"changed": [], "created": [], "renamed": [], "deleted": []})
    swap.perform_swap(origin, prepare(origin, untouched, "the-next-release"), RUN)
    kept = [name for name in origin.list_collection_names() if is_ours(name)]
    assert kept == [PREVIOUS + "changed_set"]
    assert list_collections(origin, kept)[kept[0]].indexes[1]["name"] == "version_1"


def test_a_drop_that_comes_late_does_not_hit_the_next_generation(
    origin: Any, transformer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = migrate(transformer)
    release(origin, transformer, changes)
    give_back(origin)
    again = changes.model_copy(update={"created": [], "renamed": [], "deleted": []})
    journal = begin_swap(origin, transformer, again, "the-next-release")
    swapped_out = list_collections(origin)["changed_set"].uuid
    drop = renaming.drop_collection

    def drop_late(database: Any, uuid: Any, name: str) -> None:
        monkeypatch.setattr(moves_module, "drop_collection", drop)
        swap.perform_swap(origin, take_over(origin, "the-next-release"), OTHER)
        drop(database, uuid, name)

    monkeypatch.setattr(moves_module, "drop_collection", drop_late)
    with pytest.raises(LeaseLost):
        swap.perform_swap(origin, journal, RUN)
    assert list_collections(origin)[PREVIOUS + "changed_set"].uuid == swapped_out


def test_putting_back_what_another_run_has_put_back_already_is_no_alarm(origin: Any, transformer: Any) -> None:
    journal = begin_swap(origin, transformer)
    give_back(origin)
    roll_back(origin, transformer)
    for move in journal.moves:
        assert put_back_if_late(origin, move) == ""
