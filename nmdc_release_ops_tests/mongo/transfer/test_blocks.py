"""Archives consist of blocks that can be read alone, together are one file, and are verified before they are read."""

import gzip
import os
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import bson
import bson.json_util
import pytest
from bson import MaxKey, MinKey, ObjectId, Regex
from pymongo.database import Database

from nmdc_release_ops.files import sha256_of
from nmdc_release_ops.mongo.archive import blocks as blocks_module
from nmdc_release_ops.mongo.archive.adopt import adopt
from nmdc_release_ops.mongo.archive.blocks import read_block, read_documents
from nmdc_release_ops.mongo.archive.manifest import ArchiveDamaged, read_manifest, write_manifest
from nmdc_release_ops.mongo.difference.changes import ChangeSet
from nmdc_release_ops.mongo.difference.difference import find_difference
from nmdc_release_ops.mongo.server.collections import collection_hashes, list_collections
from nmdc_release_ops.mongo.server.raw import read_raw, split
from nmdc_release_ops.mongo.transfer.load import LoadFailed, create_empty, load, load_one
from nmdc_release_ops_tests.mongo.odd_data import IDENTIFIERS, LARGEST
from nmdc_release_ops_tests.mongo.transfer.small_archive import BLOCK, dumped, fill, flip, one_of, rewritten


def documents_of(database: Database[Any], name: str) -> list[bytes]:
    return sorted(document for run in read_raw(database[name]) for document in split(run))


def test_each_block_is_a_gzip_member_of_whole_documents_and_all_together_are_one_file(
    origin: Database[Any], folder: Path
) -> None:
    fill(origin)
    archived = one_of(dumped(origin, folder))
    path = folder / archived.file
    content = path.read_bytes()
    assert len(archived.blocks) > 10
    for block, following in pairwise(archived.blocks):
        assert block.offset + block.size == following.offset
    for number, block in enumerate(archived.blocks, 1):
        documents = bson.decode_all(gzip.decompress(content[block.offset : block.offset + block.size]))
        assert (len(documents), block.bytes <= BLOCK) == (block.documents, True)
        assert [bson.decode(one) for one in read_block(folder, archived, number)] == documents
    with gzip.open(path) as whole:
        assert bson.decode_all(whole.read()) == list(origin.a_set.find().sort("_id", 1))


# No regular expression, array or undefined value can be an `_id`; within one they can.
ODD = [*IDENTIFIERS, {"r": Regex("^a", "i")}, {"min": MinKey(), "max": MaxKey()}, {"r": Regex("b")}, {"a": [1, "x"]}]


