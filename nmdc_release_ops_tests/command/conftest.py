"""What the tests of the command do alike with the workplace of their module."""

from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient

from nmdc_release_ops_tests.workplace import Workplace


@pytest.fixture
def client(workplace: Workplace) -> Iterator[MongoClient[Any]]:
    """The administrator's, on the workplace's origin."""
    with MongoClient[Any](workplace.origin.server.uri) as found:
        yield found


@pytest.fixture
def password(workplace: Workplace) -> str:
    """The operator's, in the connection string."""
    return workplace.origin.uri().split("@")[0].rpartition(":")[2]
