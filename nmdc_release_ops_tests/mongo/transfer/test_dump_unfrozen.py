"""A database that people write to is dumped as it was at one moment, and nobody is kept from writing."""

import gzip
import random
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import ObjectId
from pymongo import ReplaceOne
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError, OperationFailure

from nmdc_release_ops.mongo.archive.blocks import read_block, read_documents
from nmdc_release_ops.mongo.archive.making import DumpFailed
from nmdc_release_ops.mongo.archive.manifest import ArchivedCollection, Manifest, read_manifest, verify
from nmdc_release_ops.mongo.archive.merge import merge
from nmdc_release_ops.mongo.archive.oplog_file import OPLOG, read_oplog
from nmdc_release_ops.mongo.delta.keys import key_of
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.collections import Collection, collection_hashes, list_collections
from nmdc_release_ops.mongo.server.raw import RAW, read_raw, split
from nmdc_release_ops.mongo.transfer import dump_unfrozen as dump_unfrozen_module
from nmdc_release_ops.mongo.transfer.dump import write_files
from nmdc_release_ops.mongo.transfer.dump_unfrozen import ATTEMPTS, dump_unfrozen, write_unfrozen_archive
from nmdc_release_ops.mongo.transfer.load import load
from nmdc_release_ops_tests.mongo.odd_data import IDENTIFIERS
from nmdc_release_ops_tests.mongo.transfer.small_archive import BLOCK, fill, one_of

NAMES = ["a_set", "b_set", "c_set", "d_set"]
Meanwhile = Callable[[int], None]


def dumped_while(
    origin: Database[Any], folder: Path, meanwhile: Meanwhile, *, before: Meanwhile = lambda _attempt: None
) -> Manifest:
    """Dump; after the documents of an attempt (from 1) were read, `meanwhile` writes, and before that, `before` does."""
    attempts = 0

    def write(described: Mapping[str, Collection], aside: Path, since: ClusterTime) -> Iterable[ArchivedCollection]:
        nonlocal attempts
        attempts += 1
        before(attempts)
        parts = write_files(origin, lambda _progress: None, BLOCK, described, aside, since=since)
        meanwhile(attempts)
        return parts

    write_unfrozen_archive(origin, NAMES, folder, write, release_id="r", log=lambda _: None, block_bytes=BLOCK)
    manifest = read_manifest(folder)
    verify(folder, manifest)
    return manifest


def on_server(database: Database[Any], name: str) -> list[bytes]:
    return sorted(document for run in read_raw(database[name]) for document in split(run))


def require_same(origin: Database[Any], folder: Path, manifest: Manifest) -> None:
    assert {one.name for one in manifest.collections} == set(NAMES) & set(origin.list_collection_names())
    for one in manifest.collections:
        assert sorted(read_documents(folder, one)) == on_server(origin, one.name), one.name


def test_what_was_written_after_a_document_was_read_replaces_it(origin: Database[Any], folder: Path) -> None:
    fill(origin)
    origin.b_set.insert_many({"_id": number} for number in range(50))
    origin.c_set.insert_one({"_id": "stays"})

    def write(_attempt: int) -> None:
        origin.a_set.update_one({"_id": 5}, {"$set": {"text": "changed"}})
        origin.a_set.replace_one({"_id": 6}, {"whole": "new"})
        origin.a_set.delete_one({"_id": 7})
        origin.a_set.delete_one({"_id": 8})
        origin.a_set.insert_one({"_id": 8, "text": "again"})
        origin.a_set.insert_one({"_id": "new"})
        origin.a_set.insert_one({"_id": "gone at once"})
        origin.a_set.delete_one({"_id": "gone at once"})
        origin.b_set.delete_many({})

    manifest = dumped_while(origin, folder, write)
    require_same(origin, folder, manifest)
    assert manifest.was_frozen is False
    assert one_of(manifest).documents == 1_000
    assert one_of(manifest, "b_set").documents == 0
    with gzip.open(folder / one_of(manifest).file) as whole:
        assert sorted(split(whole.read())) == on_server(origin, "a_set")


