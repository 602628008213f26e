"""An archive that is not what was dumped is noticed, the file named, and nothing dropped or loaded."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database

from nmdc_release_ops.files import sha256_of
from nmdc_release_ops.mongo.archive.manifest import MANIFEST, MANIFEST_DIGEST, ArchiveDamaged, read_manifest
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.transfer import load as load_module
from nmdc_release_ops.mongo.transfer.dump import dump
from nmdc_release_ops.mongo.transfer.load import LoadFailed, load, prove
from nmdc_release_ops.mongo.transfer.mongorestore import load_with_mongorestore
from nmdc_release_ops_tests.mongo.odd_data import fill

FLIPS = 200
SENTINEL = "stood_here_before"


@pytest.fixture(scope="module")
def archive(scratch_mongod: PrivateMongod, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of collections with every kind of option, the largest documents aside."""
    folder = tmp_path_factory.mktemp("damage") / "archive"
    with MongoClient[Any](scratch_mongod.uri) as client:
        name = f"damage_{ObjectId()}"
        fill(client[name])
        names = set(client[name].list_collection_names()) - {"large_set"}
        dump(client[name], names, folder, release_id="r", cluster_time=ClusterTime(seconds=1, increment=1))
        client.drop_database(name)
    return folder


@pytest.fixture
def files(archive: Path) -> Iterator[list[Path]]:
    """All files of the archive; as they were, once a test is done with them."""
    contents = {path: path.read_bytes() for path in sorted(archive.rglob("*")) if path.is_file()}
    yield list(contents)
    for path in archive.rglob("*"):
        if path.is_file() and path not in contents:
            path.unlink()
    for path, content in contents.items():
        path.write_bytes(content)


@pytest.fixture
def copy(scratch_mongod: PrivateMongod) -> Iterator[Database[Any]]:
    """A database with something in it, which a load would drop first."""
    with MongoClient[Any](scratch_mongod.uri) as client:
        name = f"copy_{ObjectId()}"
        client[name][SENTINEL].insert_one({"_id": 1})
        yield client[name]
        client.drop_database(name)


Load = Callable[[Path, Database[Any], str], None]


def natively(folder: Path, database: Database[Any], uri: str) -> None:
    load(folder, read_manifest(folder), database)


def with_mongorestore(folder: Path, database: Database[Any], uri: str) -> None:
    """It is not needed for this: `mongorestore` is not started on an archive that is damaged."""
    load_with_mongorestore(folder, read_manifest(folder), database, uri, log=lambda line: None)


LOADS = pytest.mark.parametrize("loads", [natively, with_mongorestore])
# Both verify the archive alike before they begin.
MANY_LOADS = pytest.mark.parametrize("loads", [natively, pytest.param(with_mongorestore, marks=pytest.mark.faults)])


def assert_noticed(loads: Load, archive: Path, database: Database[Any], uri: str, path: Path, what: str) -> None:
    with pytest.raises(ArchiveDamaged) as noticed:
        loads(archive, database, uri)
    # Nobody can distinguish a damaged manifest from a damaged digest of it: the error names both.
    assert path.name in str(noticed.value), what
    assert database.list_collection_names() == [SENTINEL], what


