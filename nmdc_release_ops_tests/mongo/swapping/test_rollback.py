"""A release is rolled back to exactly what was there before it, from wherever it or the rollback stopped."""

from typing import Any

import pytest

from nmdc_release_ops.mongo.server.collections import list_collections
from nmdc_release_ops.mongo.state import journal as journal_module
from nmdc_release_ops.mongo.state import ledger
from nmdc_release_ops.mongo.state.generations import PREVIOUS, STAGED
from nmdc_release_ops.mongo.state.journal import State, read_journal
from nmdc_release_ops.mongo.state.lease import current_lease, release_lease
from nmdc_release_ops.mongo.state.ledger import EVENTS, LATEST_VERSION
from nmdc_release_ops.mongo.swapping import rollback, swap
from nmdc_release_ops.mongo.swapping.rollback import (
    NothingToRollBack,
    release_to_roll_back,
)
from nmdc_release_ops.mongo.swapping.since_release import WritesSinceRelease
from nmdc_release_ops.mongo.swapping.undoing import RollbackImpossible
from nmdc_release_ops_tests.mongo.state.runtime_view import RUNTIME_S_VIEW
from nmdc_release_ops_tests.mongo.swapping.prepared_swap import (
    RUN,
    begin_swap,
    migrate,
    release,
    roll_back,
    state_of,
    stopped_at,
)


def version(origin: Any) -> Any:
    return origin[LATEST_VERSION].find_one()


def test_after_a_rollback_everything_is_the_very_collection_it_was(origin: Any, transformer: Any) -> None:
    before = state_of(origin)
    release(origin, transformer)
    assert state_of(origin) != before
    journal = roll_back(origin)
    assert state_of(origin) == before
    assert journal.state is State.ROLLED_BACK
    assert version(origin) == {"schema_version": "1.0.0"}
    assert ledger.recorded_version(origin) == "1.0.0"
    # What the release had brought is not lost either.
    left = sorted(name for name in origin.list_collection_names() if name.startswith("_release."))
    assert left == [STAGED + name for name in ("changed_set", "moved_and_changed_set", "new_set")]


def test_rolling_back_twice_is_the_same_as_once(origin: Any, transformer: Any) -> None:
    before = state_of(origin)
    release(origin, transformer)
    first = roll_back(origin)
    assert roll_back(origin) == first
    assert state_of(origin) == before
    assert [event["event"] for event in origin[EVENTS].find()].count("MIGRATION_ROLLED_BACK") == 1


@pytest.mark.faults
def test_a_swap_that_stopped_anywhere_can_be_undone_instead(origin: Any, transformer: Any) -> None:
    before = state_of(origin)
    changes = migrate(transformer)
    for number in range(len(begin_swap(origin, transformer, changes).moves)):
        for made in (False, True):
            journal = begin_swap(origin, transformer, changes)
            with stopped_at(swap, journal.moves[number], made=made):
                swap.perform_swap(origin, journal, RUN)
            assert version(origin) == {"schema_version": None}
            roll_back(origin)
            assert state_of(origin) == before, f"stopped at move {number}, made: {made}"
            assert version(origin) == {"schema_version": "1.0.0"}


def test_a_rollback_that_stopped_anywhere_is_finished_when_it_is_tried_again(origin: Any, transformer: Any) -> None:
    before = state_of(origin)
    journal = release(origin, transformer)
    for move in reversed(journal.moves):
        for made in (False, True):
            with stopped_at(rollback, move, made=made):
                roll_back(origin)
            found = read_journal(origin.client, "a-release")
            assert found is not None and found.state is State.ROLLING_BACK
            with pytest.raises(journal_module.SwapUnderWay, match="Launch the job `rollback`"):
                swap.perform_swap(origin, journal, RUN)
    roll_back(origin)
    assert state_of(origin) == before


def test_what_was_written_since_the_release_is_not_put_aside_unasked(origin: Any, transformer: Any) -> None:
    release(origin, transformer)
    origin.changed_set.insert_one({"_id": "written since"})
    origin.new_set.delete_many({})
    after = state_of(origin)
    with pytest.raises(WritesSinceRelease, match="changed_set, new_set were written to"):
        roll_back(origin)
    assert state_of(origin) == after
    roll_back(origin, allow_writes_set_aside=True)
    assert origin.changed_set.find_one({"_id": "written since"}) is None
    assert origin[STAGED + "changed_set"].find_one({"_id": "written since"}) is not None


