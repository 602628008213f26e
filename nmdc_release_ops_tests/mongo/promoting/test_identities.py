"""Which ids there are, which are gone, and which several documents have, whatever interrupts a round."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import pytest

from nmdc_release_ops.mongo.promoting.identities import Identities, group_by_collection

Rows = set[tuple[str, Any, str | None]]


def doc(key: Any, *identifier: Any) -> bytes:
    """A document with this `_id`, and with this `id` if one is given."""
    return bson.encode({"_id": key, **({"id": identifier[0]} if identifier else {})})


def key(value: Any) -> bytes:
    return bson.encode({"_id": value})


def rows(identities: Identities) -> Rows:
    """Collection, `_id` as text, and id of everything that is noted."""
    with sqlite3.connect(identities.path) as connection:
        found = connection.execute(
            "SELECT name, key, id FROM identifier JOIN collection ON number = collection"
        ).fetchall()
    return {(name, repr(bson.decode(one)["_id"]), identifier) for name, one, identifier in found}


@pytest.fixture
def identities(tmp_path: Path) -> Iterator[Identities]:
    """Of two collections, after a complete round."""
    with Identities(tmp_path / "identities.sqlite") as found:
        found.fill("study_set", [doc(1, "s1"), doc(2, "s2"), doc(3), doc(4, None), doc(5, 17)])
        found.fill("biosample_set", [doc(1, "b1"), doc("x", "b2")])
        found.finish_filling()
        found.commit()
        yield found


BEFORE: Rows = {
    ("study_set", "1", "s1"),
    ("study_set", "2", "s2"),
    ("study_set", "3", None),
    ("study_set", "4", None),
    ("biosample_set", "1", "b1"),
    ("biosample_set", "'x'", "b2"),
}


def change_everything(identities: Identities) -> None:
    identities.put("study_set", [doc(1, "s9"), doc(1.0, "s1"), doc({"a": 1}, "s3"), doc(2, 17), doc(5, "s5")])
    identities.put("study_set", [doc(1, "s10")])
    identities.remove("study_set", [key(3), key(1.0), key("never there")])
    identities.empty("biosample_set")
    identities.put("biosample_set", [doc("x", "b3")])
    identities.put("new_set", [doc(1, "n1")])


CHANGED: Rows = {
    ("study_set", "1", "s10"),
    ("study_set", "{'a': 1}", "s3"),
    ("study_set", "4", None),
    ("study_set", "5", "s5"),
    ("biosample_set", "'x'", "b3"),
    ("new_set", "1", "n1"),
}


def test_what_a_round_changed_can_be_taken_back_whole(identities: Identities) -> None:
    assert rows(identities) == BEFORE
    change_everything(identities)
    assert rows(identities) == CHANGED
    identities.roll_back()
    assert rows(identities) == BEFORE
    identities.roll_back()
    assert rows(identities) == BEFORE


def test_another_process_takes_back_what_a_crashed_round_changed_and_keeps_what_was_committed(
    identities: Identities,
) -> None:
    identities.round.begin("first")
    identities.put("study_set", [doc(9, "s9")])
    identities.commit()
    identities.round.begin("second")
    change_everything(identities)
    with Identities(identities.path) as another:
        assert another.round.name == "second"
        another.roll_back()
        assert another.round.name is None
        assert rows(another) == BEFORE | {("study_set", "9", "s9")}


def test_ids_are_gone_when_no_document_of_their_collection_has_them_any_more(identities: Identities) -> None:
    assert set(identities.gone()) == set()
    change_everything(identities)
    # Of two documents without an id one is left; 17 never was an id.
    assert group_by_collection(identities.gone()) == {"study_set": {"s1", "s2"}, "biosample_set": {"b1", "b2"}}
    identities.commit()
    assert set(identities.gone()) == set()


def test_an_id_that_moves_to_another_document_of_the_collection_is_not_gone(identities: Identities) -> None:
    identities.remove("study_set", [key(1)])
    identities.put("study_set", [doc(1.0, "s1")])
    identities.remove("biosample_set", [key(1)])
    identities.put("study_set", [doc(7, "b1")])
    assert list(identities.gone()) == [("b1", "biosample_set")]


def test_no_id_is_gone_only_when_the_last_document_without_one_is(identities: Identities) -> None:
    identities.remove("study_set", [key(3)])
    assert list(identities.gone()) == []
    identities.remove("study_set", [key(4)])
    assert list(identities.gone()) == [(None, "study_set")]


def test_ids_of_this_rounds_documents_that_others_have_too_are_duplicates(identities: Identities) -> None:
    identities.fill("agg_set", [doc(1, "old"), doc(2, "old")])
    identities.put("study_set", [doc(9, "s1"), doc(10, "b1"), doc(11), doc(12, "alone")])
    assert identities.duplicates() == {"s1": {"study_set": 2}, "b1": {"study_set": 1, "biosample_set": 1}}
    identities.put("study_set", [doc(9, "s9"), doc(10, "b9")])
    assert identities.duplicates() == {}


def test_ids_that_another_file_has_are_missing(identities: Identities, tmp_path: Path) -> None:
    with Identities(tmp_path / "earlier.sqlite") as earlier:
        earlier.fill("biosample_set", [doc(1, "b1"), doc(2, "b0"), doc(3)])
        earlier.fill("study_set", [doc(1, "s0"), doc(2, "s1"), doc(3)])
        earlier.fill("gone_set", [doc(1, "g1")])
    found = list(identities.missing(earlier.path, ["study_set", "gone_set", "never_set"]))
    assert sorted(found) == [("g1", "gone_set"), ("s0", "study_set")]
    assert list(identities.missing(earlier.path, ["biosample_set"])) in (
        [("b0", "biosample_set"), (None, "biosample_set")],
        [(None, "biosample_set"), ("b0", "biosample_set")],
    )


def test_documents_are_found_by_their_ids(identities: Identities) -> None:
    assert list(identities.keys(["s2", "b1", "nobody"], "study_set")) == [key(2)]
    assert set(identities.keys([None], "study_set")) == {key(3), key(4)}
    assert list(identities.keys(["s2"], "never_set")) == []
    assert list(identities.absent(["s1", "b1", "nobody", None])) == ["nobody"]


def test_it_can_be_filled_again_from_the_beginning(identities: Identities) -> None:
    change_everything(identities)
    identities.clear()
    identities.fill("study_set", [doc(1, "s1")])
    identities.finish_filling()
    assert rows(identities) == {("study_set", "1", "s1")}
    assert list(identities.gone()) == []
