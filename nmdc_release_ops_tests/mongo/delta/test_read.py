"""What is read by keys is what was there at the moment, no more and no less, whatever the keys are."""

import time
from typing import Any

import bson
import pytest
from bson import Decimal128, Int64
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from nmdc_release_ops.mongo.delta import read
from nmdc_release_ops.mongo.delta.moment import present_moment
from nmdc_release_ops.mongo.delta.read import MomentGone, find_at, read_at
from nmdc_release_ops_tests.mongo.delta.raw_documents import contents, insert_raw, key, keys
from nmdc_release_ops_tests.mongo.odd_data import IDENTIFIERS, largest_document, raw_documents


def test_documents_are_read_as_they_were_at_the_moment(origin: Database[Any]) -> None:
    origin.a_set.insert_many([{"_id": number, "n": 0} for number in range(4)])
    then = contents(origin, "a_set")
    moment = present_moment(origin.client)
    origin.a_set.update_one({"_id": 0}, {"$set": {"n": 1}})
    origin.a_set.replace_one({"_id": 1}, {"x": 1})
    origin.a_set.delete_one({"_id": 2})
    origin.a_set.insert_one({"_id": "new"})
    now = contents(origin, "a_set")
    asked = keys(0, 1, 2, "new", "never")
    expected = {one: then.get(one) for one in asked}
    assert dict(read_at(origin, "a_set", asked, moment)) == expected
    later = present_moment(origin.client)
    assert dict(read_at(origin, "a_set", asked, later)) == {one: now.get(one) for one in asked}


def test_every_kind_of_id_is_read(origin: Database[Any]) -> None:
    texts = ["^a", "/^a/i", "$a", "a.b"]
    documents = [bson.encode({"_id": one, "n": n}) for n, one in enumerate([*IDENTIFIERS, *texts])] + raw_documents()
    insert_raw(origin, "a_set", *documents, largest_document())
    expected = contents(origin, "a_set")
    moment = present_moment(origin.client)
    origin.a_set.delete_many({})
    assert dict(read_at(origin, "a_set", expected.keys(), moment)) == expected
    for one, document in expected.items():
        assert dict(read_at(origin, "a_set", [one], moment)) == {one: document}


def test_equal_numbers_are_told_apart(origin: Database[Any]) -> None:
    origin.a_set.insert_many([{"_id": 1.0}, {"_id": {"a": Int64(1)}}])
    moment = present_moment(origin.client)
    asked = [key(one) for one in (1, 1.0, Int64(1), Decimal128("1"), {"a": 1}, {"a": Int64(1)})]
    found = dict(read_at(origin, "a_set", asked, moment))
    assert found == dict.fromkeys(asked) | {asked[1]: asked[1], asked[5]: asked[5]}


def test_an_id_that_an_update_turned_into_an_equal_one_is_given_under_both_keys(origin: Database[Any]) -> None:
    """The change stream reports such an update under the old key only."""
    origin.a_set.insert_one({"_id": 1})
    origin.a_set.replace_one({"_id": 1}, {"_id": 1.0, "x": 1})
    found = dict(read_at(origin, "a_set", [key(1)], present_moment(origin.client)))
    assert found == {key(1): None, key(1.0): bson.encode({"_id": 1.0, "x": 1})}


def test_texts_that_a_collation_holds_for_equal_are_told_apart(origin: Database[Any]) -> None:
    origin.create_collection("a_set", collation={"locale": "en", "strength": 1})
    origin.a_set.insert_many([{"_id": "A"}, {"_id": "é"}, {"_id": "x"}])
    moment = present_moment(origin.client)
    asked = keys("a", "e", "é", "x", "y")
    found = dict(read_at(origin, "a_set", asked, moment))
    there = {one: one for one in keys("é", "x")}
    # "A" was not asked for, and is what the server finds for "a".
    assert found == dict.fromkeys(asked) | there | {key("A"): key("A")}


def test_long_keys_are_asked_in_commands_that_are_short_enough(origin: Database[Any]) -> None:
    long = {key(f"{number:03}" * 100_000) for number in range(40)}
    assert sum(map(len, long)) < 16_000_000
    # Longer ones cannot be inserted: an entry of the oplog holds the _id twice.
    huge = key("x" * 8_300_000)
    insert_raw(origin, "a_set", *long)
    insert_raw(origin, "a_set", huge)
    found = read_at(origin, "a_set", sorted({*long, huge, key("none")}), present_moment(origin.client))
    assert {one: document == one for one, document in found} == dict.fromkeys(long, True) | {
        huge: True,
        key("none"): False,
    }


