"""Somebody drops a collection in the middle of a swap or a rollback: neither leaves the origin frozen for good."""

from typing import Any

import pytest

from nmdc_release_ops.mongo.state.generations import PREVIOUS, STAGED
from nmdc_release_ops.mongo.state.journal import Journal, State, SwapBlocked
from nmdc_release_ops.mongo.swapping import rollback, swap
from nmdc_release_ops.mongo.swapping.displaced import find_displaced
from nmdc_release_ops.mongo.swapping.rollback import prepare_rollback
from nmdc_release_ops.mongo.swapping.undoing import RollbackImpossible, describe_accepted
from nmdc_release_ops_tests.mongo.swapping.prepared_swap import RUN, begin_swap, release, state_of, stopped_after


def stop_swap(origin: Any, transformer: Any, number: int) -> Journal:
    journal = begin_swap(origin, transformer)
    with stopped_after(swap, number):
        swap.perform_swap(origin, journal, RUN)
    return journal


def roll_back(origin: Any, journal: Journal, *lost: str) -> Journal:
    return rollback.perform_rollback(origin, prepare_rollback(origin, journal, RUN, accept_lost=lost), RUN)


BY_MOVES = pytest.mark.parametrize(("moves", "victim"), [(0, "changed_set"), (2, PREVIOUS + "changed_set")])


@BY_MOVES
def test_a_swap_goes_on_without_a_collection_that_was_only_to_be_kept(
    origin: Any, transformer: Any, moves: int, victim: str
) -> None:
    journal = stop_swap(origin, transformer, moves)
    origin[victim].drop()
    logged: list[str] = []
    done = swap.perform_swap(origin, journal, RUN, log=logged.append)
    assert done.state is State.SWAPPED
    assert origin.changed_set.find_one()["version"] == 2
    (line,) = logged
    assert line.startswith("Somebody dropped changed_set, which the release replaced or removed")
    assert "accept_lost" in line


@BY_MOVES
@pytest.mark.parametrize("loaded_by_hand", [False, True])
def test_a_swap_is_undone_without_a_collection_that_was_dropped(
    origin: Any, transformer: Any, moves: int, victim: str, loaded_by_hand: bool
) -> None:
    before = state_of(origin)
    journal = stop_swap(origin, transformer, moves)
    origin[victim].drop()
    with pytest.raises(RollbackImpossible, match=r"release_id: a-release, accept_lost: \[changed_set\]") as refused:
        roll_back(origin, journal)
    assert "The origin stays frozen." in str(refused.value)
    if loaded_by_hand:
        origin.changed_set.drop()
        origin.changed_set.insert_one({"_id": "by hand", "version": 1})
    done = roll_back(origin, journal, "changed_set")
    assert done.state is State.ROLLED_BACK and done.accepted_lost == ["changed_set"]
    assert {name: hashed for name, hashed in state_of(origin)[0].items() if name != "changed_set"} == {
        name: hashed for name, hashed in before[0].items() if name != "changed_set"
    }
    (found,) = origin.changed_set.find()
    assert found["version"] == (1 if loaded_by_hand else 2)
    (line,) = describe_accepted(origin, done)
    assert ("somebody created" if loaded_by_hand else "in the form of schema 2.0.0") in line
    assert not any("intruder" in name for name in origin.list_collection_names())
    assert find_displaced(origin) == []


def test_a_rollback_that_was_begun_goes_on_without_a_collection_that_was_dropped(origin: Any, transformer: Any) -> None:
    journal = release(origin, transformer)
    undoing = prepare_rollback(origin, journal, RUN)
    changed = next(number for number, move in enumerate(reversed(undoing.moves)) if move.target == "changed_set")
    with stopped_after(rollback, changed + 1):
        rollback.perform_rollback(origin, undoing, RUN)
    assert STAGED + "changed_set" in origin.list_collection_names()
    origin[PREVIOUS + "changed_set"].drop()
    with pytest.raises(RollbackImpossible, match=r"accept_lost: \[changed_set\]"):
        roll_back(origin, undoing)
    assert roll_back(origin, undoing, "changed_set").state is State.ROLLED_BACK
    assert origin.changed_set.find_one()["version"] == 2
    assert origin.moved_set.find_one()["version"] == 1
    assert find_displaced(origin) == []


def test_a_rollback_that_accepted_a_loss_and_stopped_is_finished_without_naming_it_again(
    origin: Any, transformer: Any
) -> None:
    journal = release(origin, transformer)
    origin[PREVIOUS + "gone_set"].drop()
    undoing = prepare_rollback(origin, journal, RUN, accept_lost=["gone_set"])
    with stopped_after(rollback, 1):
        rollback.perform_rollback(origin, undoing, RUN)
    done = roll_back(origin, undoing)
    assert done.accepted_lost == ["gone_set"]
    assert "no collection has its name" in describe_accepted(origin, done)[0]
    assert origin.changed_set.find_one()["version"] == 1


def test_what_is_not_lost_is_not_accepted_as_lost(origin: Any, transformer: Any) -> None:
    journal = release(origin, transformer)
    origin[PREVIOUS + "gone_set"].drop()
    after = state_of(origin)
    with pytest.raises(RollbackImpossible, match=r"accept_lost names changed_set, .*but gone_set was"):
        roll_back(origin, journal, "changed_set", "gone_set")
    assert state_of(origin) == after


def test_a_swap_that_cannot_go_on_without_a_dropped_collection_names_the_way_back(
    origin: Any, transformer: Any
) -> None:
    """Of a collection that is only renamed there is no other copy."""
    journal = stop_swap(origin, transformer, 0)
    origin.old_set.drop()
    with pytest.raises(SwapBlocked, match=r"old_set .*was dropped.* accept_lost"):
        swap.perform_swap(origin, journal, RUN)
    done = roll_back(origin, journal, "old_set")
    assert done.state is State.ROLLED_BACK
    assert "renamed_set" not in origin.list_collection_names()
