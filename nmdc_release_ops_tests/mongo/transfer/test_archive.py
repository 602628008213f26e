"""What an archive looks like, and when there is none."""

import gzip
import json
import time
from pathlib import Path
from threading import Event
from typing import Any

import bson
import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database

from nmdc_release_ops.mongo.archive.making import DumpFailed
from nmdc_release_ops.mongo.archive.manifest import ArchiveDamaged, Manifest, read_manifest
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.progress import Progress
from nmdc_release_ops.mongo.server.raw import count_documents, split
from nmdc_release_ops.mongo.transfer.dump import dump

THEN = ClusterTime(seconds=1, increment=1)


@pytest.fixture
def origin(scratch_mongod: PrivateMongod) -> Any:
    with MongoClient[Any](scratch_mongod.uri) as client:
        name = f"archive_{ObjectId()}"
        yield client[name]
        client.drop_database(name)


def dumped(database: Database[Any], folder: Path) -> Manifest:
    return dump(database, database.list_collection_names(), folder, release_id="r", cluster_time=THEN)


def test_the_layout_is_the_one_of_mongodump(origin: Any, tmp_path: Path) -> None:
    origin.plain_set.insert_one({"_id": 1})
    dumped(origin, tmp_path / "archive")
    folder = tmp_path / "archive" / origin.name
    assert {path.name for path in folder.iterdir()} == {"plain_set.bson.gz", "plain_set.metadata.json.gz"}
    assert {path.name for path in folder.parent.iterdir()} == {origin.name, "manifest.json", "manifest.json.sha256"}
    assert bson.decode(gzip.decompress((folder / "plain_set.bson.gz").read_bytes())) == {"_id": 1}
    metadata = json.loads(gzip.decompress((folder / "plain_set.metadata.json.gz").read_bytes()))
    assert metadata["collectionName"] == "plain_set" and metadata["type"] == "collection"
    assert metadata["indexes"][0]["key"] == {"_id": {"$numberInt": "1"}}
    assert (tmp_path / "archive").stat().st_mode & 0o077 == 0


def test_an_archive_without_a_manifest_is_none(tmp_path: Path) -> None:
    with pytest.raises(ArchiveDamaged, match="not a complete archive"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("stream", [True, False], ids=["change stream", "hashes"])
@pytest.mark.parametrize(
    "write",
    [
        lambda written: written.insert_one({"_id": 2}),
        lambda written: written.update_one({"_id": 1}, {"$set": {"x": 1}}),
    ],
    ids=["insert", "update"],
)
def test_a_collection_that_changes_while_it_is_dumped_is_named(
    origin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any, stream: bool
) -> None:
    from nmdc_release_ops.mongo.transfer import dump as module

    origin.plain_set.insert_one({"_id": 1})
    hashes = module.collection_hashes

    def write_then_hash(database: Any, names: Any) -> Any:
        write(origin.plain_set)
        return hashes(database, names)

    monkeypatch.setattr(module, "collection_hashes", write_then_hash)
    if not stream:
        monkeypatch.setattr("nmdc_release_ops.mongo.transfer.watch.touched_since", lambda *_: None)
    with pytest.raises(DumpFailed, match="plain_set changed while being dumped"):
        dumped(origin, tmp_path / "archive")


def test_a_dump_that_fails_in_one_collection_does_not_go_on_with_the_others(
    origin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nmdc_release_ops.mongo.transfer.dump.THREADS", 2)
    origin.large_set.insert_many({"_id": n} for n in range(100_000))
    origin.small_set.insert_one({"_id": 1})
    begun = Event()
    seen = []

    def report(progress: Progress) -> None:
        if progress.collection == "small_set":
            begun.wait(timeout=20)
            raise RuntimeError("the run is cancelled")
        begun.set()
        seen.append(progress.done)
        time.sleep(0.2)

    with pytest.raises(RuntimeError, match="cancelled"):
        dump(origin, ["large_set", "small_set"], tmp_path / "archive", release_id="r", cluster_time=THEN, report=report)
    assert 0 < max(seen) < 50_000
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_ends_within_a_document_is_not_taken_for_whole() -> None:
    run = bson.encode({"a": 1}) + bson.encode({"b": "x" * 50})
    assert count_documents(run) == 2
    assert [bson.decode(document) for document in split(run)] == [{"a": 1}, {"b": "x" * 50}]
    with pytest.raises(ValueError, match="middle of a document"):
        count_documents(run[:-1])