def test_blocks_in_which_nothing_was_written_are_copied_as_they_are(origin: Database[Any], folder: Path) -> None:
    fill(origin)
    unwritten = one_of(dumped_while(origin, folder.with_name("quiet"), lambda _attempt: None))
    manifest = dumped_while(origin, folder, lambda _attempt: origin.a_set.delete_one({"_id": 500}) and None)
    before, after = [block.sha256 for block in unwritten.blocks], [block.sha256 for block in one_of(manifest).blocks]
    assert len(before) == len(after) > 10
    assert len(set(before) - set(after)) == 1
    assert [bson.decode(one)["_id"] for one in read_block(folder, one_of(manifest), 1)][:3] == [0, 1, 2]


def test_an_archive_of_a_moment_can_be_loaded(origin: Database[Any], copy: Database[Any], folder: Path) -> None:
    fill(origin)
    manifest = dumped_while(origin, folder, lambda _attempt: origin.a_set.delete_many({"n": 3}) and None)
    load(folder, manifest, copy)
    assert collection_hashes(copy, ["a_set"]) == collection_hashes(origin, ["a_set"])


@pytest.mark.parametrize("collation", [None, {"locale": "en", "strength": 1}], ids=["by bytes", "with a collation"])
def test_ids_of_every_type_and_their_lookalikes(
    origin: Database[Any], folder: Path, collation: dict[str, Any] | None
) -> None:
    origin.create_collection("a_set", **({"collation": collation} if collation else {}))
    raw = origin.get_collection("a_set", codec_options=RAW)
    for number, value in enumerate([*IDENTIFIERS, "Ab", "cd"]):
        # The collation holds some of them to be the same.
        with suppress(DuplicateKeyError):
            raw.insert_one({"_id": value, "n": number})

    def write(_attempt: int) -> None:
        origin.a_set.update_many({"n": {"$mod": [3, 0]}}, {"$set": {"changed": True}})
        origin.a_set.delete_many({"n": {"$mod": [5, 1]}})
        # MongoDB holds these to be the same id: the document keeps its place, and its id becomes another one.
        origin.a_set.delete_many({"_id": {"$in": [1, 1.0, "Ab"]}})
        origin.a_set.insert_one({"_id": 1, "n": -1})
        origin.a_set.delete_one({"_id": 1})
        origin.a_set.insert_one({"_id": 1.0, "n": -2})
        origin.a_set.insert_one({"_id": "aB", "n": -3})

    require_same(origin, folder, dumped_while(origin, folder, write))


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.faults) for seed in range(2, 8))])
def test_a_random_history_of_writes(origin: Database[Any], folder: Path, seed: int) -> None:
    choose = random.Random(seed)
    for name in NAMES[:3]:
        origin[name].insert_many({"_id": number, "text": "x" * choose.randrange(200)} for number in range(300))

    def write(_attempt: int) -> None:
        for _ in range(200):
            collection, number = origin[choose.choice(NAMES)], choose.randrange(400)
            match choose.randrange(5):
                case 0:
                    collection.delete_one({"_id": number})
                case 1:
                    collection.update_one({"_id": number}, {"$set": {"n": choose.random()}})
                case 2:
                    collection.bulk_write(
                        [ReplaceOne({"_id": number}, {"text": "y" * choose.randrange(9_000)}, upsert=True)]
                    )
                case 3:
                    with origin.client.start_session() as session, session.start_transaction():
                        collection.update_one({"_id": number}, {"$inc": {"m": 1}}, upsert=True, session=session)
                        origin.a_set.delete_one({"_id": choose.randrange(400)}, session=session)
                case _:
                    collection.delete_many({"_id": {"$gte": number, "$lt": number + 3}})

    require_same(origin, folder, dumped_while(origin, folder, write, before=write))


