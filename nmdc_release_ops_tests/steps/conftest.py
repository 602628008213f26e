"""What tests of steps do alike with the workplace, or the prepared release, of their module."""

from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient

from nmdc_release_ops_tests.prepared_release import PreparedRelease
from nmdc_release_ops_tests.workplace import Workplace


@pytest.fixture
def client(workplace: Workplace) -> Iterator[MongoClient[Any]]:
    """The administrator's, on the workplace's origin."""
    with MongoClient[Any](workplace.origin.server.uri) as found:
        yield found


@pytest.fixture
def release(made: PreparedRelease) -> Iterator[PreparedRelease]:
    """The prepared release of the module, put back after each test."""
    yield made
    made.put_back()
