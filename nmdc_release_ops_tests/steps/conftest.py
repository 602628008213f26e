"""What tests of steps do alike with the workplace, or the prepared release, of their module."""

from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient

from nmdc_release_ops.demo.origin import DATABASE, OPERATOR
from nmdc_release_ops.mongo.operator_role import KEEPER_ROLE, OPERATOR_ROLE, keeper_role, operator_role
from nmdc_release_ops_tests.prepared_release import PreparedRelease
from nmdc_release_ops_tests.replica_set import ReplicaSet, replica_set
from nmdc_release_ops_tests.workplace import Workplace

BLOCK = {"setUserWriteBlockMode", "bypassWriteBlockingMode"}
"""What it takes to block writes."""


@pytest.fixture
def client(workplace: Workplace) -> Iterator[MongoClient[Any]]:
    """The administrator's, on the workplace's origin."""
    with MongoClient[Any](workplace.origin.server.uri) as found:
        yield found


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    """A set of three members, for an origin."""
    with replica_set(tmp_path_factory.mktemp("set") / "origin") as running:
        yield running


@pytest.fixture
def release(made: PreparedRelease) -> Iterator[PreparedRelease]:
    """The prepared release of the module, put back after each test."""
    yield made
    made.put_back()


@pytest.fixture
def keeper(client: MongoClient[Any]) -> Iterator[None]:
    """The operator may demote, besides what it needs anyway."""
    client.admin.command("createRole", KEEPER_ROLE, **keeper_role())
    client.admin.command("grantRolesToUser", OPERATOR, roles=[KEEPER_ROLE])
    yield
    client.admin.command("dropRole", KEEPER_ROLE)


@pytest.fixture
def no_block(client: MongoClient[Any]) -> Iterator[None]:
    """The operator may not block writes."""
    privileges = operator_role(DATABASE)["privileges"]
    without = [{**one, "actions": [name for name in one["actions"] if name not in BLOCK]} for one in privileges]
    client.admin.command("updateRole", OPERATOR_ROLE, privileges=without)
    yield
    client.admin.command("updateRole", OPERATOR_ROLE, privileges=privileges)