def test_more_keys_than_one_command_takes_are_all_read(origin: Database[Any]) -> None:
    origin.a_set.insert_many({"_id": number, "text": "x" * 100} for number in range(0, 30_000, 2))
    moment = present_moment(origin.client)
    found = dict(read_at(origin, "a_set", (key(number) for number in range(30_000)), moment))
    assert found.keys() == keys(*range(30_000))
    assert {one for one, document in found.items() if document} == keys(*range(0, 30_000, 2))


def test_a_collection_that_does_not_exist_has_no_documents(origin: Database[Any]) -> None:
    assert dict(read_at(origin, "a_set", keys(1), present_moment(origin.client))) == {key(1): None}
    assert list(read_at(origin, "a_set", [], present_moment(origin.client))) == []


def test_a_moment_that_the_server_no_longer_has_is_named(origin: Database[Any]) -> None:
    origin.a_set.insert_one({"_id": 1})
    moment = present_moment(origin.client)
    admin = origin.client.admin
    usual = admin.command({"setParameter": 1, "minSnapshotHistoryWindowInSeconds": 1})["was"]
    try:
        # What is too old is forgotten when something is written.
        time.sleep(2.5)
        present_moment(origin.client)
        time.sleep(0.5)
        with pytest.raises(MomentGone, match="300 seconds by default") as gone:
            list(read_at(origin, "a_set", keys(1), moment))
        assert (gone.value.collection, gone.value.redefined) == ("a_set", False)
    finally:
        admin.command({"setParameter": 1, "minSnapshotHistoryWindowInSeconds": usual})


def test_a_collection_that_was_redefined_since_is_named(origin: Database[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "SETTLING_SECONDS", 0.3)
    origin.a_set.insert_one({"_id": 1})
    moment = present_moment(origin.client)
    origin.a_set.rename("b_set")
    origin.create_collection("a_set")
    with pytest.raises(MomentGone, match="a_set was created, renamed or got an index since") as gone:
        list(read_at(origin, "a_set", keys(1), moment))
    assert gone.value.redefined
    with pytest.raises(MomentGone, match="a_set was created, renamed or got an index since"):
        list(find_at(origin, "a_set", {"_id": 1}, moment))


def test_reading_blocks_nobody_and_is_not_disturbed_by_writes(origin: Database[Any]) -> None:
    origin.a_set.insert_many({"_id": number, "text": "x" * 1_000} for number in range(12_000))
    then = contents(origin, "a_set")
    moment = present_moment(origin.client)
    found: dict[bytes, bytes | None] = {}
    for one, document in read_at(origin, "a_set", list(then), moment):
        if len(found) % 1_000 == 0:
            origin.a_set.update_many({"_id": {"$gt": 11_900}}, {"$inc": {"n": 1}})
            origin.a_set.delete_one({"_id": 11_000 - len(found) // 1_000})
        found[one] = document
    assert found == then


def test_documents_are_given_as_bytes(origin: Database[Any]) -> None:
    insert_raw(origin, "a_set", *raw_documents())
    for one, document in read_at(origin, "a_set", contents(origin, "a_set"), present_moment(origin.client)):
        assert type(one) is bytes and type(document) is bytes
        assert RawBSONDocument(document).raw == document


def test_documents_that_met_a_condition_are_found_as_they_were_at_the_moment(origin: Database[Any]) -> None:
    origin.a_set.insert_many([{"_id": n, "of": [f"id {n % 3}"], "n": n} for n in range(25_000)])
    origin.a_set.insert_many([{"_id": "null", "of": None}, {"_id": "without"}])
    then = contents(origin, "a_set")
    moment = present_moment(origin.client)
    origin.a_set.delete_many({"of": "id 1"})
    origin.a_set.insert_one({"_id": "new", "of": ["id 1"]})
    origin.a_set.update_one({"_id": 0}, {"$set": {"of": ["id 1"]}})
    condition = {"$or": [{"of": {"$in": ["id 1", "nobody"]}}, {"part_of": {"$in": ["id 1", "nobody"]}}]}
    assert sorted(find_at(origin, "a_set", condition, moment)) == sorted(
        then[key(n)] for n in range(25_000) if n % 3 == 1
    )
    assert list(find_at(origin, "a_set", {"of": {"$type": "null"}}, moment)) == [then[key("null")]]
    assert list(find_at(origin, "never_set", {}, moment)) == []
