"""Two collections are the same in their options, indexes, counts and hash, or it is told in what they differ."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId, Regex
from pymongo import MongoClient
from pymongo.operations import IndexModel

from nmdc_release_ops.mongo.archive.making import DumpFailed
from nmdc_release_ops.mongo.archive.metadata import from_extended_json, to_extended_json
from nmdc_release_ops.mongo.difference.changes import compare, snapshot
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.collections import Collection, collection_hashes, list_collections
from nmdc_release_ops.mongo.server.comparison import State, compare_collections
from nmdc_release_ops.mongo.swapping.unchanged import OriginChanged, require_unchanged
from nmdc_release_ops.mongo.transfer import dump as dump_module
from nmdc_release_ops.mongo.transfer.dump import dump
from nmdc_release_ops.mongo.transfer.load import LoadFailed, create, create_indexes, load, prove
from nmdc_release_ops.mongo.transfer.stage import StagingFailed, stage

FORWARD, BACKWARD = [("a", 1), ("b", 1)], [("b", 1), ("a", 1)]
NOW = ClusterTime(seconds=1, increment=1)


@pytest.fixture
def database(scratch_mongod: PrivateMongod) -> Iterator[Any]:
    with MongoClient[Any](scratch_mongod.uri) as client:
        found = client[f"comparison_{ObjectId()}"]
        found.a_set.insert_one({"_id": 1, "a": 1, "b": 2})
        found.a_set.create_index(FORWARD, name="both")
        yield found
        client.drop_database(found.name)
        client.drop_database(found.name + "_copy")


def reverse_the_keys(collection: Any) -> None:
    """The index keeps its name, and its keys change places."""
    collection.drop_index("both")
    collection.create_index(BACKWARD, name="both")


def test_an_index_whose_keys_changed_places_is_a_change_of_its_collection(database: Any) -> None:
    before = snapshot(database)
    assert compare(before, snapshot(database)).changed == []
    reverse_the_keys(database.a_set)
    assert compare(before, snapshot(database)).changed == ["a_set"]


def test_a_load_is_not_proved_where_an_index_has_its_keys_in_another_order(database: Any, tmp_path: Path) -> None:
    manifest = dump(database, ["a_set"], tmp_path / "archive", release_id="r", cluster_time=NOW)
    copy = database.client[database.name + "_copy"]
    load(tmp_path / "archive", manifest, copy)
    reverse_the_keys(copy.a_set)
    with pytest.raises(LoadFailed, match=r"a_set has index both .*b: 1, a: 1.* instead of .*a: 1, b: 1"):
        prove(tmp_path / "archive", manifest, copy)


def test_a_staged_collection_is_refused_where_an_index_has_its_keys_in_another_order(
    database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nmdc_release_ops.mongo.transfer import stage as staging

    origin = database.client[database.name + "_copy"]
    make_indexes = staging.create_indexes

    def make_others(database: Any, source: Any, name: str) -> None:
        make_indexes(database, source, name)
        reverse_the_keys(database[name])

    monkeypatch.setattr(staging, "create_indexes", make_others)
    with pytest.raises(StagingFailed, match="index both"):
        stage(database, origin, "a_set", collection_hashes(database, ["a_set"])["a_set"])


@pytest.mark.parametrize(
    "change",
    [
        lambda database: reverse_the_keys(database.a_set),
        lambda database: database.command("collMod", "a_set", validator={"a": {"$exists": True}}),
    ],
    ids=["the keys of an index", "a validator"],
)
def test_a_dump_is_refused_where_a_collection_changed_while_it_was_read(
    database: Any, tmp_path: Path, change: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hash_collections = dump_module.collection_hashes

    def hash_and_change(found: Any, names: Any) -> Mapping[str, str]:
        change(database)
        return hash_collections(found, names)

    monkeypatch.setattr(dump_module, "collection_hashes", hash_and_change)
    with pytest.raises(DumpFailed, match="a_set"):
        dump(database, ["a_set"], tmp_path / "archive", release_id="r", cluster_time=NOW)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda found: reverse_the_keys(found.a_set),
            "a_set: index both {key: {b: 1, a: 1}} instead of {key: {a: 1, b: 1}}",
        ),
        (lambda found: found.command("collMod", "a_set", validator={"a": {"$exists": True}}), "a_set: option validat"),
        (lambda found: found.a_set.insert_one({}), "a_set: its documents"),
        (lambda found: found.b_set.insert_one({}), "b_set: it is new"),
        (lambda found: found.a_set.drop(), "a_set: it is gone"),
    ],
    ids=["index", "option", "document", "new", "gone"],
)
def test_what_was_changed_since_the_dump_is_named(database: Any, tmp_path: Path, change: Any, message: str) -> None:
    moment = ClusterTime.of(database.command("ping")["operationTime"])
    manifest = dump(database, ["a_set"], tmp_path / "archive", release_id="r", cluster_time=moment)
    managed = ["a_set", "b_set"]
    require_unchanged(database, manifest.collections, moment, managed)
    change(database)
    with pytest.raises(OriginChanged, match=re.escape(message)):
        require_unchanged(database, manifest.collections, moment, managed)


def described(**options: Any) -> Collection:
    return Collection(name="a_set", kind="collection", uuid=None, options=options, indexes=())


def differences(was: Any, now: Any) -> list[str]:
    """Of two values of the same option."""
    found = compare_collections(State(described(validator=was)), State(described(validator=now)))
    return [difference.what for difference in found]


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ({"a": {"x": 1, "y": 1}}, {"a": {"y": 1, "x": 1}}),
        ({"a": 1}, {"a": True}),
        ({"a": 0}, {"a": False}),
        ({"a": "1"}, {"a": 1}),
        ({"a": None}, {}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": Regex("x", "i")}, {"a": Regex("x")}),
        ({"a": b"1"}, {"a": "1"}),
    ],
)
def test_what_means_something_else_is_a_difference(was: Any, now: Any) -> None:
    assert differences(was, now) == ["option validator"]


@pytest.mark.parametrize("now", [{"a": 1.0}, {"a": Int64(1)}])
def test_the_type_of_a_number_is_no_difference(now: Any) -> None:
    assert differences({"a": 1}, now) == []


def test_counts_and_hashes_are_compared_where_both_are_known() -> None:
    here = described()
    assert compare_collections(State(here, 1, "x"), State(here)) == ()
    found = compare_collections(State(here, 1, "x"), State(here, 2, "y"))
    assert [str(difference) for difference in found] == ["documents 2 instead of 1", "hash y instead of x"]


def test_what_an_archive_keeps_is_what_the_server_lists(database: Any) -> None:
    """Every kind of index and option, there and back through canonical Extended JSON: no difference is made up."""
    odd = {"n": {"$in": [1, 1.0, Int64(1), Decimal128("1.0"), float("inf"), None, True]}, "r": Regex("^x", "i")}
    odd |= {"d": {"$gt": datetime(2020, 1, 2, 3, 4, 5, 678000, UTC)}, "b": b"bytes", "o": ObjectId()}
    database.create_collection("odd_set", validator={"$nor": [odd]}, collation={"locale": "fr", "strength": 2})
    database.odd_set.create_indexes(
        [
            IndexModel([("z", 1), ("a", -1)], unique=True),
            IndexModel([("b", "text"), ("a", "text")], weights={"b": 3, "a": 2}, collation={"locale": "simple"}),
            IndexModel([("place", "2dsphere")]),
            IndexModel([("h", "hashed")], hidden=True, collation={"locale": "simple"}),
            IndexModel([("$**", 1)], wildcardProjection={"x": 1, "y": 1}, name="wild"),
            IndexModel([("q", Int64(1))], partialFilterExpression={"x": {"$gt": Int64(5)}}, expireAfterSeconds=60.0),
        ]
    )
    (found,) = list_collections(database, ["odd_set"]).values()
    kept = replace(
        found,
        options=from_extended_json(to_extended_json(dict(found.options))),
        indexes=tuple(from_extended_json(to_extended_json(dict(index))) for index in found.indexes),
    )
    assert compare_collections(State(kept), State(found)) == ()
    create(database, kept, "made_anew_set")
    create_indexes(database, kept, "made_anew_set")
    (made,) = list_collections(database, ["made_anew_set"]).values()
    assert compare_collections(State(kept), State(made)) == ()