@pytest.mark.parametrize("collation", [None, {"locale": "fr", "strength": 1}], ids=["by bytes", "with a collation"])
def test_identifiers_of_every_type_are_dumped_once_whatever_the_ranges_are(
    origin: Database[Any], copy: Database[Any], folder: Path, collation: Any
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    ids = [*ODD, *(f"id {n}" for n in range(200)), *range(10, 200), *(ObjectId() for _ in range(200))]
    if collation:
        # They are the same by the collation.
        ids = [one for one in ids if one not in ("\x00", "µ漢")]
    random.Random(seed).shuffle(ids)
    origin.create_collection("a_set", **({"collation": collation} if collation else {}))
    origin.a_set.insert_many({"_id": one, "text": "x" * 100} for one in ids)
    archived = one_of(dumped(origin, folder, block_bytes=300))
    assert len(archived.blocks) > 200
    in_order = [one for run in read_raw(origin.a_set, sort=[("_id", 1)]) for one in split(run)]
    assert list(read_documents(folder, archived)) == in_order
    load(folder, read_manifest(folder), copy)
    assert documents_of(copy, "a_set") == documents_of(origin, "a_set")


def test_an_empty_collection_has_one_block_without_documents(
    origin: Database[Any], copy: Database[Any], folder: Path
) -> None:
    origin.create_collection("a_set")
    manifest = dumped(origin, folder)
    (block,) = one_of(manifest).blocks
    assert (block.documents, block.bytes) == (0, 0)
    assert gzip.decompress((folder / one_of(manifest).file).read_bytes()) == b""
    load(folder, manifest, copy)
    assert copy.list_collection_names() == ["a_set"]


def test_the_largest_documents_lie_in_blocks_of_their_own_beside_those_of_8_megabytes(
    origin: Database[Any], copy: Database[Any], folder: Path
) -> None:
    for number in range(4):
        origin.a_set.insert_one({"_id": 2 * number, "bytes": os.urandom(LARGEST - 100)})
        origin.a_set.insert_one({"_id": 2 * number + 1, "bytes": b""})
    manifest = dumped(origin, folder, blocks_module.BLOCK_BYTES)
    assert sum(block.documents for block in one_of(manifest).blocks) == 8
    assert sum(block.bytes > blocks_module.BLOCK_BYTES for block in one_of(manifest).blocks) == 4
    assert all(block.documents == 1 for block in one_of(manifest).blocks if block.bytes > blocks_module.BLOCK_BYTES)
    load(folder, manifest, copy)


@pytest.mark.parametrize("options", [{}, {"capped": True, "size": 1_000_000}], ids=["ordinary", "capped"])
def test_a_collection_keeps_its_order_over_many_blocks(
    origin: Database[Any], copy: Database[Any], folder: Path, options: dict[str, Any]
) -> None:
    origin.create_collection("a_set", **options)
    origin.a_set.insert_many({"_id": n, "text": "x" * 40} for n in random.sample(range(300), 300))
    manifest = dumped(origin, folder, 1_000)
    assert len(one_of(manifest).blocks) > 10
    load(folder, manifest, copy)
    assert list(copy.a_set.find()) == list(origin.a_set.find())


@pytest.mark.parametrize("at_once", [blocks_module.MOST_BYTES_AT_ONCE, 1_000], ids=["at once", "streamed"])
def test_an_archive_of_format_1_is_loaded_and_compared_as_before(
    origin: Database[Any], copy: Database[Any], folder: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(blocks_module, "MOST_BYTES_AT_ONCE", at_once)
    fill(origin)
    dumped(origin, folder)

    def to_format_1(manifest: dict[str, Any]) -> None:
        manifest["format"] = 1
        for one in manifest["collections"]:
            del one["blocks"]

    rewritten(folder, to_format_1)
    manifest = read_manifest(folder)
    archived = one_of(manifest)
    (block,) = archived.blocks
    assert (block.offset, block.size, block.sha256) == (0, archived.file_bytes, archived.sha256)
    load(folder, manifest, copy)
    assert collection_hashes(copy, ["a_set"]) == collection_hashes(origin, ["a_set"])
    copy.a_set.update_one({"_id": 7}, {"$set": {"n": "another"}})
    changes = ChangeSet(changed=["a_set"], created=[], renamed=[], deleted=[], untouched=[])
    (difference,) = find_difference(folder, manifest, copy, changes).collections
    assert (difference.counts.changed, difference.counts.unchanged) == (1, 999)
    path = folder / archived.file
    path.write_bytes(flip(path.read_bytes(), archived.model_copy(update={"blocks": [block] * 3})))
    with pytest.raises(ArchiveDamaged, match="Block 1 of 1 of a_set"):
        list(read_documents(folder, archived))


METADATA = (
    b'{"options": {}, "indexes": [{"v": {"$numberInt": "2"}, "key": {"_id": {"$numberInt": "1"}}, "name": "_id_"}]}'
)


def members_of(folder: Path, name: str, parts: list[bytes]) -> None:
    (folder / "nmdc").mkdir(parents=True)
    (folder / "nmdc" / f"{name}.bson.gz").write_bytes(b"".join(map(gzip.compress, parts)))
    (folder / "nmdc" / f"{name}.metadata.json.gz").write_bytes(gzip.compress(METADATA))


@pytest.mark.parametrize("at_once", [blocks_module.MOST_BYTES_AT_ONCE, 10], ids=["at once", "streamed"])
@pytest.mark.parametrize(
    ("cuts", "blocks"),
    [([], 1), ([100 * 55], 2), ([0, 55, 400 * 55, 55_000], 5), ([100 * 55 + 3], 1), ([55, 100, 5_500], 1)],
    ids=["one member", "two", "some empty", "cut within a document", "one cut within a document"],
)
def test_the_members_of_a_file_that_others_wrote_are_its_blocks_if_they_hold_whole_documents(
    copy: Database[Any], folder: Path, monkeypatch: pytest.MonkeyPatch, cuts: list[int], blocks: int, at_once: int
) -> None:
    monkeypatch.setattr(blocks_module, "MOST_BYTES_AT_ONCE", at_once)
    documents = [bson.encode({"_id": n, "text": "x" * 30}) for n in range(1_000)]
    assert {len(document) for document in documents} == {55}
    content = b"".join(documents)
    places = [0, *cuts, len(content)]
    members_of(folder, "a_set", [content[start:end] for start, end in pairwise(places)])
    manifest = adopt(folder, "nmdc")
    archived = one_of(manifest)
    assert read_manifest(folder) == manifest
    assert archived.sha256 == sha256_of(folder / archived.file)
    assert len(archived.blocks) == blocks
    assert list(read_documents(folder, archived)) == documents
    load(folder, manifest, copy)
    assert copy.a_set.count_documents({}) == 1_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(bson.encode({"a": 1}))[:-3], "cannot be decompressed"),
        (gzip.compress(bson.encode({"a": 1})) + b"more", "cannot be decompressed"),
        (gzip.compress(bson.encode({"a": 1})[:-1]), "ends in the middle of a document"),
    ],
    ids=["cut", "something after it", "half a document"],
)
def test_a_file_of_others_that_cannot_be_read_whole_is_not_adopted(folder: Path, content: bytes, message: str) -> None:
    members_of(folder, "a_set", [])
    (folder / "nmdc" / "a_set.bson.gz").write_bytes(content)
    with pytest.raises(ArchiveDamaged, match=message):
        adopt(folder, "nmdc")


