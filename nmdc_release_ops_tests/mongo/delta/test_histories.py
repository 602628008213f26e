"""Random histories: a copy that was read while people wrote becomes, by the delta, the database as it was at one moment."""

import random
from pathlib import Path
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId
from pymongo import ReplaceOne
from pymongo.database import Database
from pymongo.errors import OperationFailure

from nmdc_release_ops.mongo.archive.oplog_file import Change, read_oplog, write_oplog
from nmdc_release_ops.mongo.delta.delta import Delta
from nmdc_release_ops.mongo.delta.follow import Follower
from nmdc_release_ops.mongo.delta.moment import present_moment
from nmdc_release_ops.mongo.delta.read import read_at
from nmdc_release_ops_tests.mongo.delta.raw_documents import contents

NAMES = ["a_set", "b_set", "collated_set"]
IDS: list[Any] = [
    *range(20),
    *(float(number) for number in range(5)),
    *(Int64(number) for number in range(5)),
    Decimal128("1"),
    Decimal128("1.0"),
    *"aAbBéE",
    None,
    {"a": 1},
    {"a": 1.0},
    ObjectId(bytes(12)),
]
REFUSALS = {
    66,  # an _id cannot become another one that only a collation holds for equal
    11000,  # there is one already
}
State = dict[str, dict[bytes, bytes]]


class History:
    """Somebody who writes at random."""

    def __init__(self, origin: Database[Any], rng: random.Random) -> None:
        self._origin = origin
        self._rng = rng

    def write(self, times: int) -> None:
        for _ in range(times):
            self._write(self._origin[self._rng.choice(NAMES)])

    def _write(self, collection: Any) -> None:
        rng = self._rng
        one, other, number = rng.choice(IDS), rng.choice(IDS), rng.randrange(1_000_000)
        try:
            match rng.randrange(9):
                case 0 | 1:
                    collection.insert_one({"_id": one, "n": number})
                case 2:
                    collection.update_one({"_id": one}, {"$set": {"n": number}}, upsert=rng.random() < 0.5)
                case 3:
                    # The _id of what is found stays, or becomes an equal one.
                    collection.find_one_and_replace({"_id": one}, {"_id": one, "r": number})
                case 4:
                    collection.delete_one({"_id": one})
                case 5:
                    collection.update_many({"n": {"$mod": [3, 0]}}, {"$inc": {"n": 1}})
                case 6:
                    collection.delete_many({"n": {"$mod": [17, 0]}})
                case 7:
                    collection.bulk_write(
                        [ReplaceOne({"_id": id_}, {"b": number}, upsert=True) for id_ in (one, other)]
                    )
                case 8:
                    with self._origin.client.start_session() as session, session.start_transaction():
                        collection.delete_one({"_id": one}, session=session)
                        collection.insert_one({"_id": one, "t": number}, session=session)
                        self._origin[NAMES[0]].update_one({"_id": other}, {"$set": {"t": number}}, session=session)
        except OperationFailure as error:
            # 65 says that there are several.
            codes = {error.code, *(one["code"] for one in (error.details or {}).get("writeErrors", []))} - {65}
            if not codes <= REFUSALS:
                raise


def state_of(origin: Database[Any]) -> State:
    return {name: contents(origin, name) for name in NAMES}


@pytest.mark.parametrize("number", range(4))
def test_the_delta_makes_any_copy_the_database_of_the_moment(
    origin: Database[Any], tmp_path: Path, number: int
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    origin.create_collection("collated_set", collation={"locale": "en", "strength": 1})
    history = History(origin, rng)
    history.write(rng.randrange(150))
    since = present_moment(origin.client).next()
    history.write(rng.randrange(30))
    # A copy that is no state the database ever had: each collection is read at another time.
    copy: State = {}
    for name in NAMES:
        copy[name] = contents(origin, name)
        history.write(rng.randrange(60))
    path = tmp_path / "delta.sqlite"
    with Delta(path) as delta, Follower(origin, NAMES, delta, since) as follower:
        for round_ in range(3):
            moment = present_moment(origin.client)
            expected = state_of(origin)
            history.write(rng.randrange(100))
            follower.read_until(moment)
            changes: list[Change] = [
                (f"db.{name}", *change)
                for name in delta.counts
                for change in read_at(origin, name, delta.keys(name), moment)
            ]
            file = tmp_path / f"oplog.{round_}"
            write_oplog(file, changes, moment)
            assert apply(copy, file) == expected
    with Delta(path) as delta, Follower(origin, NAMES, delta) as follower:
        moment = present_moment(origin.client)
        follower.read_until(moment)
        for name in NAMES:
            for key, document in read_at(origin, name, delta.keys(name), moment):
                assert contents(origin, name).get(key) == document


def apply(copy: State, oplog: Path) -> State:
    """What the copy becomes, key by key."""
    made = {name: dict(documents) for name, documents in copy.items()}
    for namespace, key, document in read_oplog(oplog):
        collection = made[namespace.removeprefix("db.")]
        if document is None:
            collection.pop(key, None)
        else:
            collection[key] = document
    return made
