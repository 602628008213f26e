"""`oplog.bson` says exactly what became of the documents, and whoever applies it gets them."""

import gzip
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Int64, Timestamp
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from nmdc_release_ops.files import FileNotWritten
from nmdc_release_ops.mongo.archive.oplog_file import (
    OPLOG,
    Change,
    OplogFileDamaged,
    Written,
    read_oplog,
    write_oplog,
)
from nmdc_release_ops.mongo.delta.keys import key_of
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.raw import RAW, split
from nmdc_release_ops_tests.full_disk import FULL_DISKS, FullDisk
from nmdc_release_ops_tests.mongo.delta.raw_documents import contents, insert_raw, key
from nmdc_release_ops_tests.mongo.odd_data import IDENTIFIERS, largest_document, raw_documents

MOMENT = ClusterTime(seconds=1_800_000_000, increment=7)


def upsert(document: bytes, identifier: Any) -> Change:
    return "db.a_set", key(identifier), document


def test_deletions_come_first_and_every_change_comes_back(tmp_path: Path) -> None:
    changes: list[Change] = [
        ("db.a_set", key(1.0), bson.encode({"_id": 1.0, "x": 1})),
        ("db.a_set", key(1), None),
        ("db.b.dotted", key("x"), bson.encode({"_id": "x"})),
        ("db.b.dotted", key(None), None),
    ]
    path = tmp_path / OPLOG
    assert write_oplog(path, changes, MOMENT) == Written(deletions=2, upserts=2)
    assert list(read_oplog(path)) == [changes[1], changes[3], changes[0], changes[2]]
    assert list(tmp_path.iterdir()) == [path]


def test_entries_have_the_form_that_mongorestore_takes(tmp_path: Path) -> None:
    document = bson.encode({"_id": "x", "n": Int64(1)})
    write_oplog(tmp_path / OPLOG, [upsert(document, "x"), ("db.a_set", key("gone"), None)], MOMENT)
    entries = [bson.decode(one) for one in split(gzip.decompress((tmp_path / OPLOG).read_bytes()))]
    base = {"ts": Timestamp(1_800_000_000, 7), "t": 1, "v": 2, "ns": "db.a_set"}
    assert entries == [
        {**base, "op": "d", "o": {"_id": "gone"}},
        {**base, "op": "u", "o": {"_id": "x", "n": 1}, "o2": {"_id": "x"}, "b": True},
    ]
    assert [list(entry) for entry in entries] == [
        ["ts", "t", "v", "op", "ns", "o"],
        ["ts", "t", "v", "op", "ns", "o", "o2", "b"],
    ]


def test_documents_are_kept_to_the_byte(tmp_path: Path) -> None:
    documents = [*raw_documents(), *(bson.encode({"_id": one, "n": 1}) for one in IDENTIFIERS), largest_document()]
    changes = [("db.a_set", key_of(one), one) for one in documents]
    write_oplog(tmp_path / OPLOG, changes, MOMENT)
    assert list(read_oplog(tmp_path / OPLOG)) == changes


def test_a_server_that_applies_it_has_the_same_documents(origin: Database[Any], tmp_path: Path) -> None:
    """By `applyOps`, which is what `mongorestore --oplogReplay` sends."""
    target = origin.client[f"{origin.name}_copy"]
    try:
        ids = [1, 2, "gone", {"a": 1}]
        before = [bson.encode({"_id": one, "n": 0}) for one in ids]
        insert_raw(target, "a_set", *before)
        after = [bson.encode({"_id": 1.0, "n": 1}), bson.encode({"_id": 2}), *raw_documents()]
        after += [bson.encode({"_id": one}) for one in IDENTIFIERS if one != 2]
        insert_raw(origin, "a_set", *after, before[3])
        changes: list[Change] = [(f"{target.name}.a_set", key_of(one), one) for one in after]
        changes += [(f"{target.name}.a_set", key(one), None) for one in (1, "gone", "never")]
        write_oplog(tmp_path / OPLOG, changes, MOMENT)
        entries = list(split(gzip.decompress((tmp_path / OPLOG).read_bytes())))
        admin = origin.client.get_database("admin", codec_options=RAW)
        for entry in entries:
            admin.command({"applyOps": [RawBSONDocument(entry)]})
        assert contents(target, "a_set") == contents(origin, "a_set")
    finally:
        origin.client.drop_database(target.name)


def test_a_file_without_changes_is_a_file(tmp_path: Path) -> None:
    assert write_oplog(tmp_path / OPLOG, [], MOMENT) == Written(0, 0)
    assert gzip.decompress((tmp_path / OPLOG).read_bytes()) == b""
    assert list(read_oplog(tmp_path / OPLOG)) == []


def test_a_large_file_is_written_and_read_as_a_stream(tmp_path: Path) -> None:
    def changes() -> Iterator[Change]:
        for number in range(40_000):
            document = bson.encode({"_id": number, "text": "x" * 500})
            yield "db.a_set", key(number), None if number % 2 else document

    assert write_oplog(tmp_path / OPLOG, changes(), MOMENT) == Written(20_000, 20_000)
    # Several members, as other programs read them too.
    assert (tmp_path / OPLOG).read_bytes().count(b"\x1f\x8b\x08") > 1
    assert len(gzip.decompress((tmp_path / OPLOG).read_bytes())) > 10_000_000
    assert set(read_oplog(tmp_path / OPLOG)) == set(changes())


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / OPLOG
    write_oplog(path, [upsert(bson.encode({"_id": 1, "x": "y" * 1_000}), 1)], MOMENT)
    whole = path.read_bytes()
    entry = gzip.decompress(whole)
    damaged = {
        "cannot be decompressed": [whole[:-9], b"plain text", whole[:20] + b"????" + whole[24:]],
        "ends in the middle of a document": [gzip.compress(entry[:-1])],
        "is no entry of an oplog": [gzip.compress(bson.encode({"x": 1}))],
        "of the kind 'c'": [gzip.compress(entry.replace(b"\x02op\0\2\0\0\0u", b"\x02op\0\2\0\0\0c"))],
    }
    for message, contents_of in damaged.items():
        for content in contents_of:
            path.write_bytes(content)
            with pytest.raises(OplogFileDamaged, match=f"oplog.bson .*{message}"):
                list(read_oplog(path))
    path.unlink()
    with pytest.raises(OplogFileDamaged, match="is missing"):
        list(read_oplog(path))


@FULL_DISKS
def test_a_full_disk_leaves_nothing(tmp_path: Path, full_disk: FullDisk) -> None:
    changes = (upsert(bson.encode({"_id": n, "x": random_text(n)}), n) for n in range(20_000))
    with full_disk(tmp_path):
        with pytest.raises(FileNotWritten, match="oplog"):
            write_oplog(tmp_path / OPLOG, changes, MOMENT)
        assert list(tmp_path.iterdir()) == []


def random_text(number: int) -> bytes:
    """Bytes that do not compress."""
    return random.Random(number).randbytes(1_000)
