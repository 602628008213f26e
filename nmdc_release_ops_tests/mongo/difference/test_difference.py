"""What a migration did to the documents is counted as comparing both sides in memory would, and shown by a few of them."""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Int64, ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.database import Database

from nmdc_release_ops.mongo.archive.manifest import ArchiveDamaged, Manifest
from nmdc_release_ops.mongo.difference import difference as subject
from nmdc_release_ops.mongo.difference import samples
from nmdc_release_ops.mongo.difference.changes import ChangeSet, Snapshot, compare, snapshot
from nmdc_release_ops.mongo.difference.difference import CollectionDifference, Difference, find_difference
from nmdc_release_ops.mongo.difference.paths import Change, changes
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.progress import Progress
from nmdc_release_ops.mongo.transfer.dump import dump
from nmdc_release_ops_tests.mongo import odd_data
from nmdc_release_ops_tests.mongo.odd_data import documents_of


class Place:
    """A database, and an archive of an earlier state of it."""

    def __init__(self, database: Database[Any], folder: Path) -> None:
        self.database = database
        self.folder = folder / "archive"
        self.manifest: Manifest
        self.before: Snapshot

    def dump(self) -> None:
        self.manifest = dump(
            self.database,
            self.database.list_collection_names(),
            self.folder,
            release_id="r",
            cluster_time=ClusterTime(seconds=1, increment=1),
        )
        self.before = snapshot(self.database)

    def changes(self) -> ChangeSet:
        return compare(self.before, snapshot(self.database))

    def difference(self, **options: Any) -> Difference:
        return find_difference(self.folder, self.manifest, self.database, self.changes(), **options)

    def after(self, change: Callable[[Database[Any]], object]) -> CollectionDifference:
        """Dump, change one collection, and compare."""
        self.dump()
        change(self.database)
        (found,) = self.difference().collections
        return found


@pytest.fixture
def place(scratch_mongod: PrivateMongod, tmp_path: Path) -> Iterator[Place]:
    with MongoClient[Any](scratch_mongod.uri) as client:
        made = Place(client[f"difference_{ObjectId()}"], tmp_path)
        yield made
        client.drop_database(made.database.name)


def paths_of(found: CollectionDifference) -> dict[str, int]:
    return {str(path.change): path.documents for path in found.paths}


def counts_of(found: CollectionDifference) -> tuple[int, int, int, int]:
    counts = found.counts
    return counts.changed, counts.added, counts.removed, counts.unchanged


def test_documents_are_counted_by_what_became_of_them(place: Place) -> None:
    place.database.a_set.insert_many({"_id": n, "n": n} for n in range(100))
    place.database.same_set.insert_one({})

    def change(database: Database[Any]) -> None:
        database.a_set.update_many({"n": {"$lt": 10}}, {"$rename": {"n": "m"}})
        database.a_set.delete_many({"n": {"$gte": 97}})
        database.a_set.insert_many({"_id": n} for n in range(200, 207))

    found = place.after(change)
    assert counts_of(found) == (10, 7, 3, 87)
    assert paths_of(found) == {"n → m": 10}
    assert (len(found.changed), len(found.added), len(found.removed)) == (2, 5, 3)
    assert json.loads(found.removed[0].before or "") == {"_id": 97, "n": 97}
    assert all(json.loads(sample.after or "")["_id"] >= 200 for sample in found.added)
    assert found.describe() == "a_set: 10 changed, 7 added, 3 removed, 87 unchanged; most often n → m: 10"
    assert place.difference().untouched == ["same_set"]


def test_a_path_is_counted_once_for_a_document(place: Place) -> None:
    place.database.a_set.insert_many({"_id": n, "items": [{"old": 1}] * n} for n in range(4))
    new = [{"$set": {"items": {"$map": {"input": "$items", "in": {"new": "$$this.old"}}}}}]
    found = place.after(lambda database: database.a_set.update_many({}, new))
    assert counts_of(found) == (3, 0, 0, 1)
    assert paths_of(found) == {"items[].old → new": 3}


def test_a_renamed_collection_is_compared_with_what_it_is_called_now(place: Place) -> None:
    place.database.old_set.insert_many({"_id": n} for n in range(10))
    place.database.plain_set.insert_one({})
    place.dump()
    place.database.plain_set.rename("other_set")
    place.database.old_set.rename("new_set")
    place.database.new_set.update_one({"_id": 3}, {"$set": {"x": 1}})
    difference = place.difference()
    (found,) = difference.collections
    assert (found.counts.before, found.counts.after) == ("old_set", "new_set")
    assert counts_of(found) == (1, 0, 0, 9)
    assert found.counts.name == "old_set → new_set"
    assert difference.renamed == [("plain_set", "other_set")]


