"""A write block delays no read, and can always be undone."""

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from threading import Thread
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import ExecutionTimeout, OperationFailure

from nmdc_release_ops.mongo.freezing import write_block
from nmdc_release_ops.mongo.freezing.choose import NotFreezable, choose_strategy
from nmdc_release_ops.mongo.freezing.demotion import demote, put_back
from nmdc_release_ops.mongo.freezing.freeze import freeze
from nmdc_release_ops.mongo.freezing.sessions import describe_index_builds
from nmdc_release_ops.mongo.freezing.strategy import FreezeFailed
from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.freezing.write_block import BlockFailed, StillBlocked, allow_writes, block_writes
from nmdc_release_ops.mongo.operator_role import KEEPER_ROLE, OPERATOR_ROLE, keeper_role, operator_role
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod, private_mongod
from nmdc_release_ops.mongo.server.topology import describe_server, is_write_blocked
from nmdc_release_ops.mongo.state.database import STATE_DATABASE
from nmdc_release_ops.mongo.state.lease import Strategy, current_lease, take_lease
from nmdc_release_ops_tests.mongo.blocking import freeze_by_block

DATABASE = "nmdc"
PASSWORD = "of the test"
READ_SECONDS = 0.5
"""No read may wait longer."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateMongod]:
    """A server of its own: its featureCompatibilityVersion and its roles are changed here."""
    with private_mongod(tmp_path_factory.mktemp("write-block")) as running:
        with MongoClient[Any](running.uri) as root:
            root.admin.command("createRole", OPERATOR_ROLE, **operator_role(DATABASE))
            root.admin.command("createRole", KEEPER_ROLE, **keeper_role())
            root.admin.command("createUser", "operator", pwd=PASSWORD, roles=[OPERATOR_ROLE])
            root.admin.command("createUser", "keeper", pwd=PASSWORD, roles=[OPERATOR_ROLE, KEEPER_ROLE])
            root.admin.command("createUser", "scientist", pwd=PASSWORD, roles=["readWriteAnyDatabase"])
            root[DATABASE].jobs.insert_many([{"_id": number} for number in range(100)])
        yield running


@pytest.fixture
def root(server: PrivateMongod) -> Iterator[MongoClient[Any]]:
    with MongoClient[Any](server.uri) as client:
        yield client
        client.admin.command({"setFeatureCompatibilityVersion": "6.0"})
        client.admin.command({"setUserWriteBlockMode": 1, "global": False})
        client.admin.command("updateRole", OPERATOR_ROLE, **operator_role(DATABASE))
        client.drop_database(STATE_DATABASE)


@pytest.fixture
def operator(server: PrivateMongod, root: MongoClient[Any]) -> Iterator[MongoClient[Any]]:
    with MongoClient[Any](server.uri_for("operator", PASSWORD)) as client:
        yield client


@pytest.fixture
def scientist(server: PrivateMongod, root: MongoClient[Any]) -> Iterator[MongoClient[Any]]:
    with MongoClient[Any](server.uri_for("scientist", PASSWORD)) as client:
        yield client


def _read_until(uri: str, over: Event, answer: Connection) -> None:
    """Read all the time. Send a first message when reading has begun, and at the end the longest time that a read took."""
    with MongoClient[Any](uri) as client:
        longest = 0.0
        list(client[DATABASE].jobs.find())
        answer.send(longest)
        while not over.is_set():
            began = time.monotonic()
            list(client[DATABASE].jobs.find())
            longest = max(longest, time.monotonic() - began)
            time.sleep(0.002)
    answer.send(longest)


@contextmanager
def reading(server: PrivateMongod) -> Iterator[list[float]]:
    """Read in a process of its own for as long as the block lasts; the longest read, in seconds, is in the list then."""
    spawning = multiprocessing.get_context("spawn")
    over = spawning.Event()
    ours, theirs = spawning.Pipe()
    reader = spawning.Process(target=_read_until, args=(server.uri_for("scientist", PASSWORD), over, theirs))
    reader.start()
    longest: list[float] = []
    try:
        assert ours.poll(60)
        ours.recv()
        yield longest
    finally:
        over.set()
        longest.append(ours.recv())
        reader.join()


@contextmanager
def open_transaction(client: MongoClient[Any], *, writes: bool = True) -> Iterator[None]:
    with client.start_session() as session, session.start_transaction():
        if writes:
            client[DATABASE].things.insert_one({}, session=session)
        else:
            client[DATABASE].jobs.find_one({}, session=session)
        yield
        session.abort_transaction()


def test_nobody_waits_to_read_while_a_freeze_waits_for_a_transaction(
    server: PrivateMongod, operator: MongoClient[Any], scientist: MongoClient[Any]
) -> None:
    with (
        reading(server) as longest,
        open_transaction(scientist),
        pytest.raises(FreezeFailed, match="did not end within"),
    ):
        freeze_by_block(operator, "a", "run", drain_timeout=4)
    assert longest[0] < READ_SECONDS
    assert is_write_blocked(operator) is False and current_lease(operator) is None


def test_nobody_waits_to_write_for_long_while_a_freeze_waits_for_a_transaction(
    server: PrivateMongod, operator: MongoClient[Any], scientist: MongoClient[Any]
) -> None:
    waits = []

    def write_and_wait(seconds: float) -> None:
        began = time.monotonic()
        scientist[DATABASE].things.insert_one({})
        waits.append(time.monotonic() - began)
        sleep(seconds)

    sleep = time.sleep
    with pytest.MonkeyPatch.context() as patch, open_transaction(scientist):
        patch.setattr(write_block.time, "sleep", write_and_wait)
        with pytest.raises(FreezeFailed):
            freeze_by_block(operator, "a", "run", drain_timeout=2)
    assert len(waits) > 5 and max(waits) < READ_SECONDS


def test_a_freeze_succeeds_as_soon_as_the_transaction_has_ended(
    operator: MongoClient[Any], scientist: MongoClient[Any]
) -> None:
    with scientist.start_session() as session:
        session.start_transaction()
        scientist[DATABASE].things.insert_one({"_id": "in time"}, session=session)
        ended: list[float] = []
        sleep = time.sleep

        def commit_then_sleep(seconds: float) -> None:
            if not ended:
                session.commit_transaction()
                ended.append(time.monotonic())
            sleep(seconds)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(write_block.time, "sleep", commit_then_sleep)
            lease = freeze_by_block(operator, "a", "run", drain_timeout=60)
    assert time.monotonic() - ended[0] < 5
    assert is_write_blocked(operator) is True
    assert lease.cluster_time is not None
    assert scientist[DATABASE].things.find_one({"_id": "in time"})


def test_a_freeze_gets_in_between_short_transactions(operator: MongoClient[Any], server: PrivateMongod) -> None:
    """On a busy server some transaction is always open."""
    spawning = multiprocessing.get_context("spawn")
    over = spawning.Event()
    ours, theirs = spawning.Pipe()
    args = (server.uri_for("scientist", PASSWORD), over, theirs)
    busy = [spawning.Process(target=_transact_until, args=args) for _ in range(2)]
    for process in busy:
        process.start()
    try:
        for _ in busy:
            assert ours.poll(60)
            ours.recv()
        freeze_by_block(operator, "a", "run", drain_timeout=20)
        assert is_write_blocked(operator) is True
    finally:
        over.set()
        for process in busy:
            process.join()


def _transact_until(uri: str, over: Event, answer: Connection) -> None:
    with MongoClient[Any](uri) as client, client.start_session() as session:
        answer.send("begun")
        while not over.is_set():
            try:
                with session.start_transaction():
                    for _ in range(5):
                        client[DATABASE].things.insert_one({}, session=session)
                        time.sleep(0.02)
            except OperationFailure:
                # Writes are blocked.
                time.sleep(0.1)


@pytest.mark.parametrize("writes", [False, True])
def test_nobody_waits_to_read_while_a_thaw_meets_a_transaction(
    server: PrivateMongod, operator: MongoClient[Any], root: MongoClient[Any], scientist: MongoClient[Any], writes: bool
) -> None:
    freeze_by_block(operator, "a", "run")
    # While writes are blocked, only who bypasses the block has one that writes.
    with reading(server) as longest, open_transaction(root if writes else scientist, writes=writes):
        assert thaw(operator, "a", "run") is not None
    assert longest[0] < READ_SECONDS
    assert is_write_blocked(operator) is False and current_lease(operator) is None


def test_nobody_waits_to_read_while_users_are_demoted_or_put_back(
    server: PrivateMongod, root: MongoClient[Any], scientist: MongoClient[Any]
) -> None:
    for number in range(20):
        root.admin.command("createUser", f"user {number}", pwd=PASSWORD, roles=["readWriteAnyDatabase"])
    try:
        with MongoClient[Any](server.uri_for("keeper", PASSWORD)) as keeper, reading(server) as longest:
            with open_transaction(scientist), pytest.raises(FreezeFailed, match="did not end within"):
                freeze(keeper, "a", "run", Strategy.DEMOTE_ROLES, database=DATABASE, drain_timeout=2)
            demote(keeper, "a", DATABASE, 5)
            put_back(keeper, "a")
    finally:
        for number in range(20):
            root.admin.command("dropUser", f"user {number}")
    assert longest[0] < READ_SECONDS


def test_a_block_that_took_effect_although_its_command_timed_out_counts(
    operator: MongoClient[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    switch = write_block._switch

    def answer_late(client: MongoClient[Any], *, on: bool) -> None:
        switch(client, on=on)
        raise ExecutionTimeout("operation exceeded time limit", 50)

    monkeypatch.setattr(write_block, "_switch", answer_late)
    block_writes(operator, 5)
    assert is_write_blocked(operator) is True
    allow_writes(operator)
    assert is_write_blocked(operator) is False


def test_the_lease_is_kept_where_the_server_refuses_to_allow_writes(
    operator: MongoClient[Any], root: MongoClient[Any]
) -> None:
    freeze_by_block(operator, "a", "run")
    role = operator_role(DATABASE)
    for privilege in role["privileges"]:
        privilege["actions"] = [name for name in privilege["actions"] if name != "setUserWriteBlockMode"]
    root.admin.command("updateRole", OPERATOR_ROLE, **role)
    with pytest.raises(StillBlocked, match="not authorized"):
        thaw(operator, "a", "run")
    assert current_lease(operator) is not None and is_write_blocked(operator) is True
    root.admin.command({"setUserWriteBlockMode": 1, "global": False})
    # Its administrator did it: there is nothing left to undo, and nothing that could stop it.
    assert thaw(operator, "a", "run") is not None
    assert current_lease(operator) is None


@pytest.fixture
def older_features(root: MongoClient[Any]) -> None:
    root.admin.command({"setFeatureCompatibilityVersion": "5.0"})


@pytest.mark.usefixtures("older_features")
def test_plan_does_not_choose_a_write_block_where_the_features_of_6_0_are_off(
    operator: MongoClient[Any], server: PrivateMongod
) -> None:
    with pytest.raises(NotFreezable, match=r"featureCompatibilityVersion is 5\.0, and blocking writes needs 6\.0"):
        choose_strategy(operator, describe_server(operator, DATABASE), DATABASE)
    with MongoClient[Any](server.uri_for("keeper", PASSWORD)) as keeper:
        choice = choose_strategy(keeper, describe_server(keeper, DATABASE), DATABASE)
    assert choice.strategy is Strategy.DEMOTE_ROLES
    assert "featureCompatibilityVersion" in choice.reason


@pytest.mark.usefixtures("older_features")
def test_a_freeze_that_the_server_cannot_do_gives_the_lease_back(operator: MongoClient[Any]) -> None:
    with pytest.raises(FreezeFailed, match="The origin is not frozen"):
        freeze_by_block(operator, "a", "run")
    assert current_lease(operator) is None


@pytest.mark.usefixtures("older_features")
def test_a_lease_without_a_freeze_can_be_given_back(operator: MongoClient[Any]) -> None:
    take_lease(operator, "a", "run", Strategy.WRITE_BLOCK)
    assert thaw(operator, "a", "run") is not None
    assert current_lease(operator) is None


def test_plan_warns_when_it_may_not_read_the_feature_version(
    operator: MongoClient[Any], root: MongoClient[Any]
) -> None:
    described = describe_server(operator, DATABASE)
    assert "getParameter" not in " ".join(choose_strategy(operator, described, DATABASE).warnings)
    role = operator_role(DATABASE)
    for privilege in role["privileges"]:
        privilege["actions"] = [name for name in privilege["actions"] if name != "getParameter"]
    root.admin.command("updateRole", OPERATOR_ROLE, **role)
    choice = choose_strategy(operator, described, DATABASE)
    assert choice.strategy is Strategy.WRITE_BLOCK
    assert "lacks getParameter on cluster" in " ".join(choice.warnings)


def test_a_freeze_waits_for_an_index_build_which_it_would_abort_and_names_it(
    operator: MongoClient[Any], scientist: MongoClient[Any], root: MongoClient[Any]
) -> None:
    things = root[DATABASE].things
    things.insert_many([{"number": number, "list": list(range(100))} for number in range(20_000)])
    building = Thread(target=lambda: scientist[DATABASE].things.create_index([("list", 1), ("number", 1)]))
    building.start()
    try:
        while not describe_index_builds(operator):
            assert building.is_alive(), "the index was built too fast to be seen"
        with pytest.raises(BlockFailed, match=r"Indexes were still being built .*things"):
            block_writes(operator, 0.1)
        assert is_write_blocked(operator) is False
        block_writes(operator, 120)
        assert "list_1_number_1" in things.index_information()
    finally:
        building.join()
        things.drop()
