"""A follower survives what a server can do to it, or says what was lost."""

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import bson
import pytest
from pymongo import MongoClient
from pymongo.errors import ConnectionFailure
from pymongo.read_preferences import ReadPreference

from nmdc_release_ops.mongo.delta import stream
from nmdc_release_ops.mongo.delta.delta import Delta
from nmdc_release_ops.mongo.delta.follow import Follower, StreamStalled
from nmdc_release_ops.mongo.delta.moment import (
    UnknownResumeToken,
    oplog_reaches_back_to,
    present_moment,
    reached_by,
)
from nmdc_release_ops.mongo.delta.read import read_at
from nmdc_release_ops.mongo.delta.since import WritesSince
from nmdc_release_ops.mongo.delta.stream import OplogTooShort, StreamRefused
from nmdc_release_ops.mongo.operator_role import operator_role
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.clock import ClusterTime, cluster_time
from nmdc_release_ops_tests.mongo.delta.raw_documents import keys, keys_in
from nmdc_release_ops_tests.replica_set import replica_set


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoClient[Any]]:
    """A server with an oplog of 16 MB, which removes what has expired every second."""
    server = PrivateMongod.start(
        tmp_path_factory.mktemp("small"),
        authentication=False,
        oplog_megabytes=16,
        parameters={"ttlMonitorSleepSecs": "1", "enableTestCommands": "1"},
    )
    try:
        with MongoClient[Any](server.uri) as client:
            cluster_time(client)
            yield client
    finally:
        server.stop()


def overrun(client: MongoClient[Any], since: ClusterTime) -> None:
    """Write until the oplog no longer reaches back to a moment. Takes a minute: nothing that is newer than the last
    checkpoint is removed."""
    deadline = time.monotonic() + 120
    while (begins := oplog_reaches_back_to(client)) is None or begins.timestamp() <= since.timestamp():
        assert time.monotonic() < deadline, "the oplog was not overrun"
        client.noise.a_set.insert_many({"x": "x" * 1_000_000} for _ in range(8))
        client.noise.a_set.drop()
        time.sleep(0.5)


@pytest.mark.faults
def test_an_oplog_that_is_overrun_is_named_with_its_beginning(small: MongoClient[Any], tmp_path: Path) -> None:
    since = present_moment(small).next()
    small.origin.a_set.insert_one({"_id": 1})
    with Delta(tmp_path / "begun.sqlite") as begun, Delta(tmp_path / "new.sqlite") as new:
        with Follower(small.origin, {"a_set"}, begun, since) as follower:
            follower.read_until(present_moment(small))
            small.origin.a_set.insert_one({"_id": "lost"})
            overrun(small, present_moment(small))
            begins = oplog_reaches_back_to(small)
            with pytest.raises(OplogTooShort):
                follower.read_until(present_moment(small))
        for delta in (begun, new):
            with pytest.raises(OplogTooShort, match=r"oplog does not reach back to .* Dump again") as error:
                Follower(small.origin, {"a_set"}, delta, since)
            assert begins is not None and error.value.reaches_back_to is not None
            assert error.value.wanted.timestamp() < begins.timestamp() <= error.value.reaches_back_to.timestamp()
        assert error.value.wanted == since
        assert keys_in(begun) == {"a_set": keys(1)}


@pytest.mark.faults
def test_of_what_was_written_since_a_moment_the_rest_is_known_when_the_oplog_is_overrun(
    small: MongoClient[Any], tmp_path: Path
) -> None:
    since = present_moment(small).next()
    with WritesSince(small.origin, {"b_set"}, since, tmp_path / "since.sqlite") as writes:
        small.origin.b_set.insert_one({"_id": "read in time"})
        writes.follow()
        small.origin.b_set.insert_one({"_id": "lost"})
        overrun(small, present_moment(small))
        begins = oplog_reaches_back_to(small)
        small.origin.b_set.insert_many([{"_id": "known", "n": 1}, {"_id": "gone"}])
        small.origin.b_set.delete_one({"_id": "gone"})
        moment = writes.follow()
        (unknown,) = writes.unknown
        assert begins is not None and unknown.until is not None
        assert since.timestamp() <= unknown.since.timestamp() < begins.timestamp() <= unknown.until.timestamp()
        assert unknown.describe().startswith("between 20")
        assert keys_in(writes.delta) == {"b_set": keys("read in time", "known", "gone")}
        found = [document and bson.decode(document) for document in writes.read("b_set", moment)]
        assert len(found) == 3 and None in found and {"_id": "known", "n": 1} in found


