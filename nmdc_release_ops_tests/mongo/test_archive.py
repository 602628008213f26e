"""An archive holds exactly what was dumped, and says so when it does not."""

import gzip
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Binary, DatetimeMS, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from pymongo import ASCENDING, TEXT, IndexModel, MongoClient
from pymongo.database import Database

from nmdc_release_ops.mongo.archive import ArchiveDamaged, Manifest, read_manifest
from nmdc_release_ops.mongo.clock import ClusterTime
from nmdc_release_ops.mongo.collections import collection_hashes, comparable_indexes, list_collections
from nmdc_release_ops.mongo.dump import DumpFailed, dump
from nmdc_release_ops.mongo.load import load
from nmdc_release_ops.mongo.raw import count_documents, split
from nmdc_release_ops.mongo.server import PrivateMongod

THEN = ClusterTime(seconds=1, increment=1)
RAW = CodecOptions(document_class=RawBSONDocument)
ODD_DOCUMENTS: list[dict[str, Any]] = [
    {"_id": Int64(1), "int": 1, "long": Int64(1), "double": 1.0, "decimal": Decimal128("1.0")},
    {"_id": "nan", "nan": float("nan"), "minus zero": -0.0, "infinity": float("inf")},
    {"_id": {"a": 1, "b": 2}, "binary": Binary(b"\x00\xff", 128), "timestamp": Timestamp(4, 2)},
    {"_id": None, "before python": DatetimeMS(-(2**62)), "after python": DatetimeMS(2**62)},
    {"_id": MinKey(), "regex": Regex("^a", "im"), "nested": [[], [[{}]], [None]], "max": MaxKey()},
    {"_id": ObjectId(b"123456789012"), "z": 1, "a": 2, "": "empty key", "dotted.key": 3, "$dollar": 4},
    {"_id": "large", "text": "x" * (16 * 1024 * 1024 - 200)},
    {"_id": datetime(2026, 1, 1, tzinfo=UTC), "unicode": "µ\u0000\U0001f9a0"},
]


@pytest.fixture
def origin(scratch_mongod: PrivateMongod) -> Any:
    with MongoClient[Any](scratch_mongod.uri) as client:
        name = f"archive_{ObjectId()}"
        yield client[name]
        client.drop_database(name)


@pytest.fixture
def copy(scratch_mongod: PrivateMongod) -> Any:
    with MongoClient[Any](scratch_mongod.uri) as client:
        name = f"copy_{ObjectId()}"
        yield client[name]
        client.drop_database(name)


def fill(database: Database[Any]) -> None:
    odd = database.get_collection(
        "odd_set", codec_options=CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
    )
    odd.insert_many(ODD_DOCUMENTS)
    # Two keys of one name, which no Python dict can hold.
    twice = bson.encode({"_id": "twice", "a": 1, "b": 2}).replace(b"\x10b\x00", b"\x10a\x00")
    database.get_collection("odd_set", codec_options=RAW).insert_one(RawBSONDocument(twice))
    database.create_collection("empty_set", collation={"locale": "fr", "strength": 2}, validator={"x": {"$ne": 1}})
    database.plain_set.insert_many({"_id": n, "id": f"nmdc:{n}", "n": n} for n in range(25_000))
    database.plain_set.create_indexes(
        [
            IndexModel([("id", ASCENDING)], unique=True),
            IndexModel([("n", ASCENDING), ("id", -1)], name="compound"),
            IndexModel([("n", ASCENDING)], name="partial", partialFilterExpression={"n": {"$gt": 5}}),
            IndexModel([("text", TEXT)], weights={"text": 3}),
            IndexModel([("when", ASCENDING)], expireAfterSeconds=10**9),
            IndexModel([("$**", ASCENDING)], name="wildcard"),
            IndexModel([("place", "2dsphere")]),
            IndexModel([("n", "hashed")]),
        ]
    )


def dumped(database: Database[Any], folder: Path) -> Manifest:
    return dump(database, database.list_collection_names(), folder, release_id="r", cluster_time=THEN)


def documents(database: Database[Any], name: str) -> list[bytes]:
    return [document.raw for document in database.get_collection(name, codec_options=RAW).find({})]


