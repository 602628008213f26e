"""The two databases of a release, for the tests of this room."""

from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient

from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops_tests.mongo.swapping.prepared_swap import connect_origin, make_origin, make_transformer


@pytest.fixture
def client(scratch_mongod: PrivateMongod) -> Iterator[MongoClient[Any]]:
    with connect_origin(scratch_mongod.uri) as found:
        yield found


@pytest.fixture
def origin(client: MongoClient[Any]) -> Iterator[Any]:
    with make_origin(client) as database:
        yield database


@pytest.fixture
def transformer(client: MongoClient[Any], origin: Any) -> Iterator[Any]:
    with make_transformer(client, origin) as database:
        yield database
