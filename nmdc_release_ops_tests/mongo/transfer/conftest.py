"""Two databases and a folder, for archives that are made and loaded."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database

from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod


@pytest.fixture
def databases(scratch_mongod: PrivateMongod) -> Iterator[tuple[Database[Any], Database[Any]]]:
    """An origin, and a copy to load into."""
    with MongoClient[Any](scratch_mongod.uri) as client:
        names = f"blocks_{ObjectId()}", f"copy_{ObjectId()}"
        yield client[names[0]], client[names[1]]
        for name in names:
            client.drop_database(name)


@pytest.fixture
def origin(databases: tuple[Database[Any], Database[Any]]) -> Database[Any]:
    return databases[0]


@pytest.fixture
def copy(databases: tuple[Database[Any], Database[Any]]) -> Database[Any]:
    return databases[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"