def test_every_document_comes_back_byte_for_byte_and_in_the_same_order(origin: Any, copy: Any, tmp_path: Path) -> None:
    fill(origin)
    manifest = dumped(origin, tmp_path / "archive")
    load(tmp_path / "archive", manifest, copy)
    for name in origin.list_collection_names():
        assert documents(origin, name) == documents(copy, name), name
    assert collection_hashes(origin, list_collections(origin)) == collection_hashes(copy, list_collections(origin))


def test_indexes_and_options_come_back_exactly(origin: Any, copy: Any, tmp_path: Path) -> None:
    fill(origin)
    load(tmp_path / "archive", dumped(origin, tmp_path / "archive"), copy)
    before, after = list_collections(origin), list_collections(copy)
    assert before.keys() == after.keys()
    for name, collection in before.items():
        assert comparable_indexes(collection.indexes) == comparable_indexes(after[name].indexes)
        assert collection.options == after[name].options
    assert len(before["plain_set"].indexes) == 9


def test_the_layout_is_the_one_of_mongodump(origin: Any, tmp_path: Path) -> None:
    origin.plain_set.insert_one({"_id": 1})
    dumped(origin, tmp_path / "archive")
    folder = tmp_path / "archive" / origin.name
    assert {path.name for path in folder.iterdir()} == {"plain_set.bson.gz", "plain_set.metadata.json.gz"}
    assert bson.decode(gzip.decompress((folder / "plain_set.bson.gz").read_bytes())) == {"_id": 1}
    metadata = json.loads(gzip.decompress((folder / "plain_set.metadata.json.gz").read_bytes()))
    assert metadata["collectionName"] == "plain_set" and metadata["type"] == "collection"
    assert metadata["indexes"][0]["key"] == {"_id": {"$numberInt": "1"}}
    assert (tmp_path / "archive").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "extend"])
def test_a_damaged_file_is_named_and_nothing_is_loaded(origin: Any, copy: Any, tmp_path: Path, damage: str) -> None:
    origin.plain_set.insert_many({"_id": n, "text": os.urandom(40)} for n in range(2_000))
    origin.other_set.insert_one({"_id": 1})
    manifest = dumped(origin, tmp_path / "archive")
    file = tmp_path / "archive" / origin.name / "plain_set.bson.gz"
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    file.write_bytes({"truncate": content[:-1], "extend": content + b"\0"}.get(damage, content))
    if damage == "remove":
        file.unlink()
    with pytest.raises(ArchiveDamaged, match=r"plain_set\.bson\.gz"):
        load(tmp_path / "archive", manifest, copy)
    assert copy.list_collection_names() == []


def test_an_archive_without_a_manifest_is_none(tmp_path: Path) -> None:
    with pytest.raises(ArchiveDamaged, match="no complete archive"):
        read_manifest(tmp_path)


def test_a_dump_that_fails_leaves_no_folder_that_looks_complete(
    origin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    origin.plain_set.insert_one({"_id": 1})
    monkeypatch.setattr("nmdc_release_ops.mongo.dump._write_durably", full)
    with pytest.raises(DumpFailed, match="No space left on device"):
        dumped(origin, tmp_path / "archive")
    assert list(tmp_path.iterdir()) == []


def test_a_collection_that_changes_while_it_is_dumped_is_named(
    origin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nmdc_release_ops.mongo import dump as module

    origin.plain_set.insert_one({"_id": 1})
    hashes = module.collection_hashes

    def write_then_hash(database: Any, names: Any) -> Any:
        origin.plain_set.insert_one({"_id": 2})
        return hashes(database, names)

    monkeypatch.setattr(module, "collection_hashes", write_then_hash)
    with pytest.raises(DumpFailed, match="plain_set changed while being dumped"):
        dumped(origin, tmp_path / "archive")


def test_a_run_that_ends_within_a_document_is_not_taken_for_whole() -> None:
    run = bson.encode({"a": 1}) + bson.encode({"b": "x" * 50})
    assert count_documents(run) == 2
    assert [bson.decode(document) for document in split(run)] == [{"a": 1}, {"b": "x" * 50}]
    with pytest.raises(ValueError, match="middle of a document"):
        count_documents(run[:-1])