@MANY_LOADS
def test_a_bit_that_flips_anywhere_is_noticed(
    archive: Path, files: list[Path], copy: Database[Any], scratch_mongod: PrivateMongod, loads: Load
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    chance = random.Random(seed)
    flipped = set()
    for number in range(FLIPS):
        # Each file in turn, so that every kind of file has its share whatever its size.
        path = files[number % len(files)]
        original = path.read_bytes()
        position, bit = chance.randrange(len(original)), chance.randrange(8)
        damaged = bytearray(original)
        damaged[position] ^= 1 << bit
        path.write_bytes(damaged)
        what = f"seed {seed}, flip {number}: bit {bit} of byte {position} of {path.name}"
        assert_noticed(loads, archive, copy, scratch_mongod.uri, path, what)
        path.write_bytes(original)
        flipped.add(path.name.partition(".")[2] if path.suffix == ".gz" else path.name)
    assert {MANIFEST, MANIFEST_DIGEST, "bson.gz", "metadata.json.gz"} <= flipped


@MANY_LOADS
def test_a_truncated_an_extended_and_a_missing_file_are_noticed(
    archive: Path, files: list[Path], copy: Database[Any], scratch_mongod: PrivateMongod, loads: Load
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    chance = random.Random(seed)
    for path in files:
        original = path.read_bytes()
        cut = chance.randrange(len(original))
        for what, damaged in (
            ("one byte less", original[:-1]),
            (f"{cut} bytes", original[:cut]),
            ("empty", b""),
            ("a byte more", original + b"\0"),
            ("twice", original + original),
        ):
            path.write_bytes(damaged)
            assert_noticed(loads, archive, copy, scratch_mongod.uri, path, f"seed {seed}, {what}: {path.name}")
        path.unlink()
        assert_noticed(loads, archive, copy, scratch_mongod.uri, path, f"missing: {path.name}")
        path.write_bytes(original)


@LOADS
@pytest.mark.parametrize("name", ["{database}/added_set.bson.gz", "other/added_set.bson.gz", "notes.txt"])
def test_a_file_that_was_added_is_noticed(
    archive: Path, files: list[Path], copy: Database[Any], scratch_mongod: PrivateMongod, loads: Load, name: str
) -> None:
    added = archive / name.format(database=read_manifest(archive).database)
    added.parent.mkdir(exist_ok=True)
    added.write_bytes(files[0].read_bytes())
    assert_noticed(loads, archive, copy, scratch_mongod.uri, added, name)
    added.unlink()


@LOADS
def test_two_files_that_changed_places_are_noticed(
    archive: Path, files: list[Path], copy: Database[Any], scratch_mongod: PrivateMongod, loads: Load
) -> None:
    first, second = [path for path in files if path.name in ("plain_set.bson.gz", "values_set.bson.gz")]
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)
    assert_noticed(loads, archive, copy, scratch_mongod.uri, first, "changed places")


@pytest.mark.parametrize("place", [4, 9, -12, -1], ids=["time", "system", "documents", "length"])
def test_a_file_that_changes_between_being_verified_and_being_loaded_is_noticed(
    archive: Path, files: list[Path], copy: Database[Any], monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    """The first two places are of no consequence for the documents: what is read has to be what was verified anyway."""
    (path,) = [path for path in files if path.name == "plain_set.bson.gz"]
    verify = load_module.verify

    def verify_then_damage(*arguments: Any) -> None:
        verify(*arguments)
        damaged = bytearray(path.read_bytes())
        damaged[place] ^= 1
        path.write_bytes(damaged)

    monkeypatch.setattr(load_module, "verify", verify_then_damage)
    with pytest.raises(ArchiveDamaged, match="Block 1 of 1 of plain_set is not what was dumped"):
        load(archive, read_manifest(archive), copy)


CHANGES: dict[str, Callable[[Database[Any]], Any]] = {
    "plain_set has documents 4999 instead of 5000": lambda database: database.plain_set.delete_one({"_id": 7}),
    "identifiers_set has hash": lambda database: database.identifiers_set.update_one({"_id": 2}, {"$set": {"n": 2.0}}),
    "indexed_set has index partial none instead of": lambda database: database.indexed_set.drop_index("partial"),
    "validated_set has option validationLevel off instead of moderate": lambda database: database.command(
        "collMod", "validated_set", validationLevel="off"
    ),
    "empty_set is missing": lambda database: database.drop_collection("empty_set"),
    "added_set is not in the archive": lambda database: database.create_collection("added_set"),
}
"""By what is then said of a database that was loaded."""


def test_what_comes_out_other_than_it_was_dumped_is_noticed_whatever_loaded_it(
    archive: Path, copy: Database[Any]
) -> None:
    manifest = read_manifest(archive)
    load(archive, manifest, copy)
    prove(archive, manifest, copy)
    said = ""
    for message, change in CHANGES.items():
        assert message not in said
        change(copy)
        with pytest.raises(LoadFailed) as noticed:
            prove(archive, manifest, copy)
        said = str(noticed.value)
        assert message in said


def test_the_digests_are_those_of_sha256sum(archive: Path) -> None:
    assert (archive / MANIFEST_DIGEST).read_text() == f"{sha256_of(archive / MANIFEST)}  {MANIFEST}\n"
