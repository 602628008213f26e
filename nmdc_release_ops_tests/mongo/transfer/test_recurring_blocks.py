"""Documents that stay as they are come in the same blocks again, wherever others are inserted, deleted or changed."""

import random
from collections.abc import Sequence
from itertools import pairwise

import bson
import pytest
from bson import ObjectId

from nmdc_release_ops.mongo.archive.blocks import compress_blocks

BLOCK = 20_000


def document(chance: random.Random, identifier: object) -> bytes:
    return bson.encode({"_id": identifier, "type": "nmdc:Thing", "text": "x" * chance.randrange(20, 400)})


def blocks_of(documents: Sequence[bytes], runs: int = 1) -> dict[bytes, int]:
    """The content of each block, with its documents; read in so many runs."""
    cuts = [len(documents) * number // runs for number in range(runs + 1)]
    parts = (b"".join(documents[first:last]) for first, last in pairwise(cuts))
    found = list(compress_blocks(parts, BLOCK, recurring=True))
    assert sum(one.documents for one in found) == len(documents)
    assert sum(one.bytes for one in found) == sum(map(len, documents))
    assert all(one.bytes <= BLOCK for one in found if one.documents > 1)
    return {one.content: one.documents for one in found}


@pytest.fixture(params=["ObjectId", "text", "number"])
def documents(request: pytest.FixtureRequest) -> list[bytes]:
    chance = random.Random(3)
    make = {"ObjectId": lambda _: ObjectId(), "text": lambda n: f"nmdc:bsm-11-{n:06}", "number": int}[request.param]
    return [document(chance, make(number)) for number in range(20_000)]


def test_how_they_are_read_does_not_matter(documents: list[bytes]) -> None:
    assert blocks_of(documents) == blocks_of(documents, runs=97) == blocks_of(documents, runs=1_333)


def test_one_written_document_changes_a_block_or_two(documents: list[bytes]) -> None:
    chance = random.Random(4)
    before = blocks_of(documents)
    assert len(before) > 200
    changed = 0
    for number in range(30):
        written = list(documents)
        place = chance.randrange(len(written))
        match number % 3:
            case 0:
                written.insert(place, document(chance, ObjectId()))
            case 1:
                del written[place]
            case 2:
                written[place] = document(chance, bson.decode(written[place])["_id"])
        changed += len(blocks_of(written).keys() - before.keys())
    assert changed < 30 * 3


def test_a_document_that_is_longer_than_a_block_is_a_block_of_its_own() -> None:
    long = bson.encode({"_id": 1, "text": "x" * 3 * BLOCK})
    short = [bson.encode({"_id": number}) for number in (2, 3)]
    assert sorted(blocks_of([short[0], long, short[1]]).values()) == [1, 1, 1]
