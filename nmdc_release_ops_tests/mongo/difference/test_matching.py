"""Every document of the state before is given once, with what has become of it, however the database orders them now."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import bson
import pytest
from bson import Decimal128, Int64, ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.collection import Collection

from nmdc_release_ops.mongo.difference import matching
from nmdc_release_ops.mongo.difference.matching import Matching, key_of
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops_tests.mongo.odd_data import IDENTIFIERS, RAW, documents_of, raw_documents

DOCUMENTS = 3_500


@pytest.fixture
def collection(scratch_mongod: PrivateMongod) -> Iterator[Collection[Any]]:
    with MongoClient[Any](scratch_mongod.uri) as client:
        found = client[f"matching_{ObjectId()}"].any_set
        yield found
        client.drop_database(found.database.name)


def before_of(collection: Collection[Any]) -> list[bytes]:
    return [bytes(document) for document in documents_of(collection.database, collection.name)]


def check(collection: Collection[Any], before: list[bytes]) -> Matching:
    """The pairs are those that comparing everything in memory gives."""
    now = {key_of(document): document for document in before_of(collection)}
    made = Matching(collection)
    pairs = list(made.pairs(before))
    assert len(pairs) == len(before)
    assert {key_of(was): (was, after) for was, after in pairs} == {
        key_of(was): (was, now.get(key_of(was))) for was in before
    }
    return made


def pairs_of(collection: Collection[Any], before: list[bytes]) -> list[tuple[bytes, bytes | None]]:
    """A pair for each document of before."""
    pairs = list(Matching(collection).pairs(before))
    assert len(pairs) == len(before) > 0
    return pairs


def identifiers(documents: list[bytes]) -> set[Any]:
    return {bson.decode(document)["_id"] for document in documents}


def write_again(collection: Collection[Any], query: dict[str, Any]) -> None:
    """Delete documents and insert them again, each with something new, in another order."""
    again = list(collection.find(query))
    random.Random(1).shuffle(again)
    collection.delete_many(query)
    collection.insert_many({**document, "again": True} for document in again)


@pytest.mark.parametrize(
    "change",
    [
        lambda collection: None,
        lambda collection: collection.update_many({"n": {"$mod": [7, 0]}}, {"$set": {"x": "longer than it was" * 9}}),
        lambda collection: collection.delete_one({"n": 0}),
        lambda collection: collection.delete_many({"n": {"$lt": 2_500}}),
        lambda collection: collection.delete_many({"n": {"$gte": 1_200}}),
        lambda collection: collection.delete_many({}),
        lambda collection: write_again(collection, {"n": {"$mod": [3, 0]}}),
        lambda collection: write_again(collection, {}),
        lambda collection: write_again(collection, {"n": {"$lt": 2_000}}),
    ],
    ids=[
        "nothing",
        "update",
        "delete the first",
        "delete many at the start",
        "delete many at the end",
        "delete all",
        "write a third again",
        "write all again",
        "write many at the start again",
    ],
)
@pytest.mark.parametrize("added", [0, 3, 2_500])
def test_each_document_meets_its_counterpart_and_those_that_are_new_are_told(
    collection: Collection[Any], change: Callable[[Collection[Any]], object], added: int
) -> None:
    collection.insert_many({"n": n} for n in range(DOCUMENTS))
    before = before_of(collection)
    change(collection)
    if added:
        collection.insert_many({"_id": f"new {n}"} for n in range(added))
    made = check(collection, before)
    samples = made.added(5, lambda: before)
    assert identifiers(samples) <= {f"new {n}" for n in range(added)}
    assert len(samples) == min(5, added)


@pytest.mark.parametrize(("added", "found"), [(300, 5), (2_400, 0)])
def test_where_the_server_orders_by_identifier_no_old_document_is_taken_for_new(
    collection: Collection[Any], added: int, found: int
) -> None:
    """Of many that were added all over the collection none may be found; they are counted all the same."""
    database = collection.database
    database.create_collection("clustered", clusteredIndex={"key": {"_id": 1}, "unique": True})
    database.clustered.insert_many({"_id": n * 2} for n in range(DOCUMENTS))
    before = before_of(database.clustered)
    database.clustered.insert_many({"_id": n * 2 + 1} for n in range(added))
    made = check(database.clustered, before)
    samples = identifiers(made.added(5, lambda: before))
    assert len(samples) == found and all(number % 2 for number in samples)


def test_identifiers_of_every_type_are_matched(collection: Collection[Any]) -> None:
    raw = collection.with_options(codec_options=RAW)
    odd = [bson.encode({"_id": identifier, "n": n}) for n, identifier in enumerate(IDENTIFIERS)]
    odd += raw_documents()
    odd.append(bson.encode({"_id": "invalid ????"}).replace(b"????", b"\xff\xfe\x80\xc3"))
    raw.insert_many(map(RawBSONDocument, odd))
    before = before_of(collection)
    random.Random(2).shuffle(before)
    check(collection, before)
    assert all(was == now for was, now in pairs_of(collection, before))
    collection.update_many({}, {"$set": {"y": 1}})
    assert all(now and was != now for was, now in pairs_of(collection, before))


@pytest.mark.parametrize("in_step", [True, False])
def test_identifiers_that_are_equal_for_the_server_are_the_same_document(
    collection: Collection[Any], in_step: bool
) -> None:
    earlier = [1, Int64(2), 3.5, {"a": 1, "b": [2]}, Decimal128("5"), -0.0, float("nan")]
    now = [1.0, Decimal128("2.0"), Decimal128("3.5"), {"a": 1.0, "b": [Int64(2)]}, 5, 0, Decimal128("NaN")]
    collection.insert_many({"_id": identifier} for identifier in (now if in_step else reversed(now)))
    before = [bson.encode({"_id": identifier}) for identifier in earlier]
    assert all(after is not None for _, after in pairs_of(collection, before))


def test_identifiers_that_only_python_takes_for_equal_are_not(collection: Collection[Any]) -> None:
    collection.insert_many([{"_id": True}, {"_id": ""}, {"_id": {"a": 1, "b": 2}}])
    before = [bson.encode({"_id": identifier}) for identifier in (1, b"", {"b": 2, "a": 1})]
    assert all(after is None for _, after in pairs_of(collection, before))


def test_documents_that_a_collation_takes_for_the_same_are_not(collection: Collection[Any]) -> None:
    database = collection.database
    database.create_collection("collation", collation={"locale": "en", "strength": 2})
    database.collation.insert_many([{"_id": "a"}, {"_id": "b"}])
    before = [bson.encode({"_id": identifier}) for identifier in ("A", "b")]
    assert [after is not None for _, after in Matching(database.collation).pairs(before)].count(True) == 1


def test_no_more_than_a_window_of_either_side_is_held(
    collection: Collection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    add = matching._Window.add

    def noted(window: Any, key: Any, document: bytes) -> None:
        add(window, key, document)
        held.append(sum(map(len, window.documents)))

    monkeypatch.setattr(matching._Window, "add", noted)
    monkeypatch.setattr(matching, "_WINDOW_BYTES", 50_000)
    collection.insert_many({"n": n, "text": "x" * 1_000} for n in range(DOCUMENTS))
    before = before_of(collection)
    write_again(collection, {})
    check(collection, before).added(5, lambda: before)
    assert 50_000 <= max(held) < 52_000
