"""A scratch database gets the documents that are asked for, exactly, and whoever does not ask is noticed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database

from nmdc_release_ops.mongo.archive.manifest import ArchiveDamaged, Manifest
from nmdc_release_ops.mongo.difference.changes import (
    TransformerChanged,
    compare,
    require_snapshot,
    snapshot,
)
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.transfer.dump import dump
from nmdc_release_ops.mongo.transfer.load import prove
from nmdc_release_ops.mongo.transfer.on_demand import PartialLoad, UsedUnloaded
from nmdc_release_ops_tests.mongo.odd_data import fill


@pytest.fixture(scope="module")
def archive(scratch_mongod: PrivateMongod, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Manifest]]:
    """Of collections with every kind of option, the largest documents aside."""
    folder = tmp_path_factory.mktemp("on_demand") / "archive"
    with MongoClient[Any](scratch_mongod.uri) as client:
        database = client[f"source_{ObjectId()}"]
        fill(database)
        names = set(database.list_collection_names()) - {"large_set"}
        yield (
            folder,
            dump(database, names, folder, release_id="r", cluster_time=ClusterTime(seconds=1, increment=1)),
        )
        client.drop_database(database.name)


@pytest.fixture
def scratch(scratch_mongod: PrivateMongod) -> Iterator[Database[Any]]:
    with MongoClient[Any](scratch_mongod.uri) as client:
        database = client[f"on_demand_{ObjectId()}"]
        database["stood_here_before"].insert_one({})
        yield database
        client.drop_database(database.name)


@pytest.fixture
def contents(archive: tuple[Path, Manifest], scratch: Database[Any]) -> PartialLoad:
    return PartialLoad.begin(*archive, scratch)


def filled(manifest: Manifest) -> list[str]:
    """Collections with documents."""
    return [one.name for one in manifest.collections if one.documents]


def test_it_begins_without_documents_and_ends_with_all_if_all_are_asked_for(
    archive: tuple[Path, Manifest], scratch: Database[Any], contents: PartialLoad
) -> None:
    folder, manifest = archive
    before = snapshot(scratch, contents.hashes)
    assert before.hashes == {one.name: one.hash for one in manifest.collections}
    assert sum(scratch[one.name].count_documents({}) for one in manifest.collections) == 0
    for one in manifest.collections:
        contents.load(one.name)
        contents.load(one.name)
    contents.settle()
    assert not contents.unloaded
    prove(folder, manifest, scratch)
    assert compare(before, snapshot(scratch)).untouched == sorted(one.name for one in manifest.collections)


def test_what_is_not_asked_for_stays_empty_and_counts_as_unchanged(
    archive: tuple[Path, Manifest], scratch: Database[Any], contents: PartialLoad
) -> None:
    asked, *others = filled(archive[1])
    before = snapshot(scratch, contents.hashes)
    contents.load(asked)
    scratch[asked].delete_many({})
    contents.settle()
    after = snapshot(scratch, contents.hashes)
    assert compare(before, after).changed == [asked]
    require_snapshot(scratch, after.hashes, after.definitions, contents.unloaded)
    scratch[others[0]].insert_one({"_id": "late"})
    with pytest.raises(TransformerChanged, match=others[0]):
        require_snapshot(scratch, after.hashes, after.definitions, contents.unloaded)


def test_a_collection_that_was_deleted_or_made_anew_is_not_loaded_any_more(
    archive: tuple[Path, Manifest], scratch: Database[Any], contents: PartialLoad
) -> None:
    deleted, replaced, *_ = filled(archive[1])
    before = snapshot(scratch, contents.hashes)
    scratch.drop_collection(deleted)
    scratch.drop_collection(replaced)
    scratch[replaced].insert_one({"_id": "another"})
    contents.settle()
    assert contents.describe().startswith("0 of ")
    contents.load(deleted)
    contents.load(replaced)
    assert deleted not in scratch.list_collection_names()
    assert [one["_id"] for one in scratch[replaced].find()] == ["another"]
    changes = compare(before, snapshot(scratch, contents.hashes))
    assert changes.deleted == [deleted]
    assert changes.changed == [replaced]


def test_whoever_changes_a_collection_without_asking_is_noticed(
    archive: tuple[Path, Manifest], scratch: Database[Any]
) -> None:
    name = filled(archive[1])[0]
    for change in (
        lambda: scratch[name].insert_one({"_id": "unasked"}),
        lambda: scratch[name].rename("elsewhere"),
        lambda: scratch[name].create_index("unasked"),
        lambda: scratch.command("collMod", name, validator={"unasked": 1}),
    ):
        contents = PartialLoad.begin(*archive, scratch)
        change()
        with pytest.raises(UsedUnloaded, match=name):
            contents.settle()


def test_a_collection_that_was_used_before_it_is_asked_for_is_not_loaded(
    archive: tuple[Path, Manifest], scratch: Database[Any]
) -> None:
    name = filled(archive[1])[0]
    for change in (lambda: scratch[name].insert_one({"_id": "unasked"}), lambda: scratch[name].drop()):
        contents = PartialLoad.begin(*archive, scratch)
        change()
        with pytest.raises(UsedUnloaded, match=name):
            contents.load(name)
        assert name in contents.unloaded


def test_a_damaged_file_is_noticed_when_its_collection_is_asked_for(
    archive: tuple[Path, Manifest], scratch: Database[Any], contents: PartialLoad
) -> None:
    folder, manifest = archive
    damaged = max(manifest.collections, key=lambda one: one.bytes)
    path = folder / damaged.file
    content = path.read_bytes()
    try:
        path.write_bytes(content[:-20] + bytes(12) + content[-8:])
        for one in manifest.collections:
            if one != damaged:
                contents.load(one.name)
        with pytest.raises(ArchiveDamaged, match=damaged.name):
            contents.load(damaged.name)
    finally:
        path.write_bytes(content)
    assert set(contents.unloaded) == {damaged.name}
