"""A follower finds every document that was written up to a moment, and none that was written later, and writes nothing."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Timer
from typing import Any

import bson
import pytest
from bson import Int64
from pymongo import MongoClient, ReplaceOne, UpdateOne
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError
from pymongo.monitoring import CommandListener

from nmdc_release_ops.mongo.delta.delta import Delta
from nmdc_release_ops.mongo.delta.follow import Followed, Follower
from nmdc_release_ops.mongo.delta.moment import present_moment
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.clock import ClusterTime, cluster_time
from nmdc_release_ops.mongo.server.collections import collection_hashes
from nmdc_release_ops.mongo.state.database import STATE_DATABASE
from nmdc_release_ops_tests.mongo.delta.raw_documents import contents, insert_raw, key, keys, keys_in
from nmdc_release_ops_tests.mongo.odd_data import IDENTIFIERS, largest_document, raw_documents

NAMES = {"a_set", "b_set", "c_set"}


@pytest.fixture
def follower(origin: Database[Any], delta: Delta) -> Iterator[Follower]:
    for name in ("a_set", "b_set"):
        origin[name].insert_many({"_id": number, "n": 0} for number in range(10))
    with Follower(origin, NAMES, delta, present_moment(origin.client).next()) as found:
        yield found


def read(origin: Database[Any], follower: Follower) -> ClusterTime:
    moment = present_moment(origin.client)
    follower.read_until(moment)
    return moment


def test_nothing_is_found_where_nothing_was_written(origin: Database[Any], follower: Follower, delta: Delta) -> None:
    origin.another.insert_one({})
    moment = read(origin, follower)
    assert (delta.total, delta.redefined, delta.position.passed) == (0, {}, moment)


WRITES: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
    "insert": (lambda one: one.insert_one({"_id": "new"}), ["new"]),
    "insert many": (lambda one: one.insert_many({"_id": f"{n}"} for n in range(3)), ["0", "1", "2"]),
    "update": (lambda one: one.update_one({"_id": 1}, {"$set": {"n": 1}}), [1]),
    "update many": (lambda one: one.update_many({"_id": {"$lt": 2}}, {"$inc": {"n": 1}}), [0, 1]),
    "update by pipeline": (lambda one: one.update_one({"_id": 1}, [{"$set": {"n": "$_id"}}]), [1]),
    "replace": (lambda one: one.replace_one({"_id": 3}, {"x": 1}), [3]),
    "upsert": (lambda one: one.update_one({"_id": "up"}, {"$set": {"n": 1}}, upsert=True), ["up"]),
    "find and modify": (lambda one: one.find_one_and_update({"_id": 4}, {"$set": {"n": 5}}), [4]),
    "delete": (lambda one: one.delete_one({"_id": 5}), [5]),
    "delete many": (lambda one: one.delete_many({"_id": {"$gt": 7}}), [8, 9]),
    "bulk": (
        lambda one: one.bulk_write([ReplaceOne({"_id": 1}, {}), UpdateOne({"_id": 2}, {"$set": {"n": 3}})]),
        [1, 2],
    ),
    "merge": (lambda one: list(one.aggregate([{"$set": {"n": 9}}, {"$limit": 2}, {"$merge": one.name}])), [0, 1]),
    "again under the same id": (lambda one: (one.delete_one({"_id": 6}), one.insert_one({"_id": 6, "n": 0})), [6]),
    "and gone again": (lambda one: (one.insert_one({"_id": "x"}), one.delete_one({"_id": "x"})), ["x"]),
    "to the same value": (lambda one: one.update_one({"_id": 1}, {"$set": {"n": 0}}), []),
}


@pytest.mark.parametrize(("write", "written"), WRITES.values(), ids=WRITES)
def test_every_kind_of_write_is_found(
    origin: Database[Any], follower: Follower, delta: Delta, write: Callable[[Any], Any], written: list[Any]
) -> None:
    write(origin.a_set)
    read(origin, follower)
    assert keys_in(delta) == ({"a_set": keys(*written)} if written else {})


def test_every_kind_of_id_is_found(origin: Database[Any], follower: Follower, delta: Delta) -> None:
    documents = [
        bson.encode({"_id": one}) for one in (*IDENTIFIERS, "^a", "/^a/i", {"a": [1, {"b": 2}]})
    ] + raw_documents()
    insert_raw(origin, "c_set", *documents, largest_document())
    read(origin, follower)
    expected = set(contents(origin, "c_set"))
    assert len(expected) == len(documents) + 1
    assert keys_in(delta) == {"c_set": expected}
    # The largest has no room for a field more.
    origin.c_set.update_many({"text": None}, {"$set": {"seen": 1}})
    origin.c_set.update_one({"_id": "largest"}, {"$unset": {"text": 1}})
    origin.c_set.delete_many({})
    assert follower.read_until(present_moment(origin.client)) == 2 * len(expected)
    assert keys_in(delta) == {"c_set": expected}


def test_numbers_that_are_equal_are_told_apart(origin: Database[Any], follower: Follower, delta: Delta) -> None:
    origin.a_set.delete_one({"_id": 1})
    origin.a_set.insert_one({"_id": 1.0})
    origin.a_set.delete_one({"_id": 1})
    origin.a_set.insert_one({"_id": Int64(1)})
    read(origin, follower)
    assert keys_in(delta) == {"a_set": keys(1, 1.0, Int64(1))}


def test_a_transaction_is_found_as_a_whole_or_not_at_all(
    origin: Database[Any], follower: Follower, delta: Delta
) -> None:
    with origin.client.start_session() as session:
        with session.start_transaction():
            origin.a_set.insert_many([{"_id": f"many {n}", "x": "x" * 100_000} for n in range(200)], session=session)
            origin.b_set.delete_one({"_id": 1}, session=session)
            before = present_moment(origin.client)
        committed = ClusterTime.of(session.operation_time)
        with session.start_transaction():
            origin.a_set.insert_one({"_id": "undone"}, session=session)
            session.abort_transaction()
    follower.read_until(before)
    assert delta.total == 0
    follower.read_until(committed.previous())
    assert delta.total == 0
    # So that the stream gets on.
    present_moment(origin.client)
    follower.read_until(committed)
    assert keys_in(delta) == {"a_set": keys(*(f"many {n}" for n in range(200))), "b_set": keys(1)}


def test_a_write_that_the_driver_sends_again_is_found_once(
    scratch_mongod: PrivateMongod, origin: Database[Any], follower: Follower, delta: Delta
) -> None:
    fail = {
        "mode": {"times": 1},
        "data": {"failCommands": ["insert"], "writeConcernError": {"code": 91, "errmsg": "x"}},
    }
    try:
        origin.client.admin.command({"configureFailPoint": "failCommand", **fail})
    except Exception:
        # The server was not started with test commands: sent twice by hand, with the number that makes it the same write.
        with origin.client.start_session() as session:
            command = {
                "insert": "a_set",
                "documents": [{"_id": "again"}],
                "lsid": session.session_id,
                "txnNumber": Int64(1),
            }
            raw = MongoClient[Any](scratch_mongod.uri)
            for _ in range(2):
                assert raw[origin.name].command({**command})["n"] == 1
            raw.close()
    else:
        origin.a_set.insert_one({"_id": "again"})
    moment = present_moment(origin.client)
    assert follower.read_until(moment) == 1
    assert keys_in(delta) == {"a_set": keys("again")}
    with pytest.raises(DuplicateKeyError):
        origin.a_set.insert_one({"_id": "again"})


def test_what_was_written_after_the_moment_is_not_in_it_and_is_in_the_next(
    origin: Database[Any], follower: Follower, delta: Delta
) -> None:
    origin.a_set.insert_one({"_id": "before"})
    first = present_moment(origin.client)
    origin.a_set.insert_many([{"_id": f"after {n}"} for n in range(3)])
    second = present_moment(origin.client)
    assert follower.read_until(first) == 1
    assert keys_in(delta) == {"a_set": keys("before")}
    assert follower.read_until(first) == 0
    assert follower.read_until(second) == 3
    assert delta.position.passed == second
    assert follower.read_until(first) == 0
    assert (delta.total, delta.position.passed) == (4, second)


def test_a_write_is_in_the_moment_at_which_it_was_made(origin: Database[Any], delta: Delta) -> None:
    moments = []
    with origin.client.start_session() as session:
        for number in range(5):
            origin.a_set.insert_one({"_id": number}, session=session)
            moments.append(ClusterTime.of(session.operation_time))
    with Follower(origin, NAMES, delta, moments[1]) as follower:
        follower.read_until(moments[3])
    assert keys_in(delta) == {"a_set": keys(1, 2, 3)}


REDEFINITIONS: dict[str, tuple[Callable[[Any], Any], dict[str, set[str]]]] = {
    "drop": (lambda origin: origin.a_set.drop(), {"a_set": {"drop"}}),
    "rename away": (lambda origin: origin.a_set.rename("elsewhere"), {"a_set": {"rename"}}),
    "rename to": (lambda origin: origin.elsewhere_too.rename("c_set"), {"c_set": {"rename"}}),
    "rename within": (lambda origin: origin.a_set.rename("c_set"), {"a_set": {"rename"}, "c_set": {"rename"}}),
    "rename over": (
        lambda origin: origin.a_set.rename("b_set", dropTarget=True),
        {"a_set": {"rename"}, "b_set": {"rename", "drop"}},
    ),
    "create": (lambda origin: origin.create_collection("c_set"), {"c_set": {"create"}}),
    "create an index": (lambda origin: origin.a_set.create_index("n"), {"a_set": {"createIndexes"}}),
    "drop an index": (
        lambda origin: (origin.a_set.create_index("n"), origin.a_set.drop_index("n_1")),
        {"a_set": {"createIndexes", "dropIndexes"}},
    ),
    "options": (lambda origin: origin.command("collMod", "a_set", validator={"n": None}), {"a_set": {"modify"}}),
    "drop the database": (
        lambda origin: origin.client.drop_database(origin.name),
        {
            "a_set": {"drop", "dropDatabase", "invalidate"},
            "b_set": {"drop", "dropDatabase", "invalidate"},
            "c_set": {"dropDatabase", "invalidate"},
        },
    ),
}


@pytest.mark.parametrize(("change", "redefined"), REDEFINITIONS.values(), ids=REDEFINITIONS)
def test_a_collection_that_is_itself_changed_is_named(
    origin: Database[Any],
    follower: Follower,
    delta: Delta,
    change: Callable[[Any], Any],
    redefined: dict[str, set[str]],
) -> None:
    origin.elsewhere_too.insert_one({})
    change(origin)
    read(origin, follower)
    # What a rename replaces is reported as dropped by some versions only.
    found = {name: set(operations) for name, operations in delta.redefined.items()}
    assert found.keys() == redefined.keys()
    assert all(found[name] <= redefined[name] and found[name] for name in found)
    assert delta.total == 0
    # And the stream goes on, also behind an invalidate, which ends it.
    origin.a_set.insert_one({"_id": "later"})
    read(origin, follower)
    assert keys_in(delta) == {"a_set": keys("later")}


def test_following_writes_nothing_to_the_origin(
    scratch_mongod: PrivateMongod, origin: Database[Any], delta: Delta
) -> None:
    origin.a_set.insert_one({"_id": 1})
    names = sorted(origin.list_collection_names())
    hashes = collection_hashes(origin, names)
    heard = Heard()
    with MongoClient[Any](scratch_mongod.uri, event_listeners=[heard]) as client:
        since = present_moment(client)
        with Follower(client[origin.name], NAMES, delta, since) as follower:
            for _ in range(3):
                follower.read_until(present_moment(client))
    assert sorted(origin.list_collection_names()) == names
    assert collection_hashes(origin, names) == hashes
    written = {(database, name) for database, name in heard.commands if name not in READING}
    assert written == {(STATE_DATABASE, "update")}


READING = {"aggregate", "getMore", "killCursors", "ping", "hello", "getParameter", "buildInfo", "endSessions"}


class Heard(CommandListener):
    """The database and the name of each command that a client sends."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, str]] = []

    def started(self, event: Any) -> None:
        self.commands.append((event.database_name, event.command_name))

    def succeeded(self, event: Any) -> None:
        pass

    def failed(self, event: Any) -> None:
        pass