def test_what_was_written_and_undone_again_does_not_count(origin: Any, transformer: Any) -> None:
    release(origin, transformer)
    origin.changed_set.insert_one({"_id": "for a moment"})
    origin.changed_set.delete_one({"_id": "for a moment"})
    roll_back(origin)


def test_a_generation_that_somebody_removed_is_named_and_nothing_is_renamed(origin: Any, transformer: Any) -> None:
    release(origin, transformer)
    origin[PREVIOUS + "gone_set"].drop()
    origin.moved_set.insert_one({"_id": "somebody took the name"})
    after = state_of(origin)
    with pytest.raises(RollbackImpossible) as refused:
        roll_back(origin)
    assert f"{PREVIOUS}gone_set is not the collection" in str(refused.value)
    assert "moved_set" not in str(refused.value), "what took a name is moved aside, and no problem"
    assert state_of(origin) == after
    found = read_journal(origin.client, "a-release")
    assert found is not None and found.state is State.SWAPPED


def test_only_the_last_release_can_be_rolled_back(origin: Any, transformer: Any) -> None:
    with pytest.raises(NothingToRollBack, match="No release has swapped"):
        release_to_roll_back(origin, None)
    release(origin, transformer)
    with pytest.raises(NothingToRollBack, match="that is a-release, not another"):
        release_to_roll_back(origin, "another")
    assert release_to_roll_back(origin, "a-release").release_id == "a-release"


def test_the_runtime_s_view_which_knows_no_rollback_is_made_to_say_the_version(origin: Any, transformer: Any) -> None:
    origin.create_collection(LATEST_VERSION, viewOn=EVENTS, pipeline=RUNTIME_S_VIEW)
    release(origin, transformer)
    assert list_collections(origin)[LATEST_VERSION].options["pipeline"] == RUNTIME_S_VIEW
    assert version(origin) == {"schema_version": "2.0.0"}
    roll_back(origin)
    assert version(origin) == {"schema_version": "1.0.0"}


def test_the_same_release_can_swap_again_after_it_was_rolled_back(origin: Any, transformer: Any) -> None:
    changes = migrate(transformer)
    release(origin, transformer, changes)
    roll_back(origin)
    held = current_lease(origin.client)
    assert held is not None
    release_lease(origin.client, held, "the test")
    release(origin, transformer, changes)
    assert version(origin) == {"schema_version": "2.0.0"}
    assert origin.changed_set.find_one()["version"] == 2


def test_what_a_later_release_left_staged_is_not_in_the_way(origin: Any, transformer: Any) -> None:
    before = state_of(origin)
    release(origin, transformer)
    for name in ("changed_set", "somebody_else_s_set"):
        origin[STAGED + name].insert_one({"_id": "left by a release that failed"})
    roll_back(origin)
    assert state_of(origin) == before
    assert origin[STAGED + "changed_set"].find_one()["version"] == 2


@pytest.mark.parametrize("swapped", [True, False])
def test_what_the_release_brought_is_not_needed_to_go_back(origin: Any, transformer: Any, swapped: bool) -> None:
    before = state_of(origin)
    journal = begin_swap(origin, transformer)
    if swapped:
        swap.perform_swap(origin, journal, RUN)
        origin.changed_set.drop()
    else:
        with stopped_at(swap, journal.moves[1], made=False):
            swap.perform_swap(origin, journal, RUN)
        origin[STAGED + "changed_set"].drop()
    roll_back(origin)
    assert state_of(origin) == before


def test_a_release_that_was_migrated_further_is_not_rolled_back(origin: Any, transformer: Any) -> None:
    """By the Runtime's own migrations, which work in place and know no journal."""
    release(origin, transformer)
    ledger.record(
        origin,
        ledger.Event.COMPLETED,
        from_version="2.0.0",
        to_version="2.1.0",
        migrator_module="in place",
        release_id="not ours",
    )
    after = state_of(origin)
    with pytest.raises(RollbackImpossible, match=r"from 2\.0\.0 to 2\.1\.0"):
        roll_back(origin)
    assert state_of(origin) == after
