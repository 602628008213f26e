"""A delta keeps every key once, on disk, with the position that belongs to it, and answers fast what is not in it."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import bson
import pytest
from bson import Int64, ObjectId

from nmdc_release_ops.files import FileNotWritten
from nmdc_release_ops.mongo.delta import delta as module
from nmdc_release_ops.mongo.delta.delta import Batch, Delta, Position
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops_tests.full_disk import FULL_DISKS, FullDisk
from nmdc_release_ops_tests.mongo.delta.raw_documents import key, keys

MOMENT = ClusterTime(seconds=1_800_000_000, increment=7)


def test_a_key_counts_once_for_each_collection(delta: Delta) -> None:
    delta.add("a_set", keys(1, 2))
    delta.add("a_set", keys(2, 3, 1.0, Int64(1)))
    delta.add("b_set", keys(1))
    delta.add("c_set", [])
    assert delta.counts == {"a_set": 5, "b_set": 1}
    assert (delta.count("a_set"), delta.count("c_set"), delta.count("d_set"), delta.total) == (5, 0, 0, 6)
    assert set(delta.keys("a_set")) == keys(1, 2, 3, 1.0, Int64(1))
    assert list(delta.keys("a_set")) == sorted(delta.keys("a_set"))
    assert list(delta.keys("d_set")) == []


def test_what_was_recorded_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "delta.sqlite"
    with Delta(path) as delta:
        assert delta.position == Position()
        batch = Batch(keys={"a_set": keys("x")}, redefined={"b_set": {"drop", "create"}, "a_set": {"modify"}})
        delta.record(batch, Position(b"token", MOMENT))
    assert [file.name for file in tmp_path.iterdir()] == ["delta.sqlite"]
    with Delta(path) as delta:
        assert delta.counts == {"a_set": 1}
        assert delta.redefined == {"a_set": {"modify"}, "b_set": {"create", "drop"}}
        assert delta.position == Position(b"token", MOMENT)
        delta.record(Batch(), Position(b"later", None))
        assert delta.position == Position(b"later", None)


def test_a_killed_process_leaves_a_batch_and_its_position_or_neither(tmp_path: Path) -> None:
    code = (
        "import os, sys, bson\n"
        "from pathlib import Path\n"
        "from nmdc_release_ops.mongo.delta.delta import *\n"
        "delta = Delta(Path(sys.argv[1]))\n"
        "for n in range(1000):\n"
        "    keys = {bson.encode({'_id': n * 100 + m}) for m in range(100)}\n"
        "    delta.record(Batch({'a_set': keys}), Position(b'%d' % n))\n"
        "    if n == 20: print('going', flush=True)\n"
    )
    path = tmp_path / "delta.sqlite"
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"going\n"
        process.kill()
    with Delta(path) as delta:
        token = delta.position.token
        assert token is not None and int(token) >= 20
        assert delta.total == len(list(delta.keys("a_set"))) == (int(token) + 1) * 100


@pytest.mark.parametrize("few", [True, False], ids=["in memory", "by the bitmap"])
def test_membership_is_exact(delta: Delta, monkeypatch: pytest.MonkeyPatch, few: bool) -> None:
    if not few:
        monkeypatch.setattr(module, "FEW_KEYS", 0)
    inside = keys(*range(0, 20_000, 2), "x" * 20_000)
    delta.add("a_set", inside)
    delta.add("b_set", keys(*range(20_000)))
    contains = delta.membership("a_set")
    assert all(contains(one) for one in inside)
    assert not any(contains(key(number)) for number in range(1, 20_000, 2))
    assert not any(contains(key(float(number))) for number in range(0, 20_000, 2))
    assert not delta.membership("d_set")(key(1))


def test_300_000_keys_are_kept_in_little_memory_and_what_is_not_among_them_costs_little(delta: Delta) -> None:
    rng = random.Random(1)
    generated = (bson.encode({"_id": ObjectId(rng.randbytes(12))}) for _ in range(300_000))
    batches = iter(lambda: {one for _, one in zip(range(20_000), generated, strict=False)}, set())
    delta.add("a_set", next(batches))
    before = resident()
    for batch in batches:
        delta.add("a_set", batch)
    assert sum(1 for _ in delta.keys("a_set")) == delta.total == 300_000
    contains = delta.membership("a_set")
    # SQLite's own cache may take 64 MB; 300,000 keys in a set of Python's take 40 MB.
    assert resident() - before < 60_000_000
    others = [bson.encode({"_id": ObjectId()}) for _ in range(100_000)]
    started = time.process_time()
    assert not any(map(contains, others))
    assert time.process_time() - started < 0.5


def test_a_membership_may_be_asked_while_the_delta_grows(delta: Delta, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FEW_KEYS", 0)
    delta.add("a_set", keys(*range(1_000)))
    contains = delta.membership("a_set")
    for number, one in enumerate(delta.keys("a_set")):
        if number % 100 == 0:
            delta.add("b_set", keys(number))
        assert contains(one)
    assert delta.count("b_set") == 10


def test_a_disk_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotWritten, match="sqlite could not be written"):
        Delta(tmp_path / "missing" / "delta.sqlite")


@FULL_DISKS
def test_a_full_disk_is_named_and_keeps_what_was_recorded(tmp_path: Path, full_disk: FullDisk) -> None:
    with full_disk(tmp_path), Delta(tmp_path / "delta.sqlite") as delta:
        delta.record(Batch({"a_set": keys(1)}), Position(b"1"))
        with pytest.raises(FileNotWritten, match="sqlite could not be written"):
            delta.record(Batch({"a_set": keys(*(f"{n:0100}" * 10 for n in range(10_000)))}), Position(b"2"))
        assert (delta.total, set(delta.keys("a_set")), delta.position.token) == (1, keys(1), b"1")


def resident() -> int:
    """Bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_keys_move_into_another_delta_and_the_position_stays(tmp_path: Path, delta: Delta) -> None:
    delta.record(Batch(keys={"a_set": keys(1, 2), "b_set": keys("x")}, redefined={"a_set": {"modify"}}), Position(b"t"))
    with Delta(tmp_path / "other.sqlite") as other:
        other.record(Batch(keys={"a_set": keys(2, 3)}), Position(b"theirs"))
        delta.move_into(other)
        assert (delta.counts, delta.total, list(delta.keys("a_set"))) == ({}, 0, [])
        assert delta.position == Position(b"t") and delta.redefined == {"a_set": {"modify"}}
        assert other.counts == {"a_set": 3, "b_set": 1}
        assert set(other.keys("a_set")) == keys(1, 2, 3)
        assert other.position == Position(b"theirs") and other.redefined == {}
        # What was interrupted is done again.
        delta.add("a_set", keys(3, 4))
        delta.move_into(other)
        delta.move_into(other)
        assert other.counts == {"a_set": 4, "b_set": 1} and delta.membership("a_set")(key(4)) is False
