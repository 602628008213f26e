"""What is swapped in is what was validated; what was swapped out is kept; a swap that stopped can be finished."""

from typing import Any

import pytest

from nmdc_release_ops.mongo.difference.changes import ChangeSet, Rename, compare, snapshot
from nmdc_release_ops.mongo.server.collections import collection_hashes, list_collections
from nmdc_release_ops.mongo.state import bookkeeping
from nmdc_release_ops.mongo.state import journal as journal_module
from nmdc_release_ops.mongo.state.database import STATE_DATABASE
from nmdc_release_ops.mongo.state.generations import PREVIOUS, STAGED
from nmdc_release_ops.mongo.state.journal import Move, SwapBlocked, is_swap_under_way, read_journal
from nmdc_release_ops.mongo.state.lease import LeaseLost, Strategy, begin_thaw, take_lease
from nmdc_release_ops.mongo.state.ledger import LATEST_VERSION
from nmdc_release_ops.mongo.swapping import moves as moves_module
from nmdc_release_ops.mongo.swapping import swap
from nmdc_release_ops.mongo.transfer.stage import StagingFailed, stage
from nmdc_release_ops_tests.mongo.swapping.prepared_swap import (
    RUN,
    begin_swap,
    migrate,
    prepare,
    release,
    stage_all,
    stopped_at,
)


def versions(database: Any) -> dict[str, int]:
    return {
        name: database[name].find_one()["version"] for name in database.list_collection_names() if name.endswith("_set")
    }


def test_what_a_migration_did_is_told_from_the_database_itself(transformer: Any) -> None:
    changes = migrate(transformer)
    assert changes == ChangeSet(
        changed=["changed_set"],
        created=["new_set"],
        renamed=[
            Rename(old="moved_set", new="moved_and_changed_set", changed=True),
            Rename(old="old_set", new="renamed_set", changed=False),
        ],
        deleted=["gone_set"],
        untouched=["kept_set"],
    )
    assert changes.staged == ["changed_set", "moved_and_changed_set", "new_set"]


def test_the_swap_brings_every_kind_of_change_and_keeps_what_was(origin: Any, transformer: Any) -> None:
    uuids = {name: found.uuid for name, found in list_collections(origin).items()}
    release(origin, transformer)
    live = {name: version for name, version in versions(origin).items() if not name.startswith("_release.")}
    assert live == {
        "kept_set": 1,
        "changed_set": 2,
        "renamed_set": 1,
        "moved_and_changed_set": 2,
        "new_set": 2,
    }
    after = list_collections(origin)
    assert after["kept_set"].uuid == uuids["kept_set"]
    assert after["renamed_set"].uuid == uuids["old_set"]
    assert [index["name"] for index in after["renamed_set"].indexes] == ["_id_", "version_1"]
    previous = {name.removeprefix(PREVIOUS) for name in after if name.startswith(PREVIOUS)}
    assert previous == {"changed_set", "moved_set", "gone_set"}
    assert not any(name.startswith(STAGED) for name in after)
    assert origin[LATEST_VERSION].find_one() == {"schema_version": "2.0.0"}


def test_a_swap_that_stopped_anywhere_is_finished_when_it_is_tried_again(origin: Any, transformer: Any) -> None:
    journal = begin_swap(origin, transformer)
    for move in journal.moves:
        for made in (False, True):
            with stopped_at(swap, move, made=made):
                swap.perform_swap(origin, journal, RUN)
            assert is_swap_under_way(origin.client, "a-release")
            assert origin[LATEST_VERSION].find_one() == {"schema_version": None}
    found = read_journal(origin.client, "a-release")
    assert found is not None
    swap.perform_swap(origin, found, RUN)
    assert not is_swap_under_way(origin.client, "a-release")
    assert origin.changed_set.find_one()["version"] == 2
    assert origin[LATEST_VERSION].find_one() == {"schema_version": "2.0.0"}