def test_the_oplog_file_brings_what_was_dumped_first_to_the_same_state(origin: Database[Any], folder: Path) -> None:
    fill(origin, 50)
    before = {document["_id"]: document for document in origin.a_set.find()}

    def write(_attempt: int) -> None:
        origin.a_set.update_many({"_id": {"$lt": 10}}, {"$set": {"text": "changed"}})
        origin.a_set.delete_many({"_id": {"$gte": 45}})
        origin.a_set.insert_one({"_id": "new"})

    dumped_while(origin, folder, write)
    for namespace, key, document in read_oplog(folder / OPLOG):
        assert namespace == f"{origin.name}.a_set"
        identifier = bson.decode(key)["_id"]
        if document is None:
            del before[identifier]
        else:
            before[identifier] = bson.decode(document)
    assert sorted(map(str, before.values())) == sorted(map(str, origin.a_set.find()))


def dropped(origin: Database[Any]) -> None:
    origin.drop_collection("a_set")


def dropped_and_created_again(origin: Database[Any]) -> None:
    origin.drop_collection("a_set")
    origin.a_set.insert_one({"_id": "another"})


def created(origin: Database[Any]) -> None:
    origin.d_set.insert_one({"_id": "created"})


def indexed(origin: Database[Any]) -> None:
    origin.a_set.create_index("text")


def given_an_option(origin: Database[Any]) -> None:
    origin.command("collMod", "a_set", validationLevel="moderate", validator={"_id": {"$exists": True}})


def renamed(origin: Database[Any]) -> None:
    origin.a_set.rename("d_set")


def written_under_another_name(origin: Database[Any]) -> None:
    origin.a_set.rename("elsewhere")
    origin.elsewhere.update_many({}, {"$set": {"text": "written elsewhere"}})
    origin.elsewhere.rename("a_set")


@pytest.mark.parametrize(
    "change",
    [dropped, dropped_and_created_again, created, indexed, given_an_option, renamed, written_under_another_name],
)
def test_a_collection_that_is_changed_itself_is_dumped_again(
    origin: Database[Any], folder: Path, change: Callable[[Database[Any]], None]
) -> None:
    fill(origin)
    origin.c_set.insert_one({"_id": 1})

    def write(attempt: int) -> None:
        if attempt == 1:
            change(origin)

    manifest = dumped_while(origin, folder, write)
    require_same(origin, folder, manifest)
    described = {one.name: one.describe() for one in manifest.collections}
    if "a_set" in described:
        assert {index["name"] for index in described["a_set"].indexes} == set(origin.a_set.index_information())


def test_a_collection_that_is_changed_each_time_fails_the_dump_and_leaves_nothing(
    origin: Database[Any], folder: Path
) -> None:
    fill(origin)
    with pytest.raises(
        DumpFailed,
        match=f"tried {ATTEMPTS} times.*a_set changed in options, indexes or name.*The origin was not touched",
    ):
        dumped_while(origin, folder, lambda attempt: origin.a_set.create_index(f"n{attempt}") and None)
    assert not list(folder.parent.iterdir())


def test_what_was_changed_itself_is_not_read_from_a_member_that_lags_behind(
    origin: Database[Any], folder: Path
) -> None:
    """No event says which documents `$out` replaced: a member is only asked for what came after it."""
    fill(origin)
    asked: list[ClusterTime] = []

    def write(described: Mapping[str, Collection], aside: Path, since: ClusterTime) -> Iterable[ArchivedCollection]:
        asked.append(since)
        parts = write_files(origin, lambda _progress: None, BLOCK, described, aside, since=since)
        if len(asked) == 1:
            origin.a_set.aggregate([{"$set": {"text": "replaced"}}, {"$out": "a_set"}])
            asked.append(ClusterTime.of(origin.client.admin.command("ping")["operationTime"]))
        return parts

    write_unfrozen_archive(origin, NAMES, folder, write, release_id="r", log=lambda _: None, block_bytes=BLOCK)
    first, replaced, second = (moment.timestamp() for moment in asked)
    assert first < replaced <= second
    require_same(origin, folder, read_manifest(folder))


