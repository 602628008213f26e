"""A staged collection becomes the migrated one by the documents that differ, whatever they are and whatever interrupts it."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Decimal128, Int64, Timestamp
from bson.raw_bson import RawBSONDocument
from pymongo import ASCENDING, DeleteOne, ReplaceOne
from pymongo.database import Database

from nmdc_release_ops.mongo.promoting.stage_changes import (
    Differences,
    drop_staged_one,
    find_differences,
    has_definition,
    stage_differences,
    verify_staged,
)
from nmdc_release_ops.mongo.promoting.staged_documents import StagedDocuments
from nmdc_release_ops.mongo.server.collections import collection_hashes, list_collections
from nmdc_release_ops.mongo.server.comparison import State, compare_collections
from nmdc_release_ops.mongo.server.raw import RawWriter
from nmdc_release_ops.mongo.state.generations import STAGED
from nmdc_release_ops.mongo.transfer.stage import Staged, StagingFailed
from nmdc_release_ops_tests.mongo.delta.raw_documents import contents, key
from nmdc_release_ops_tests.mongo.odd_data import IDENTIFIERS, VALUES

NAME = "a_set"
EMPTY = Timestamp(0, 0)


class PowerCut(BaseException):
    """Ends everything at once, as a crash does."""


@pytest.fixture
def staged(tmp_path: Path) -> Iterator[StagedDocuments]:
    with StagedDocuments(tmp_path / "staged.sqlite") as found:
        yield found


def stage(
    origin: Database[Any], transformer: Database[Any], staged: StagedDocuments, folder: Path, *, anew: bool = False
) -> tuple[Differences, Staged]:
    """As a round does it; the digests are kept when all of it is done."""
    source = list_collections(transformer)[NAME]
    anew = anew or not has_definition(origin, source)
    differences = find_differences(transformer, NAME, None if anew else staged, folder)
    if anew:
        drop_staged_one(origin, NAME, staged)
    hash_ = collection_hashes(transformer, [NAME])[NAME]
    done = stage_differences(origin, source, differences, staged, hash_)
    staged.commit()
    return differences, done


def put(database: Database[Any], name: str, *documents: dict[str, Any]) -> None:
    """Insert documents, those with an empty timestamp too."""
    writer = RawWriter(database, name)
    for document in documents:
        writer.add(bson.encode(document))
    writer.flush()


def assert_same(origin: Database[Any], transformer: Database[Any]) -> None:
    assert contents(origin, STAGED + NAME) == contents(transformer, NAME)
    ours, theirs = list_collections(origin)[STAGED + NAME], list_collections(transformer)[NAME]
    assert compare_collections(State(theirs), State(ours)) == ()


def test_documents_of_every_kind_are_staged_updated_and_deleted(
    origin: Database[Any], transformer: Database[Any], staged: StagedDocuments, tmp_path: Path
) -> None:
    values = [{"_id": f"value {name}", "v": value} for name, value in VALUES.items()]
    put(transformer, NAME, *({"_id": one, "n": 1, "t": EMPTY} for one in IDENTIFIERS), *values)
    transformer[NAME].create_index([("n", ASCENDING), ("v", ASCENDING)], name="of two")
    _, first = stage(origin, transformer, staged, tmp_path)
    assert first.documents == len(IDENTIFIERS) + len(VALUES)
    assert_same(origin, transformer)
    for number, one in enumerate(IDENTIFIERS):
        if number % 3 == 0:
            transformer[NAME].delete_one({"_id": {"$eq": one}})
        elif number % 3 == 1:
            transformer[NAME].update_one({"_id": {"$eq": one}}, {"$set": {"n": 2}})
    differences, second = stage(origin, transformer, staged, tmp_path)
    assert differences.count == len([n for n in range(len(IDENTIFIERS)) if n % 3 != 2])
    assert second.uuid == first.uuid
    assert_same(origin, transformer)
    nothing, _ = stage(origin, transformer, staged, tmp_path)
    assert nothing.count == 0


def test_an_identifier_that_becomes_an_equal_one_of_another_type_is_staged_with_that_type(
    origin: Database[Any], transformer: Database[Any], staged: StagedDocuments, tmp_path: Path
) -> None:
    kinds = [1, 1.0, Int64(1), Decimal128("1"), Decimal128("1.0")]
    put(transformer, NAME, {"_id": kinds[0], "n": 0}, {"_id": 2})
    stage(origin, transformer, staged, tmp_path)
    for number, kind in enumerate(kinds[1:], 1):
        transformer[NAME].find_one_and_replace({"_id": 1}, {"_id": kind, "n": number})
        stage(origin, transformer, staged, tmp_path)
        assert key(kind) in contents(origin, STAGED + NAME)
        assert_same(origin, transformer)


def test_what_a_unique_index_has_of_one_document_may_become_anothers(
    origin: Database[Any], transformer: Database[Any], staged: StagedDocuments, tmp_path: Path
) -> None:
    put(transformer, NAME, *({"_id": number, "id": f"id {number}"} for number in range(50)))
    transformer[NAME].create_index("id", unique=True)
    stage(origin, transformer, staged, tmp_path)
    transformer[NAME].delete_many({})
    put(transformer, NAME, *({"_id": number, "id": f"id {(number + 1) % 50}"} for number in range(50)))
    differences, _ = stage(origin, transformer, staged, tmp_path)
    assert differences.count == 50
    assert_same(origin, transformer)


def test_a_document_with_an_empty_timestamp_keeps_it_and_gets_it(
    origin: Database[Any], transformer: Database[Any], staged: StagedDocuments, tmp_path: Path
) -> None:
    put(transformer, NAME, {"_id": 1, "t": EMPTY}, {"_id": 2, "t": Timestamp(1, 1)}, {"_id": 3, "t": {"t": EMPTY}})
    stage(origin, transformer, staged, tmp_path)
    assert_same(origin, transformer)
    transformer[NAME].delete_many({})
    put(transformer, NAME, {"_id": 1, "t": 1}, {"_id": 2, "t": EMPTY}, {"_id": 4, "t": EMPTY})
    stage(origin, transformer, staged, tmp_path)
    assert_same(origin, transformer)
    assert len(contents(origin, STAGED + NAME)) == 3


def test_a_collection_with_another_definition_is_staged_anew(
    origin: Database[Any], transformer: Database[Any], staged: StagedDocuments, tmp_path: Path
) -> None:
    put(transformer, NAME, {"_id": 1}, {"_id": 2})
    _, first = stage(origin, transformer, staged, tmp_path)
    transformer[NAME].delete_one({"_id": 1})
    transformer[NAME].create_index("n")
    differences, second = stage(origin, transformer, staged, tmp_path)
    assert differences.count == 1 and second.uuid != first.uuid and second.documents == 1
    assert_same(origin, transformer)


def test_a_collation_that_holds_different_identifiers_for_equal_changes_nothing(
    origin: Database[Any], transformer: Database[Any], staged: StagedDocuments, tmp_path: Path
) -> None:
    transformer.create_collection(NAME, collation={"locale": "en", "strength": 1})
    put(transformer, NAME, {"_id": "a"}, {"_id": "b"})
    stage(origin, transformer, staged, tmp_path)
    transformer[NAME].delete_one({"_id": "a"})
    put(transformer, NAME, {"_id": "A"}, {"_id": "c"})
    stage(origin, transformer, staged, tmp_path)
    assert_same(origin, transformer)


@pytest.mark.parametrize("by_others", ["insert", "update", "delete"])
def test_what_somebody_else_wrote_to_a_staged_collection_is_noticed(
    origin: Database[Any], transformer: Database[Any], staged: StagedDocuments, tmp_path: Path, by_others: str
) -> None:
    put(transformer, NAME, *({"_id": number} for number in range(10)))
    stage(origin, transformer, staged, tmp_path)
    verify_staged(origin, NAME, staged)
    theirs = origin[STAGED + NAME]
    if by_others == "insert":
        theirs.insert_one({"_id": "theirs"})
    elif by_others == "update":
        theirs.update_one({"_id": 3}, {"$set": {"theirs": True}})
    else:
        theirs.delete_one({"_id": 3})
    with pytest.raises(StagingFailed, match=r"Somebody else wrote to _release\.staged\.a_set"):
        verify_staged(origin, NAME, staged)


def interrupt(documents: list[bytes], after: int) -> Iterator[bytes]:
    yield from documents[:after]
    raise PowerCut


class Interrupted(Differences):
    """Differences whose reading ends with a crash."""

    def __init__(self, differences: Differences, after: int) -> None:
        super().__init__(differences.folder, differences.documents, differences.deleted)
        self._after = after

    def read(self) -> Iterator[bytes]:
        return interrupt(list(super().read()), self._after)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_interrupts_staging_the_next_round_stages_what_was_migrated_by_then(
    origin: Database[Any], transformer: Database[Any], tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    path = tmp_path / "staged.sqlite"

    def write() -> None:
        numbers = [rng.randrange(3_000) for _ in range(1_500)]
        replaced = [ReplaceOne({"_id": number}, {"n": rng.random()}, upsert=True) for number in numbers]
        transformer[NAME].bulk_write([DeleteOne({"_id": rng.randrange(3_000)}) for _ in numbers] + replaced)

    write()
    for _ in range(2):
        with StagedDocuments(path) as staged:
            source = list_collections(transformer)[NAME]
            anew = not has_definition(origin, source)
            differences = find_differences(transformer, NAME, None if anew else staged, tmp_path)
            if anew:
                drop_staged_one(origin, NAME, staged)
            with pytest.raises(PowerCut):
                stage_differences(origin, source, Interrupted(differences, rng.randrange(1_500)), staged, "")
        write()
        with StagedDocuments(path) as staged:
            staged.roll_back()
            if has_definition(origin, list_collections(transformer)[NAME]):
                # Nobody else wrote: what was being written is told apart.
                verify_staged(origin, NAME, staged)
            stage(origin, transformer, staged, tmp_path)
            assert_same(origin, transformer)
            verify_staged(origin, NAME, staged)
        write()


def test_what_an_interrupted_round_staged_or_deleted_counts_as_different_afterwards(staged: StagedDocuments) -> None:
    documents = [bson.encode({"_id": number, "n": 1}) for number in range(4)]
    staged.note(NAME, documents, [])
    staged.commit()
    new = [bson.encode({"_id": number, "n": 2}) for number in (1, 9)]
    staged.forget(NAME, [key(1), key(9), key(2)])
    staged.note(NAME, new, [key(2)])
    staged.drop("other_set")
    staged.roll_back()
    # The documents 1, 2 and 9 may be there or not, and in whatever state.
    assert list(staged.differing(NAME, [documents[0], *new, documents[3]])) == new
    assert staged.others(NAME, [key(0)]) == [key(1), key(2), key(3), key(9)]
    staged.commit()
    assert list(staged.differing(NAME, documents)) == documents[1:3]


def test_a_dropped_collection_counts_as_different_after_an_interrupted_round(staged: StagedDocuments) -> None:
    documents = [bson.encode({"_id": number}) for number in range(3)]
    staged.note(NAME, documents, [])
    staged.commit()
    staged.drop(NAME)
    assert staged.count(NAME) == 0
    staged.roll_back()
    assert staged.count(NAME) == 3
    assert list(staged.differing(NAME, documents)) == documents
    staged.drop(NAME)
    staged.commit()
    staged.roll_back()
    assert staged.count(NAME) == 0


def test_a_document_that_the_origin_refuses_is_named(
    origin: Database[Any], transformer: Database[Any], staged: StagedDocuments, tmp_path: Path
) -> None:
    transformer[NAME].create_index("n", unique=True)
    put(transformer, NAME, {"_id": 1, "n": 1})
    stage(origin, transformer, staged, tmp_path)
    # Somebody else wrote to the staged collection.
    origin[STAGED + NAME].insert_one({"_id": 9, "n": 2})
    put(transformer, NAME, {"_id": 2, "n": 2})
    with pytest.raises(StagingFailed, match="duplicate key"):
        stage(origin, transformer, staged, tmp_path)


def test_the_raw_document_is_what_is_staged(
    origin: Database[Any], transformer: Database[Any], staged: StagedDocuments, tmp_path: Path
) -> None:
    put(transformer, NAME, {"_id": 1, "a": 1, "b": 2})
    stage(origin, transformer, staged, tmp_path)
    transformer[NAME].replace_one({"_id": 1}, {"b": 2, "a": 1})
    differences, _ = stage(origin, transformer, staged, tmp_path)
    assert [list(RawBSONDocument(one)) for one in differences.read()] == [["_id", "b", "a"]]
    assert_same(origin, transformer)