def test_an_idle_server_is_passed_at_once(origin: Database[Any], follower: Follower) -> None:
    read(origin, follower)
    started = time.monotonic()
    for _ in range(10):
        read(origin, follower)
    # Measured: 2 ms each after the write. Without a write of its own it would be 10 s, until the server's next one.
    assert time.monotonic() - started < 5


def test_a_moment_that_is_no_write_of_ours_is_passed_when_the_server_gets_on(
    origin: Database[Any], follower: Follower, delta: Delta
) -> None:
    origin.a_set.insert_one({"_id": "last"})
    moment = cluster_time(origin.client)
    # A server on which nobody writes gets on by itself every ten seconds.
    somebody = Timer(0.5, present_moment, [origin.client])
    somebody.start()
    started = time.monotonic()
    follower.read_until(moment)
    assert time.monotonic() - started > 0.3
    assert keys_in(delta) == {"a_set": keys("last")}
    somebody.join()


def test_another_follower_goes_on_where_the_first_was(
    origin: Database[Any], follower: Follower, tmp_path: Path
) -> None:
    origin.a_set.insert_one({"_id": "first"})
    since = present_moment(origin.client).next()
    origin.a_set.insert_one({"_id": "second"})
    path = tmp_path / "resumed.sqlite"
    with Delta(path) as delta, Follower(origin, NAMES, delta, since) as first:
        first.read_until(present_moment(origin.client))
        origin.a_set.insert_one({"_id": "third"})
        between = present_moment(origin.client)
        origin.b_set.insert_one({"_id": "fourth"})
        first.read_until(between)
    with Delta(path) as delta, Follower(origin, NAMES, delta) as second:
        assert keys_in(delta) == {"a_set": keys("second", "third")}
        # The event that the first follower had seen, which is later than its moment, comes again.
        assert second.read_until(present_moment(origin.client)) == 1
        assert keys_in(delta) == {"a_set": keys("second", "third"), "b_set": keys("fourth")}
    with Delta(tmp_path / "new.sqlite") as new, pytest.raises(ValueError, match="needs the moment at which it begins"):
        Follower(origin, NAMES, new)


def test_a_long_reading_is_reported_and_kept_batch_by_batch(
    origin: Database[Any], follower: Follower, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nmdc_release_ops.mongo.delta.follow.BATCH_EVENTS", 100)
    since = present_moment(origin.client).next()
    origin.c_set.insert_many({"_id": number} for number in range(1_050))
    reports: list[tuple[Followed, int]] = []
    with Delta(tmp_path / "long.sqlite") as delta:
        with Follower(origin, {"c_set"}, delta, since, report=lambda one: reports.append((one, delta.total))) as long:
            assert long.read_until(moment := present_moment(origin.client)) >= 1_050
        assert set(delta.keys("c_set")) == {key(number) for number in range(1_050)}
    assert len(reports) == 11
    assert all(one.until == moment for one, _ in reports)
    assert [one.events for one, _ in reports] == sorted(one.events for one, _ in reports)
    assert [kept for _, kept in reports] == sorted(kept for _, kept in reports)
