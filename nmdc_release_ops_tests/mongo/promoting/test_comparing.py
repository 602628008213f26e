"""A comparison finds exactly the documents that differ, in whatever order they come, and leaves out what was written since."""

import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import bson
import pytest
from pymongo.database import Database

from nmdc_release_ops.mongo.delta.delta import Contains
from nmdc_release_ops.mongo.delta.read import MomentGone
from nmdc_release_ops.mongo.promoting.comparing import FEW_KEYS, Compared, compare_documents, digest_documents
from nmdc_release_ops.mongo.promoting.since_swap import SinceSwap
from nmdc_release_ops.mongo.server.clock import ClusterTime, cluster_time
from nmdc_release_ops.mongo.server.connection import connect
from nmdc_release_ops_tests.mongo.delta.raw_documents import key
from nmdc_release_ops_tests.mongo.odd_data import IDENTIFIERS, VALUES
from nmdc_release_ops_tests.replica_set import replica_set
from nmdc_release_ops_tests.sent_commands import sent_commands

NAME = "a_set"


def document(identifier: object, value: object = 1) -> bytes:
    return bson.encode({"_id": identifier, "value": value})


def compare(
    wanted: Iterable[bytes], found: Iterable[bytes], folder: Path, written: Contains = lambda _key: False
) -> Compared:
    first, second = list(wanted), list(found)
    result = compare_documents(
        lambda: digest_documents(first), lambda: digest_documents(second), folder / "compared.sqlite", lambda: written
    )
    assert list(folder.iterdir()) == []
    return result


@pytest.mark.parametrize("seed", range(20))
def test_it_finds_the_documents_that_differ_and_no_others(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    wanted = {number: document(number) for number in range(rng.choice((0, 1, 100, 5_000)))}
    found = dict(wanted)
    differing = set(rng.sample(sorted(wanted), min(len(wanted), rng.choice((0, 1, 30)))))
    for number in differing:
        if rng.random() < 0.5:
            del found[number]
        else:
            found[number] = document(number, 2)
    more = set(range(-rng.choice((0, 1, 30)), 0))
    found |= {number: document(number) for number in more}
    order = list(found.values())
    rng.shuffle(order)
    result = compare(wanted.values(), order, tmp_path)
    assert result.documents == len(wanted)
    assert result.differing == len(differing) + len(more)
    assert len(result.first) == min(FEW_KEYS, result.differing)
    assert set(result.first) <= {key(number) for number in differing | more}


@pytest.mark.parametrize("value", VALUES)
def test_a_document_with_any_value_is_the_same_only_if_its_bytes_are(value: object, tmp_path: Path) -> None:
    assert compare([document(1, value)], [document(1, value)], tmp_path) == Compared(1)
    assert compare([document(1, value)], [document(1, [value])], tmp_path).differing == 1


@pytest.mark.parametrize("identifier", IDENTIFIERS)
def test_a_document_with_any_id_is_named_when_it_is_missing(identifier: object, tmp_path: Path) -> None:
    assert compare([document(identifier)], [], tmp_path).first == (key(identifier),)


def test_two_documents_that_swapped_their_contents_are_both_different(tmp_path: Path) -> None:
    assert compare([document(1, 1), document(2, 2)], [document(1, 2), document(2, 1)], tmp_path).differing == 2


def test_a_document_that_comes_twice_because_it_is_read_again_is_one(tmp_path: Path) -> None:
    """A cursor that is lost is opened again, from the beginning."""
    assert compare([document(1), document(2)], [document(1), document(1), document(2)], tmp_path) == Compared(2)


def test_what_was_written_since_is_left_out_and_counted(tmp_path: Path) -> None:
    wanted = [document(number) for number in range(6)]
    found = [*(document(number) for number in (0, 1)), document(2, 2), document(3, 3), document(7), document(8)]
    # 4 and 5 are missing, 7 and 8 too many.
    written = {key(number) for number in (0, 2, 4, 7)}
    result = compare(wanted, found, tmp_path, written.__contains__)
    assert (result.differing, result.left_out) == (3, 3)
    assert set(result.first) == {key(number) for number in (3, 5, 8)}


def fill(origin: Database[Any]) -> ClusterTime:
    """Put the documents that are wanted into the origin; give a moment at which it has them."""
    origin[NAME].insert_many([{"_id": number, "value": 1} for number in range(50)])
    return cluster_time(origin.client)


@pytest.fixture
def collection(origin: Database[Any]) -> Any:
    fill(origin)
    return origin[NAME]


def write_since(collection: Any) -> None:
    collection.update_many({"_id": {"$lt": 3}}, {"$set": {"value": 2}})
    collection.delete_many({"_id": {"$gte": 48}})
    collection.insert_one({"_id": "new"})


def compared_with(read: Callable[[str], Iterable[bytes]], folder: Path, written: Callable[[], Contains]) -> Compared:
    return compare_documents(
        lambda: digest_documents(document(number) for number in range(50)),
        lambda: digest_documents(read(NAME)),
        folder / "compared.sqlite",
        written,
    )


def test_the_origin_is_read_as_it_was_at_the_swap(collection: Any, origin: Database[Any], tmp_path: Path) -> None:
    moment = cluster_time(origin.client)
    write_since(collection)
    with SinceSwap(origin, moment, [NAME], tmp_path / "since.sqlite") as since:
        assert compared_with(since.read_then, tmp_path, lambda: lambda _key: False) == Compared(50)
    assert list(tmp_path.iterdir()) == []


def test_or_as_it_is_without_what_was_written_since(collection: Any, origin: Database[Any], tmp_path: Path) -> None:
    collection.update_one({"_id": 10}, {"$set": {"value": 2}})
    moment = cluster_time(origin.client)
    write_since(collection)
    with SinceSwap(origin, moment, [NAME], tmp_path / "since.sqlite") as since:
        result = compared_with(since.read_now, tmp_path, lambda: since.find_written(NAME))
        assert result == Compared(50, differing=1, first=(key(10),), left_out=6)
        assert not since.is_redefined(NAME)
        collection.create_index("value")
        assert not since.is_redefined(NAME)
        collection.drop()
        assert since.is_redefined(NAME)
    assert list(tmp_path.iterdir()) == []


def test_a_collection_that_got_an_index_since_is_read_as_it_was_or_the_server_says_that_it_cannot(
    collection: Any, origin: Database[Any], tmp_path: Path
) -> None:
    moment = cluster_time(origin.client)
    collection.create_index("value")
    write_since(collection)
    with SinceSwap(origin, moment, [NAME], tmp_path / "since.sqlite") as since:
        try:
            assert compared_with(since.read_then, tmp_path, lambda: lambda _key: False) == Compared(50)
        except MomentGone:
            assert compared_with(since.read_now, tmp_path, lambda: since.find_written(NAME)).differing == 0


@pytest.mark.faults
def test_a_secondary_is_read_which_has_everything_up_to_the_swap(tmp_path: Path) -> None:
    with (
        replica_set(tmp_path / "set") as members,
        connect(members.uri, whose="origin", variable="a test") as client,
        SinceSwap(client["origin"], fill(client["origin"]), [NAME], tmp_path / "since.sqlite") as since,
        sent_commands() as sent,
    ):
        assert compared_with(since.read_then, tmp_path, lambda: lambda _key: False) == Compared(50)
        assert compared_with(since.read_now, tmp_path, lambda: lambda _key: False) == Compared(50)
        primary = members.primary()
    read = [command.port for command in sent if command.name == "find" and command.database == "origin"]
    assert len(read) >= 2
    assert primary not in read
