"""A transformer, and an origin on which is staged what it holds."""

from collections.abc import Iterator
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database

from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.connection import connect


@pytest.fixture
def client(scratch_mongod: PrivateMongod) -> Iterator[MongoClient[Any]]:
    with connect(scratch_mongod.uri, whose="origin", variable="a test") as found:
        yield found


@pytest.fixture
def origin(client: MongoClient[Any]) -> Iterator[Database[Any]]:
    name = f"promoting_{ObjectId()}"
    yield client[name]
    client.drop_database(name)


@pytest.fixture
def transformer(client: MongoClient[Any]) -> Iterator[Database[Any]]:
    name = f"transformer_{ObjectId()}"
    yield client[name]
    client.drop_database(name)