def test_a_created_and_a_deleted_collection_are_all_added_and_all_removed(place: Place) -> None:
    place.database.old_set.insert_many({"_id": n} for n in range(12))
    place.database.empty_set.insert_one({"_id": 1})
    place.database.empty_set.delete_many({})
    place.dump()
    place.database.old_set.drop()
    place.database.empty_set.drop()
    place.database.new_set.insert_many({"_id": n, "new": True} for n in range(7))
    empty, new, old = place.difference().collections
    assert (empty.counts.fate, counts_of(empty)) == ("deleted", (0, 0, 0, 0))
    assert (new.counts.fate, counts_of(new), len(new.added)) == ("created", (0, 7, 0, 0), 5)
    assert (old.counts.fate, counts_of(old), len(old.removed)) == ("deleted", (0, 0, 12, 0), 5)
    assert json.loads(new.added[0].after or "") == {"_id": 0, "new": True}


def test_a_collection_of_which_only_an_index_changed_has_no_changed_documents(place: Place) -> None:
    place.database.a_set.insert_many({"_id": n} for n in range(3))
    assert counts_of(place.after(lambda database: database.a_set.create_index("n"))) == (0, 0, 0, 3)


def test_everything_that_a_database_can_hold_is_compared_and_shown(place: Place) -> None:
    odd_data.fill(place.database)
    place.dump()
    assert place.difference().collections == []
    for name in ("values_set", "identifiers_set", "clustered_set"):
        place.database[name].update_many({}, {"$unset": {"n": 1}, "$set": {"added": Int64(1)}})
    place.database.large_set.update_one({}, {"$set": {"text": "y" * 10_000_000}})
    found = {one.counts.name: one for one in place.difference().collections}
    assert set(found) == {"values_set", "identifiers_set", "clustered_set", "large_set"}
    for one in found.values():
        assert one.counts.changed == place.database[one.counts.name].count_documents({})
        assert one.counts.added == one.counts.removed == one.counts.unchanged == 0
        for sample in one.changed:
            assert len(sample.before or "") < samples.LONGEST_TEXT + 100
    assert paths_of(found["large_set"]) == {"text (changed)": 1}
    number = len(odd_data.IDENTIFIERS)
    assert paths_of(found["identifiers_set"]) == {"added (added)": number, "n (removed)": number}


def test_numbers_that_only_differ_in_their_type_are_shown_so(place: Place) -> None:
    place.database.a_set.insert_one({"_id": 1, "n": 5})
    found = place.after(lambda database: database.a_set.update_one({}, {"$set": {"n": Int64(5)}}))
    assert paths_of(found) == {"n (type: int → long)": 1}
    (sample,) = found.changed
    assert '"$numberInt": "5"' in str(sample.before) and '"$numberLong": "5"' in str(sample.after)


def test_samples_show_different_changes_though_most_documents_changed_alike(place: Place) -> None:
    place.database.a_set.insert_many({"_id": n, "a": 1} for n in range(500))

    def change(database: Database[Any]) -> None:
        database.a_set.update_many({}, {"$set": {"common": 1}})
        for n in (300, 400, 450):
            database.a_set.update_one({"_id": n}, {"$set": {f"rare{n}": 1}})

    shown = [change for sample in place.after(change).changed for change in sample.changes]
    assert {"common (added)", "rare300 (added)", "rare400 (added)", "rare450 (added)"} == set(shown)


def test_of_a_long_document_what_differs_is_shown(place: Place) -> None:
    place.database.a_set.insert_one({"_id": 1, "long": ["x" * 1_000] * 100, "a": 1})
    (sample,) = place.after(lambda database: database.a_set.update_one({}, {"$set": {"a": 2}})).changed
    assert sample.excerpt
    assert (json.loads(sample.before or ""), json.loads(sample.after or "")) == ({"_id": 1, "a": 1}, {"_id": 1, "a": 2})