def test_what_was_read_before_the_oplog_was_overrun_is_known(
    small: MongoClient[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server itself says that the history is lost, in the middle of a reading. That takes a reply for each event."""
    monkeypatch.setattr(stream, "EVENTS_A_REPLY", 1)
    lose = {"mode": {"times": 1}, "data": {"failCommands": ["getMore"], "errorCode": 286}}
    database = small.cut_off
    since = present_moment(small).next()
    database.a_set.insert_many([{"_id": "read"}, {"_id": "read too"}, {"_id": "lost"}])
    begins = present_moment(small)
    database.a_set.insert_one({"_id": "known"})
    monkeypatch.setattr(stream, "oplog_reaches_back_to", lambda _client: begins)
    taken: list[Any] = []
    take = Follower._take

    def cut_off(follower: Follower, event: Any) -> None:
        take(follower, event)
        taken.append(event["clusterTime"])
        if len(taken) == 2:
            small.admin.command({"configureFailPoint": "failCommand", **lose})

    monkeypatch.setattr(Follower, "_take", cut_off)
    try:
        with WritesSince(database, {"a_set"}, since, tmp_path / "since.sqlite") as writes:
            writes.follow()
            (unknown,) = writes.unknown
            assert unknown.since.timestamp() >= taken[1] and unknown.until == begins.next()
            assert keys_in(writes.delta) == {"a_set": keys("read", "read too", "known")}
    finally:
        small.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
        small.drop_database("cut_off")


def test_documents_that_expire_are_found(small: MongoClient[Any], tmp_path: Path) -> None:
    expiring = small.origin.expiring_set
    expiring.create_index("when", expireAfterSeconds=1)
    expiring.insert_many([{"_id": number, "when": bson.DatetimeMS(0)} for number in range(3)])
    since = present_moment(small).next()
    with Delta(tmp_path / "delta.sqlite") as delta, Follower(small.origin, {"expiring_set"}, delta, since) as follower:
        deadline = time.monotonic() + 60
        while expiring.find_one() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert follower.read_until(present_moment(small)) == 3
        assert keys_in(delta) == {"expiring_set": keys(0, 1, 2)}


@pytest.mark.faults
def test_a_server_that_steps_down_is_followed_on(tmp_path: Path) -> None:
    with replica_set(tmp_path / "set") as members, MongoClient[Any](members.uri) as client:
        since = present_moment(client).next()
        client.origin.a_set.insert_one({"_id": "before"})
        with Delta(tmp_path / "delta.sqlite") as delta, Follower(client.origin, {"a_set"}, delta, since) as follower:
            follower.read_until(present_moment(client))
            members.step_down()
            client.origin.a_set.insert_one({"_id": "after"})
            follower.read_until(present_moment(client))
            assert keys_in(delta) == {"a_set": keys("before", "after")}
            stepping = Thread(target=members.step_down)
            stepping.start()
            # Until the moment is there, the follower asks the server again and again.
            written: list[int] = []
            while stepping.is_alive() or len(written) < 10:
                client.origin.a_set.insert_one({"_id": len(written)})
                written.append(len(written))
                if len(written) % 10 == 0:
                    follower.read_until(present_moment(client))
            stepping.join()
            follower.read_until(present_moment(client))
            assert keys_in(delta) == {"a_set": keys("before", "after", *written)}
        with Delta(tmp_path / "secondary.sqlite") as delta:
            secondary = client.get_database("origin", read_preference=ReadPreference.SECONDARY)
            with Follower(secondary, {"a_set"}, delta, since) as follower:
                follower.read_until(moment := present_moment(client))
            assert keys_in(delta) == {"a_set": keys("before", "after", *written)}
            found = read_at(secondary, "a_set", delta.keys("a_set"), moment)
            assert {key for key, document in found if document} == keys("before", "after", *written)


def test_a_stream_that_stands_still_is_named(scratch_mongod: PrivateMongod, tmp_path: Path) -> None:
    with MongoClient[Any](scratch_mongod.uri) as client, Delta(tmp_path / "delta.sqlite") as delta:
        now = present_moment(client).next()
        future = ClusterTime(seconds=now.seconds + 3600, increment=1)
        follower = Follower(client.origin, {"a_set"}, delta, now, patience=0.5)
        with follower, pytest.raises(StreamStalled, match=r"has stood at .* did not pass .* `rs.status"):
            follower.read_until(future)


@pytest.mark.faults
def test_a_server_out_of_reach_is_waited_for_and_then_named(tmp_path: Path) -> None:
    server = PrivateMongod.start(tmp_path / "server", authentication=False)
    try:
        with MongoClient[Any](server.uri, serverSelectionTimeoutMS=500) as client:
            cluster_time(client)
            since = present_moment(client).next()
            client.origin.a_set.insert_one({"_id": 1})
            moment = present_moment(client)
            with Delta(tmp_path / "delta.sqlite") as delta:
                with Follower(client.origin, {"a_set"}, delta, since, patience=30) as follower:
                    port = server.port
                    server.stop()
                    reading = Thread(target=follower.read_until, args=[moment])
                    reading.start()
                    time.sleep(1)
                    server = PrivateMongod.start(tmp_path / "server", authentication=False, port=port)
                    reading.join()
                    assert keys_in(delta) == {"a_set": keys(1)}
                with Follower(client.origin, {"a_set"}, delta, patience=0.5) as follower:
                    server.stop()
                    with pytest.raises(ConnectionFailure):
                        follower.read_until(moment.next())
    finally:
        server.stop()


def test_a_user_who_may_not_follow_is_refused_plainly(guarded_mongod: PrivateMongod, tmp_path: Path) -> None:
    with MongoClient[Any](guarded_mongod.uri) as administrator, Delta(tmp_path / "delta.sqlite") as delta:
        administrator.admin.command("createRole", "follower", **operator_role("followed"))
        administrator.admin.command("createUser", "follower", pwd="x", roles=["follower"])
        administrator.admin.command("createUser", "reader", pwd="x", roles=[{"role": "readWrite", "db": "elsewhere"}])
        try:
            with MongoClient[Any](guarded_mongod.uri_for("follower", "x")) as client:
                since = present_moment(client)
                assert oplog_reaches_back_to(client) is not None
                with Follower(client.followed, {"a_set"}, delta, since.next()) as follower:
                    administrator.followed.a_set.insert_one({"_id": 1})
                    follower.read_until(present_moment(client))
                assert keys_in(delta) == {"a_set": keys(1)}
            with MongoClient[Any](guarded_mongod.uri_for("reader", "x")) as client:
                with pytest.raises(StreamRefused, match="offers no change stream of followed: not authorized"):
                    Follower(client.followed, {"a_set"}, delta)
                assert oplog_reaches_back_to(client) is None
        finally:
            administrator.admin.command("dropUser", "follower")
            administrator.admin.command("dropUser", "reader")
            administrator.admin.command("dropRole", "follower")
            administrator.drop_database("followed")


def test_a_token_of_another_form_is_refused(scratch_mongod: PrivateMongod) -> None:
    for data in ("8F00", "82", "82zzzzzzzzzzzzzzzz", 1, None):
        with pytest.raises(UnknownResumeToken, match="unknown form"):
            reached_by(bson.encode({"_data": data}))
    assert reached_by(bson.encode({"_data": "826B0C0644000000022B0229296E04"})) == bson.Timestamp(1795950148, 2)


def test_a_server_before_60_is_followed_without_what_it_does_not_know(
    scratch_mongod: PrivateMongod, tmp_path: Path
) -> None:
    """There is no such server here; one of today can be told to behave like the one before it."""
    with MongoClient[Any](scratch_mongod.uri) as client, Delta(tmp_path / "delta.sqlite") as delta:
        since = present_moment(client).next()
        client.admin.command("setFeatureCompatibilityVersion", "5.0")
        try:
            with Follower(client.old, {"a_set"}, delta, since) as follower:
                client.old.a_set.create_index("n")
                client.old.a_set.insert_one({"_id": 1})
                client.old.a_set.rename("b_set")
                follower.read_until(present_moment(client))
            assert keys_in(delta) == {"a_set": keys(1)}
            assert delta.redefined == {"a_set": {"rename"}}
        finally:
            client.admin.command("setFeatureCompatibilityVersion", "6.0")
            client.drop_database("old")
