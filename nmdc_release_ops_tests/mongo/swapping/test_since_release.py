"""Before a release is rolled back, people learn what was written since, and what becomes of it."""

from typing import Any

import pytest

from nmdc_release_ops.mongo.server.writes import Writes
from nmdc_release_ops.mongo.state.generations import INTRUDER, STAGED
from nmdc_release_ops.mongo.state.journal import journals, read_journal
from nmdc_release_ops.mongo.state.written import Fate
from nmdc_release_ops.mongo.swapping import since_release
from nmdc_release_ops.mongo.swapping.since_release import WritesSinceRelease
from nmdc_release_ops_tests.mongo.swapping.prepared_swap import release, roll_back, state_of


def test_what_was_written_to_untouched_collections_is_told_and_stays(origin: Any, transformer: Any) -> None:
    release(origin, transformer)
    origin.kept_set.insert_many([{"_id": "new"}, {"_id": "another"}])
    origin.kept_set.update_one({"_id": "new"}, {"$set": {"version": 2}})
    origin.renamed_set.delete_many({})
    after = state_of(origin)
    with pytest.raises(WritesSinceRelease) as refused:
        roll_back(origin)
    message = str(refused.value)
    assert message.startswith("kept_set, renamed_set were written to since release a-release was swapped in.")
    assert "kept_set (2 inserted, 1 updated): left in place, in the form of schema 2.0.0" in message
    assert "renamed_set (1 deleted): left in place" in message
    assert message.endswith("launch `rollback` with release_id: a-release, allow_writes_left_in_place: true.")
    assert state_of(origin) == after
    done = roll_back(origin, allow_writes_left_in_place=True)
    assert origin.kept_set.count_documents({}) == 3
    assert [(one.name, one.fate, one.writes) for one in done.written] == [
        ("kept_set", Fate.LEFT_IN_PLACE, Writes(inserted=2, updated=1)),
        ("renamed_set", Fate.LEFT_IN_PLACE, Writes(deleted=1)),
    ]
    assert read_journal(origin.client, "a-release") == done


def test_each_kind_of_write_has_an_option_of_its_own(origin: Any, transformer: Any) -> None:
    release(origin, transformer)
    origin.kept_set.insert_one({"_id": "new"})
    origin.changed_set.insert_one({"_id": "new"})
    with pytest.raises(WritesSinceRelease, match="allow_writes_set_aside: true, allow_writes_left_in_place: true"):
        roll_back(origin)
    with pytest.raises(WritesSinceRelease, match=r"release_id: a-release, allow_writes_left_in_place: true\.$"):
        roll_back(origin, allow_writes_set_aside=True)
    with pytest.raises(WritesSinceRelease, match=r"release_id: a-release, allow_writes_set_aside: true\.$"):
        roll_back(origin, allow_writes_left_in_place=True)
    done = roll_back(origin, allow_writes_set_aside=True, allow_writes_left_in_place=True)
    assert [(one.name, one.fate) for one in done.written] == [
        ("changed_set", Fate.SET_ASIDE),
        ("kept_set", Fate.LEFT_IN_PLACE),
    ]
    assert origin[STAGED + "changed_set"].find_one({"_id": "new"}) is not None


def test_a_collection_made_anew_under_an_earlier_name_is_told_and_moved_aside(origin: Any, transformer: Any) -> None:
    before = state_of(origin)
    release(origin, transformer)
    origin.gone_set.insert_one({"_id": "new"})
    with pytest.raises(WritesSinceRelease, match=r"gone_set \(1 inserted\): created since; moved aside as _release"):
        roll_back(origin)
    done = roll_back(origin, allow_writes_set_aside=True)
    assert state_of(origin) == before
    (intruder,) = done.intruders
    assert intruder.kept_as == f"{INTRUDER}1.gone_set"
    assert [one["_id"] for one in origin[intruder.kept_as].find()] == ["new"]


def test_where_the_oplog_does_not_reach_back_it_cannot_be_determined(
    origin: Any, transformer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(origin, transformer)
    origin.changed_set.insert_one({"_id": "new"})
    # Making a server lose its oplog takes hours; its refusal is simulated as in test_unchanged.
    monkeypatch.setattr(since_release, "count_writes", lambda *_: None)
    with pytest.raises(WritesSinceRelease) as refused:
        roll_back(origin, allow_writes_set_aside=True)
    assert "changed_set (how much cannot be determined): set aside" in str(refused.value)
    assert "did not touch cannot be determined: the oplog does not reach back to the swap" in str(refused.value)
    done = roll_back(origin, allow_writes_set_aside=True, allow_writes_left_in_place=True)
    assert "does not reach back" in done.undetermined


def test_a_journal_of_an_earlier_version_can_be_rolled_back(origin: Any, transformer: Any) -> None:
    release(origin, transformer)
    added = {"managed": "", "intruders": "", "written": "", "undetermined": ""}
    journals(origin.client).update_one({"_id": "a-release"}, {"$unset": added})
    with pytest.raises(WritesSinceRelease, match="an earlier version of nmdc-release-ops made the release"):
        roll_back(origin)
    roll_back(origin, allow_writes_left_in_place=True)
    assert origin.changed_set.find_one()["version"] == 1


def test_more_writes_than_are_counted_are_told_so(
    origin: Any, transformer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(origin, transformer)
    monkeypatch.setattr(since_release, "_MANY_WRITES", 3)
    origin.kept_set.insert_many({"_id": f"new {number}"} for number in range(5))
    with pytest.raises(WritesSinceRelease, match="More than 3 documents were written"):
        roll_back(origin)


def test_a_release_may_have_a_collection_called_marker(origin: Any, transformer: Any) -> None:
    """Looking at what was written writes a marker, and drops it."""
    journal = release(origin, transformer)
    origin[STAGED + "marker"].insert_one({"_id": "staged"})
    assert since_release.find_written(origin, journal).written == []
    assert origin[STAGED + "marker"].find_one() == {"_id": "staged"}
    assert [name for name in origin.list_collection_names() if name.startswith(STAGED)] == [STAGED + "marker"]
