"""What was written since a moment is seen, by the change stream or by hashing, and what was not is not made up."""

from collections.abc import Iterator
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from nmdc_release_ops.mongo.delta.account import touched_since
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.collections import collection_hashes
from nmdc_release_ops.mongo.server.connection import connect
from nmdc_release_ops.mongo.swapping import unchanged
from nmdc_release_ops.mongo.swapping.unchanged import changed_since

NAMES = {"a_set", "b_set", "c_set"}


@pytest.fixture
def database(scratch_mongod: PrivateMongod) -> Iterator[Any]:
    with MongoClient[Any](scratch_mongod.uri) as client:
        found = client[f"unchanged_{ObjectId()}"]
        for name in NAMES:
            found[name].insert_many({"_id": number} for number in range(10))
        yield found
        client.drop_database(found.name)


def moment(database: Any) -> ClusterTime:
    # The stream shows what happened at the moment itself, too: let that be something that does not matter.
    database.other.insert_one({})
    return ClusterTime.of(database.command("ping")["operationTime"])


def test_what_nobody_wrote_to_is_unchanged(database: Any) -> None:
    then, hashes = moment(database), collection_hashes(database, NAMES)
    database.other.insert_one({})
    assert touched_since(database, then, NAMES) == set()
    assert changed_since(database, then, hashes) == []
    assert sorted(database.list_collection_names()) == ["a_set", "b_set", "c_set", "other"]


def test_the_connection_that_releases_use_reads_the_change_stream(scratch_mongod: PrivateMongod, database: Any) -> None:
    """It reads with a concern of its own, which change streams do not take."""
    then = moment(database)
    database.a_set.insert_one({"_id": 99})
    with connect(scratch_mongod.uri, whose="origin", variable="a test") as client:
        assert touched_since(client[database.name], then, NAMES) == {"a_set"}


@pytest.mark.parametrize(
    ("write", "changed"),
    [
        (lambda database: database.a_set.insert_one({"_id": 99}), ["a_set"]),
        (lambda database: database.a_set.update_one({"_id": 1}, {"$set": {"x": 1}}), ["a_set"]),
        (lambda database: database.b_set.replace_one({"_id": 1}, {"x": 1}), ["b_set"]),
        (lambda database: database.b_set.delete_one({"_id": 1}), ["b_set"]),
        (lambda database: database.c_set.drop(), ["c_set"]),
        (lambda database: database.c_set.rename("elsewhere"), ["c_set"]),
        (lambda database: (database.a_set.drop(), database.b_set.rename("a_set")), ["b_set"]),
    ],
    ids=["insert", "update", "replace", "delete", "drop", "rename", "take the place of an equal one"],
)
@pytest.mark.parametrize("stream", [True, False], ids=["change stream", "hashes"])
def test_every_kind_of_write_is_seen(
    database: Any, write: Any, changed: list[str], stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    then, hashes = moment(database), collection_hashes(database, NAMES)
    if not stream:
        monkeypatch.setattr(unchanged, "touched_since", lambda *_: None)
    write(database)
    assert changed_since(database, then, hashes) == changed


def test_only_what_was_written_to_is_hashed(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    then, hashes = moment(database), collection_hashes(database, NAMES)
    database.a_set.insert_one({"_id": "for a moment"})
    database.a_set.delete_one({"_id": "for a moment"})
    hashed: list[set[str]] = []

    def noted(database: Any, names: Any) -> dict[str, str]:
        hashed.append(set(names))
        return collection_hashes(database, names)

    monkeypatch.setattr(unchanged, "collection_hashes", noted)
    assert changed_since(database, then, hashes) == []
    assert hashed == [{"a_set"}]


def test_where_the_server_gives_no_change_stream_everything_is_hashed(guarded_mongod: PrivateMongod) -> None:
    """As where the oplog does not reach back; here for want of the privilege, which is quicker to arrange."""
    with MongoClient[Any](guarded_mongod.uri) as administrator:
        actions = ["find", "insert", "dropCollection", "listCollections", "dbHash"]
        administrator.admin.command(
            "createRole",
            "without_streams",
            privileges=[{"resource": {"db": "unchanged", "collection": ""}, "actions": actions}],
            roles=[],
        )
        administrator.admin.command("createUser", "without_streams", pwd="x", roles=["without_streams"])
        try:
            administrator.unchanged.a_set.insert_one({"_id": 1})
            with MongoClient[Any](guarded_mongod.uri_for("without_streams", "x")) as client:
                then, hashes = moment(client.unchanged), collection_hashes(client.unchanged, ["a_set"])
                assert touched_since(client.unchanged, then, {"a_set"}) is None
                assert changed_since(client.unchanged, then, hashes) == []
                administrator.unchanged.a_set.delete_one({"_id": 1})
                assert changed_since(client.unchanged, then, hashes) == ["a_set"]
                assert changed_since(client.unchanged, None, hashes) == ["a_set"]
        finally:
            administrator.admin.command("dropUser", "without_streams")
            administrator.admin.command("dropRole", "without_streams")
            administrator.drop_database("unchanged")


def test_too_many_writes_are_not_read_one_by_one(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmdc_release_ops.mongo.delta.account.MANY_EVENTS", 3)
    then, hashes = moment(database), collection_hashes(database, NAMES)
    database.a_set.insert_many({"_id": f"new {number}"} for number in range(5))
    assert touched_since(database, then, NAMES) is None
    assert changed_since(database, then, hashes) == ["a_set"]