def test_paths_and_samples_are_bounded_where_keys_are_data(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "MOST_PATHS", 50)
    place.database.a_set.insert_many({"_id": n} for n in range(3_000))
    by_key = [{"$replaceWith": {"$setField": {"field": "common", "input": "$$ROOT", "value": {"x": "$_id"}}}}]

    def change(database: Database[Any]) -> None:
        database.a_set.update_many({}, by_key)
        for n in range(0, 3_000, 2):
            database.a_set.update_one({"_id": n}, {"$set": {f"key{n}": 1, f"other{n}": 1}})

    found = place.after(change)
    assert len(found.paths) == 50
    assert paths_of(found)["common (added)"] == 3_000
    # 24 documents were listed with both of their keys, and one with one of them.
    assert found.elsewhere == 1_500 - 24
    assert len(found.changed) == samples.MOST_SAMPLES


def test_the_counts_are_those_of_a_comparison_in_memory(place: Place) -> None:
    chance = random.Random(11)

    def value(depth: int = 2) -> Any:
        kinds: list[Callable[[], Any]] = [
            lambda: chance.choice([1, 1.0, Int64(1), True, None, "1", b"1"]),
            lambda: {chance.choice("abc"): value(depth - 1) for _ in range(2)},
            lambda: [value(depth - 1) for _ in range(chance.randrange(3))],
        ]
        return chance.choice(kinds if depth else kinds[:1])()

    names = [f"set_{n}" for n in range(3)]
    for name in names:
        identifiers = chance.sample(range(10_000), 2_500)
        place.database[name].insert_many({"_id": n, "x": value(), "y": value()} for n in identifiers)
    earlier = {name: by_identifier(place.database, name) for name in names}
    place.dump()
    for name in names:
        collection = place.database[name]
        for document in list(collection.find()):
            fate = chance.random()
            if fate < 0.05:
                collection.delete_one({"_id": document["_id"]})
            elif fate < 0.10:
                collection.delete_one({"_id": document["_id"]})
                collection.insert_one({**document, "x": value()})
            elif fate < 0.3:
                collection.replace_one({"_id": document["_id"]}, {"x": value(), "y": value(), "z": value()})
        collection.insert_many({"_id": 10_000 + n} for n in range(chance.randrange(20)))
    for found in place.difference().collections:
        was, now = earlier[found.counts.name], by_identifier(place.database, found.counts.name)
        both = was.keys() & now.keys()
        changed = [identifier for identifier in both if was[identifier] != now[identifier]]
        assert counts_of(found) == (len(changed), len(now) - len(both), len(was) - len(both), len(both) - len(changed))
        expected: Counter[Change] = Counter()
        for identifier in changed:
            expected.update(changes(was[identifier], now[identifier]))
        counted = Counter({path.change: path.documents for path in found.paths})
        assert counted.total() > 500
        if len(expected) <= subject.MOST_PATHS:
            assert counted == expected


def by_identifier(database: Database[Any], name: str) -> dict[Any, bytes]:
    return {bson.decode(document)["_id"]: bytes(document) for document in documents_of(database, name)}


def test_progress_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "_REPORT_EVERY", 100)
    place.database.a_set.insert_many({"_id": n} for n in range(250))
    place.dump()
    place.database.a_set.update_one({"_id": 1}, {"$set": {"x": 1}})
    logged: list[Progress] = []
    place.difference(report=logged.append)
    assert logged == [Progress("a_set", done, 250) for done in (100, 200, 250)]


def test_an_archive_that_changed_since_it_was_loaded_is_noticed(place: Place) -> None:
    place.database.a_set.insert_many({"_id": n} for n in range(250))
    place.dump()
    place.database.a_set.update_one({"_id": 1}, {"$set": {"x": 1}})
    (archived,) = place.manifest.collections
    blocks = [block.model_copy(update={"sha256": "0" * 64}) for block in archived.blocks]
    other = place.manifest.model_copy(update={"collections": [archived.model_copy(update={"blocks": blocks})]})
    with pytest.raises(ArchiveDamaged, match="Block 1 of 1 of a_set is not what was dumped"):
        find_difference(place.folder, other, place.database, place.changes())


def test_a_document_that_no_dict_can_hold_is_counted(place: Place) -> None:
    raw = place.database.get_collection("a_set", codec_options=odd_data.RAW)
    twice, *_ = odd_data.raw_documents()
    raw.insert_one(RawBSONDocument(twice))
    place.dump()
    place.database.a_set.delete_many({})
    place.database.a_set.insert_one(bson.decode(twice))
    (found,) = place.difference().collections
    assert paths_of(found) == {"the document (encoding)": 1}
