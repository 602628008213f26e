"""A collection is renamed or dropped only if it is the one that is meant, on servers that compare UUIDs and on older ones."""

from collections.abc import Iterator
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod, private_mongod
from nmdc_release_ops.mongo.server.collections import find_names
from nmdc_release_ops.mongo.server.renaming import ASIDE, NameTaken, NotThere, drop_collection, rename_collection


@pytest.fixture(scope="module", params=["6.0", "5.0"])
def server(
    request: pytest.FixtureRequest, scratch_mongod: PrivateMongod, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrivateMongod]:
    """With a feature compatibility version of 5.0, a server does not compare UUIDs, as 5.0 itself does not."""
    if request.param == "6.0":
        yield scratch_mongod
        return
    with private_mongod(tmp_path_factory.mktemp("older"), authentication=False) as older:
        with MongoClient[Any](older.uri) as client:
            client.admin.command("setFeatureCompatibilityVersion", request.param)
        yield older


@pytest.fixture
def database(server: PrivateMongod) -> Iterator[Any]:
    with MongoClient[Any](server.uri) as client:
        found = client[f"renaming_{ObjectId()}"]
        for name in ("a", "b"):
            found[name].insert_one({"_id": name})
        yield found
        client.drop_database(found.name)


def uuid_of(database: Any, name: str) -> Any:
    return {name: uuid for uuid, name in find_names(database).items()}[name]


def test_the_collection_that_is_meant_is_renamed_and_dropped(database: Any) -> None:
    uuid = uuid_of(database, "a")
    rename_collection(database, uuid, "a", "c")
    assert find_names(database)[uuid] == "c"
    drop_collection(database, uuid, "c")
    assert database.list_collection_names() == ["b"]


def test_another_collection_under_its_name_is_left_alone(database: Any) -> None:
    before, uuid = find_names(database), uuid_of(database, "b")
    with pytest.raises(NotThere):
        rename_collection(database, uuid, "a", "c")
    drop_collection(database, uuid, "a")
    assert find_names(database) == before


def test_a_name_that_is_taken_is_not_given_twice(database: Any) -> None:
    before = find_names(database)
    with pytest.raises(NameTaken):
        rename_collection(database, uuid_of(database, "a"), "a", "b")
    assert find_names(database) == before


def test_what_is_not_there_is_not_renamed_and_not_dropped(database: Any) -> None:
    before, uuid = find_names(database), uuid_of(database, "a")
    with pytest.raises(NotThere):
        rename_collection(database, uuid, "nothing", "c")
    drop_collection(database, uuid, "nothing")
    assert find_names(database) == before


def test_a_drop_that_was_cut_short_is_finished(database: Any) -> None:
    """An older server is asked in two steps."""
    uuid = uuid_of(database, "a")
    database.a.rename(ASIDE + uuid.hex)
    drop_collection(database, uuid, ASIDE + uuid.hex)
    assert database.list_collection_names() == ["b"]
