"""What somebody who bypasses the freeze writes while a swap is going on, or has stopped half way, is not lost silently."""

from typing import Any

import pytest

from nmdc_release_ops.mongo.freezing.strategy import FreezeFailed
from nmdc_release_ops.mongo.state.database import STATE_DATABASE
from nmdc_release_ops.mongo.state.generations import PREVIOUS, STAGED
from nmdc_release_ops.mongo.state.journal import Journal, Move, SwapBlocked, read_journal
from nmdc_release_ops.mongo.state.lease import Strategy
from nmdc_release_ops.mongo.state.written import Fate
from nmdc_release_ops.mongo.swapping import moves as moves_module
from nmdc_release_ops.mongo.swapping import rollback, swap
from nmdc_release_ops.mongo.swapping.since_release import WritesSinceRelease
from nmdc_release_ops_tests.mongo.swapping.prepared_swap import (
    RUN,
    begin_swap,
    release,
    roll_back,
    state_of,
    stopped_after,
)


def half_swap(origin: Any, transformer: Any, moves: int) -> Journal:
    journal = begin_swap(origin, transformer)
    with stopped_after(swap, moves):
        swap.perform_swap(origin, journal, RUN)
    return journal


@pytest.mark.parametrize(("moves", "name"), [(0, "changed_set"), (2, "gone_set"), (2, "moved_set")])
def test_a_resumed_swap_refuses_where_what_it_would_swap_out_was_written_to(
    origin: Any, transformer: Any, moves: int, name: str
) -> None:
    journal = half_swap(origin, transformer, moves)
    origin[name].insert_one({"_id": "acknowledged", "version": 1})
    with pytest.raises(SwapBlocked, match=f"{name} was written to since the swap .* launch `rollback`"):
        swap.perform_swap(origin, journal, RUN)
    roll_back(origin)
    assert origin[name].find_one("acknowledged") is not None


def test_a_write_just_before_the_rename_is_told_when_the_swap_is_over(
    origin: Any, transformer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = begin_swap(origin, transformer)
    make = moves_module.make

    def write_and_make(database: Any, move: Move) -> None:
        if move.source == "changed_set":
            database.changed_set.insert_one({"_id": "acknowledged", "version": 1})
        make(database, move)

    monkeypatch.setattr(swap, "make", write_and_make)
    logged: list[str] = []
    done = swap.perform_swap(origin, journal, RUN, log=logged.append)
    assert origin[PREVIOUS + "changed_set"].find_one("acknowledged") is not None
    (line,) = logged
    assert line.startswith(f"{PREVIOUS}changed_set was written to while the swap was running")
    assert done.written_in_swap == [f"{PREVIOUS}changed_set"]


def test_what_nobody_wrote_to_is_not_told(origin: Any, transformer: Any) -> None:
    logged: list[str] = []
    done = swap.perform_swap(origin, begin_swap(origin, transformer), RUN, log=logged.append)
    assert logged == [] and done.written_in_swap == []


@pytest.mark.parametrize(
    "target", [PREVIOUS + "moved_set", "moved_and_changed_set"], ids=["in the middle", "at the end"]
)
def test_a_swap_stops_where_the_block_is_lifted_under_it(
    origin: Any, transformer: Any, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a thaw that was suspended, and comes when the next run swaps."""
    journal = begin_swap(origin, transformer)
    make, leases = moves_module.make, origin.client[STATE_DATABASE].freeze_lease

    def make_and_lift(database: Any, move: Move) -> None:
        make(database, move)
        if move.target == target:
            # Nobody can be blocked where nobody logs in; this is how a lifted block looks.
            leases.update_one({}, {"$set": {"strategy": Strategy.WRITE_BLOCK}})

    with monkeypatch.context() as patch:
        patch.setattr(swap, "make", make_and_lift)
        with pytest.raises(FreezeFailed, match="lifted the freeze"):
            swap.perform_swap(origin, journal, RUN)
    found = read_journal(origin.client, "a-release")
    assert found is not None and found.is_under_way
    assert origin[target].find_one() is not None
    leases.update_one({}, {"$set": {"strategy": Strategy.NONE}})
    assert not swap.perform_swap(origin, journal, RUN).is_under_way


def test_a_rollback_asks_about_what_was_written_in_the_middle_of_the_swap(origin: Any, transformer: Any) -> None:
    journal = half_swap(origin, transformer, 2)
    origin.changed_set.insert_one({"_id": "acknowledged", "version": 2})
    logged: list[str] = []
    swap.perform_swap(origin, journal, RUN, log=logged.append)
    assert "changed_set was written to while the swap was running" in logged[0]
    with pytest.raises(WritesSinceRelease, match=r"changed_set .*set aside"):
        roll_back(origin)
    done = roll_back(origin, allow_writes_set_aside=True)
    assert [one.name for one in done.written] == ["changed_set"]
    assert origin[STAGED + "changed_set"].find_one("acknowledged") is not None


@pytest.mark.parametrize("moves", [0, 7], ids=["before it was renamed back", "after it was renamed back"])
def test_a_resumed_rollback_notes_what_was_written_since_it_began(origin: Any, transformer: Any, moves: int) -> None:
    before = state_of(origin)
    journal = release(origin, transformer)
    undoing = rollback.prepare_rollback(origin, journal, RUN)
    with stopped_after(rollback, moves):
        rollback.perform_rollback(origin, undoing, RUN)
    name = "changed_set" if moves == 0 else STAGED + "changed_set"
    origin[name].insert_one({"_id": "acknowledged", "version": 2})
    done = roll_back(origin)
    assert [(one.name, one.fate) for one in done.written] == [("changed_set", Fate.SET_ASIDE)]
    assert origin[STAGED + "changed_set"].find_one("acknowledged") is not None
    assert state_of(origin) == before