def test_single_collections_are_loaded_into_a_database_of_empty_ones(
    origin: Database[Any], copy: Database[Any], folder: Path
) -> None:
    fill(origin)
    origin.another_set.insert_one({"_id": 1})
    manifest = dumped(origin, folder)
    create_empty(manifest, copy)
    assert sorted(copy.list_collection_names()) == ["a_set", "another_set"]
    load_one(folder, one_of(manifest), copy)
    assert documents_of(copy, "a_set") == documents_of(origin, "a_set")
    assert copy.another_set.count_documents({}) == 0
    before, after = list_collections(origin), list_collections(copy)
    for name, was in before.items():
        assert (after[name].options, after[name].indexes) == (was.options, was.indexes)
    with pytest.raises(LoadFailed, match="the collection is not empty"):
        load_one(folder, one_of(manifest), copy)
    copy.drop_collection("another_set")
    with pytest.raises(LoadFailed, match="the collection does not exist"):
        load_one(folder, one_of(manifest, "another_set"), copy)


def test_a_single_collection_that_comes_out_other_than_it_was_dumped_is_noticed(
    origin: Database[Any], copy: Database[Any], folder: Path
) -> None:
    fill(origin)
    manifest = dumped(origin, folder)
    write_manifest(folder, manifest)
    create_empty(manifest, copy)
    with pytest.raises(LoadFailed, match=f"hash .* instead of 1000 with {'0' * 32}"):
        load_one(folder, one_of(manifest).model_copy(update={"hash": "0" * 32}), copy)