def test_a_collection_that_is_dropped_while_it_is_read_is_no_failure(origin: Database[Any], folder: Path) -> None:
    fill(origin)
    origin.b_set.insert_one({"_id": 1})

    def drop(attempt: int) -> None:
        if attempt == 1:
            origin.a_set.drop()
            raise OperationFailure("collection dropped", 175)

    require_same(origin, folder, dumped_while(origin, folder, drop))


def test_a_file_that_was_begun_anew_and_not_finished_is_written_again(origin: Database[Any], folder: Path) -> None:
    fill(origin)
    origin.b_set.insert_one({"_id": 1})

    def break_off(attempt: int) -> None:
        if attempt == 1:
            # Its definition is the same afterwards: only the stream tells.
            written_under_another_name(origin)
        if attempt == 2:
            (begun,) = folder.parent.glob("*/*/a_set.bson.gz")
            begun.write_bytes(b"")
            raise OperationFailure("cursor not found", 43)

    require_same(origin, folder, dumped_while(origin, folder, break_off))


def test_a_collection_that_is_dropped_after_the_moment_is_not_missing_at_that_moment(
    origin: Database[Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(origin)
    origin.b_set.insert_one({"_id": 1, "a_set": "is there"})
    listings = 0

    def listing(database: Database[Any], names: Iterable[str]) -> Mapping[str, Collection]:
        nonlocal listings
        listings += 1
        if listings == 2:
            # The moment was asked for before.
            origin.b_set.update_one({"_id": 1}, {"$set": {"a_set": "is gone"}})
            origin.a_set.drop()
        return list_collections(database, names)

    monkeypatch.setattr(dump_unfrozen_module, "list_collections", listing)
    manifest = dumped_while(origin, folder, lambda _attempt: None)
    require_same(origin, folder, manifest)


def test_a_document_that_got_lost_on_the_way_is_noticed(origin: Database[Any], folder: Path) -> None:
    fill(origin)

    def write(described: Mapping[str, Collection], aside: Path, since: ClusterTime) -> Iterable[ArchivedCollection]:
        parts = write_files(origin, lambda _progress: None, BLOCK, described, aside, since=since)
        # As if the reader had lost a document of a later block.
        left_out = bson.encode(origin.a_set.find_one({"_id": 999}))
        return [merge(aside, one, lambda key: key == key_of(left_out), [], block_bytes=BLOCK) for one in parts]

    with pytest.raises(DumpFailed, match="a_set had 1,000 documents at the end of the dump, and the archive has 999"):
        write_unfrozen_archive(origin, NAMES, folder, write, release_id="r", log=lambda _: None, block_bytes=BLOCK)


def test_what_a_killed_dump_left_is_removed(origin: Database[Any], folder: Path) -> None:
    fill(origin)
    for name in ("archive.partial", "archive.delta"):
        (folder.parent / name).mkdir()
        (folder.parent / name / "left").write_text("")
    dump_unfrozen(origin, NAMES, folder, release_id="r", log=lambda _: None)
    assert [path.name for path in folder.parent.iterdir()] == ["archive"]


def test_nothing_is_written_to_the_database(origin: Database[Any], folder: Path) -> None:
    fill(origin)
    before = {one["name"]: one for one in origin.list_collections()}
    moment = origin.client.admin.command("ping")["operationTime"]
    dump_unfrozen(origin, [*NAMES, str(ObjectId())], folder, release_id="r", log=lambda _: None)
    assert {one["name"]: one for one in origin.list_collections()} == before
    oplog = origin.client.local["oplog.rs"]
    assert oplog.count_documents({"ts": {"$gt": moment}, "ns": {"$regex": f"^{origin.name}\\."}}) == 0