def test_a_swap_that_stopped_after_its_last_event_does_not_repeat_it(
    origin: Any, transformer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = begin_swap(origin, transformer)
    write = journal_module.write_journal

    def stop(*_: Any) -> None:
        raise RuntimeError("stopped")

    monkeypatch.setattr(bookkeeping, "write_journal", stop)
    with pytest.raises(RuntimeError, match="stopped"):
        swap.perform_swap(origin, journal, RUN)
    monkeypatch.setattr(bookkeeping, "write_journal", write)
    assert is_swap_under_way(origin.client, "a-release")
    swap.perform_swap(origin, journal, RUN)
    events = [event["event"] for event in origin["_migration_events"].find()]
    assert events == ["MIGRATION_STARTED", "MIGRATION_COMPLETED"]
    assert not is_swap_under_way(origin.client, "a-release")


def test_what_was_staged_is_refused_when_it_is_not_what_was_validated(origin: Any, transformer: Any) -> None:
    changes = migrate(transformer)
    hashes = collection_hashes(transformer, transformer.list_collection_names())
    transformer.changed_set.update_one({}, {"$set": {"version": 3}})
    with pytest.raises(StagingFailed, match="changed_set was validated with hash"):
        stage(transformer, origin, "changed_set", hashes["changed_set"])
    assert origin.changed_set.find_one()["version"] == 1
    assert changes.changed == ["changed_set"]


def test_leftovers_of_an_earlier_attempt_do_not_get_into_what_is_staged(origin: Any, transformer: Any) -> None:
    migrate(transformer)
    origin[STAGED + "changed_set"].insert_one({"_id": "left over"})
    staged = stage(transformer, origin, "changed_set", collection_hashes(transformer, ["changed_set"])["changed_set"])
    assert staged.documents == 1


def test_a_name_taken_by_a_collection_outside_the_release_is_refused(origin: Any, transformer: Any) -> None:
    changes = migrate(transformer)
    stage_all(transformer, origin, changes)
    origin.new_set.insert_one({"_id": "somebody else's", "version": 0})
    before = versions(origin)
    with pytest.raises(SwapBlocked, match="already has a collection new_set"):
        prepare(origin, changes)
    assert versions(origin) == before
    assert read_journal(origin.client, "a-release") is None


def test_collections_may_change_places(origin: Any, transformer: Any) -> None:
    before = snapshot(transformer)
    transformer.old_set.rename("aside")
    transformer.moved_set.rename("old_set")
    transformer.aside.rename("moved_set")
    changes = compare(before, snapshot(transformer))
    swap.perform_swap(origin, prepare(origin, changes), RUN)
    assert origin.old_set.find_one()["_id"] == "moved_set"
    assert origin.moved_set.find_one()["_id"] == "old_set"


def test_the_generation_before_the_last_is_dropped_by_the_next_swap(origin: Any, transformer: Any) -> None:
    changes = migrate(transformer)
    release(origin, transformer, changes)
    before = snapshot(transformer)
    transformer.new_set.update_one({}, {"$set": {"version": 3}})
    changes = compare(before, snapshot(transformer))
    release(origin, transformer, changes, "the-next-release")
    previous = [name for name in origin.list_collection_names() if name.startswith(PREVIOUS)]
    assert previous == [PREVIOUS + "new_set"]


def test_a_swap_cannot_begin_once_the_origin_is_being_thawed(origin: Any, transformer: Any) -> None:
    changes = migrate(transformer)
    stage_all(transformer, origin, changes)
    prepared_with = take_lease(origin.client, "a-release", RUN, Strategy.NONE)
    assert begin_thaw(origin.client, prepared_with) is not None
    with pytest.raises(LeaseLost, match="no longer holds the lease"):
        swap.prepare_swap(
            origin,
            changes,
            swap.SwappedRelease("a-release", "1.0.0", "2.0.0", migrator_module=""),
            RUN,
            staged=[],
        )
    assert read_journal(origin.client, "a-release") is None


def test_a_run_whose_place_was_taken_stops_in_the_middle_of_its_swap(
    origin: Any, transformer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that was taken for lost, and comes back."""
    journal = begin_swap(origin, transformer)
    make = moves_module.make

    def lose_the_lease(database: Any, move: Move) -> None:
        make(database, move)
        origin.client[STATE_DATABASE].freeze_lease.update_one({}, {"$set": {"run_id": "another-run"}})

    monkeypatch.setattr(swap, "make", lose_the_lease)
    with pytest.raises(LeaseLost):
        swap.perform_swap(origin, journal, RUN)
    found = read_journal(origin.client, "a-release")
    assert found is not None and found.made == 1


def test_a_run_whose_place_was_taken_does_not_write_the_last_lines_either(
    origin: Any, transformer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = begin_swap(origin, transformer)
    make = moves_module.make

    def lose_the_lease_at_the_end(database: Any, move: Move) -> None:
        make(database, move)
        if move == journal.moves[-1]:
            origin.client[STATE_DATABASE].freeze_lease.update_one({}, {"$set": {"run_id": "another-run"}})

    monkeypatch.setattr(swap, "make", lose_the_lease_at_the_end)
    with pytest.raises(LeaseLost):
        swap.perform_swap(origin, journal, RUN)
    assert is_swap_under_way(origin.client, "a-release")
    assert origin[LATEST_VERSION].find_one() == {"schema_version": None}


def test_only_what_was_verified_is_swapped_in(origin: Any, transformer: Any) -> None:
    """A run that was taken for lost comes back and stages once more under the same name."""
    changes = migrate(transformer)
    staged = stage_all(transformer, origin, changes)
    origin[STAGED + "changed_set"].drop()
    origin[STAGED + "changed_set"].insert_one({"_id": "not what was verified"})
    take_lease(origin.client, "a-release", RUN, Strategy.NONE)
    release = swap.SwappedRelease("a-release", "1.0.0", "2.0.0", migrator_module="")
    with pytest.raises(SwapBlocked, match="staged collection of changed_set is not the one that was verified"):
        swap.prepare_swap(origin, changes, release, RUN, staged=staged)
    assert read_journal(origin.client, "a-release") is None


def test_a_release_that_was_swapped_in_is_not_dumped_over_its_archive(origin: Any, transformer: Any) -> None:
    changes = migrate(transformer)
    journal_module.refuse_if_swapped(origin.client, "a-release")
    journal = begin_swap(origin, transformer, changes)
    with pytest.raises(journal_module.SwapUnderWay):
        journal_module.refuse_if_swapped(origin.client, "a-release")
    swap.perform_swap(origin, journal, RUN)
    with pytest.raises(journal_module.AlreadySwapped, match="would overwrite the archive"):
        journal_module.refuse_if_swapped(origin.client, "a-release")
