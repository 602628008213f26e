"""After a kill at any change of a demotion or of its undoing, the next process puts every account back exactly."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient

from nmdc_release_ops.mongo.freezing.demoted_accounts import ACCOUNTS, LEFT, read_header
from nmdc_release_ops.mongo.freezing.demotion import demote, is_in_force, put_back
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod, private_mongod
from nmdc_release_ops.mongo.state.database import STATE_DATABASE
from nmdc_release_ops_tests.mongo.freezing.accounts import accounts_of
from nmdc_release_ops_tests.workplace import PROJECT

RELEASE = "a-release"
MORE_THAN_THERE_ARE = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateMongod]:
    """A server with one account of each kind; the operator is its administrator."""
    with private_mongod(tmp_path_factory.mktemp("demotion-crashes")) as running:
        with MongoClient[Any](running.uri) as root:
            root.nmdc.jobs.insert_one({})
            root.nmdc.command("createRole", "inner", privileges=[], roles=["readWrite"])
            root.nmdc.command("createRole", "outer", privileges=[], roles=["inner", "dbAdmin"])
            root.nmdc.command("createUser", "by_role", pwd="x", roles=["outer"])
            root.nmdc.command("createUser", "directly", pwd="x", roles=["readWrite"])
            root.admin.command("createUser", "by_stand_in", pwd="x", roles=["restore"])
        yield running


@pytest.fixture
def client(server: PrivateMongod) -> Iterator[MongoClient[Any]]:
    with MongoClient[Any](server.uri) as found:
        yield found
        put_back(found, RELEASE)


def killed(server: PrivateMongod, action: str, number: int, when: str) -> bool:
    """Whether the process was killed: the action has that many changes."""
    done = subprocess.run(
        [sys.executable, "-m", "nmdc_release_ops_tests.mongo.freezing.crashing_demotion", action, str(number), when],
        env={**os.environ, "NMDC_ORIGIN_URI": server.uri},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr[-2000:]
    return done.returncode != 0


def points(server: PrivateMongod, action: str, when: str) -> Iterator[int]:
    """Kill the action at each of its changes in turn."""
    for number in range(MORE_THAN_THERE_ARE):
        if not killed(server, action, number, when):
            # Fewer would mean that the action had nothing to do.
            assert number > 5
            return
        yield number
    raise AssertionError(f"more than {MORE_THAN_THERE_ARE} changes")


def assert_as_before(client: MongoClient[Any], accounts: Any) -> None:
    assert accounts_of(client) == accounts
    assert read_header(client) is None
    state = client[STATE_DATABASE]
    assert state[LEFT].count_documents({}) == 0


@pytest.mark.faults
@pytest.mark.parametrize("when", ["before", "made"])
def test_killed_while_demoting_everything_is_put_back(
    server: PrivateMongod, client: MongoClient[Any], when: str
) -> None:
    accounts = accounts_of(client)
    for _ in points(server, "demote", when):
        assert put_back(client, RELEASE).left == ()
        assert_as_before(client, accounts)
    put_back(client, RELEASE)


@pytest.mark.faults
@pytest.mark.parametrize("when", ["before", "made"])
def test_killed_while_demoting_again_and_again_nothing_demoted_is_ever_saved_as_the_original(
    server: PrivateMongod, client: MongoClient[Any], when: str
) -> None:
    accounts = accounts_of(client)
    for _ in points(server, "demote", when):
        # The next attempt begins on what this one left.
        continue
    assert is_in_force(client, RELEASE)
    assert put_back(client, RELEASE).left == ()
    assert_as_before(client, accounts)


@pytest.mark.faults
@pytest.mark.parametrize("when", ["before", "made"])
def test_killed_while_putting_back_the_next_attempt_finishes(
    server: PrivateMongod, client: MongoClient[Any], when: str
) -> None:
    accounts = accounts_of(client)
    demote(client, RELEASE, "nmdc", 10)
    for number in points(server, "put_back", when):
        # Before its first change, nothing has happened.
        assert is_in_force(client, RELEASE) is (number == 0 and when == "before")
        assert put_back(client, RELEASE).left == ()
        assert_as_before(client, accounts)
        demote(client, RELEASE, "nmdc", 10)
    assert_as_before(client, accounts)


@pytest.mark.parametrize("number", [3, *(pytest.param(number, marks=pytest.mark.faults) for number in (0, 7, 9))])
def test_killed_at_a_change_the_release_can_be_frozen_and_thawed_again(
    server: PrivateMongod, client: MongoClient[Any], number: int
) -> None:
    accounts = accounts_of(client)
    assert killed(server, "demote", number, "made")
    demote(client, RELEASE, "nmdc", 10)
    assert is_in_force(client, RELEASE)
    assert killed(server, "put_back", 3, "made")
    put_back(client, RELEASE)
    assert_as_before(client, accounts)
    assert client[STATE_DATABASE][ACCOUNTS].count_documents({}) == 0
