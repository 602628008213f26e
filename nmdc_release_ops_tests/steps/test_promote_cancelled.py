"""A promotion that is cancelled from the UI, while it catches up or under the freeze, can be re-executed, and nobody stays locked
out but for a swap.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from nmdc_release_ops.demo.origin import CACHE_GIGABYTES, DemoOrigin
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.mongo.state.lease import current_lease
from nmdc_release_ops_tests.dagster_server import DagsterServer, dagster_server
from nmdc_release_ops_tests.prepared_release import (
    AFTER,
    BEFORE,
    CONFIG,
    is_swap_under_way,
    put_back,
    recorded_version,
    tick,
)
from nmdc_release_ops_tests.steps.held_command import held_up, until, waiting
from nmdc_release_ops_tests.steps.validated_release import SECOND_HALF, Validated
from nmdc_release_ops_tests.workplace import Workplace, failure_of, workplace_around

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, warm_schema: Path) -> Iterator[Workplace]:
    folder = tmp_path_factory.mktemp("cancelled")
    server = PrivateMongod.start(
        folder / "origin", cache_gigabytes=CACHE_GIGABYTES, parameters={"enableTestCommands": "1"}
    )
    yield from workplace_around(DemoOrigin.fill(server, scale=200, log=lambda line: None), folder, warm_schema)


@pytest.fixture(scope="module")
def dagster(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterServer]:
    with dagster_server(workplace.environment(), str(tmp_path_factory.mktemp("dagster") / "log")) as server:
        yield server


def cancel_at(dagster: DagsterServer, release: Validated, client: MongoClient[Any], command: str, skip: int) -> None:
    """Promote from `catch_up` on, and cancel the run when a command waits."""
    with held_up(client, command, skip=skip):
        run = dagster.reexecute_steps(release.last, ["catch_up", *SECOND_HALF], CONFIG, "online_release")
        until(lambda: waiting(client, command), f"{command} was not sent")
        dagster.cancel(run)
        assert dagster.wait(run)[0] == "CANCELED"
    release.last = run


def assert_finishes(release: Validated, client: MongoClient[Any]) -> None:
    result = release.execute_from_failure()
    assert result.success, failure_of(result)
    assert recorded_version(client) == AFTER
    assert current_lease(client) is None and is_write_blocked(client) is False
    put_back(client)


def test_cancelled_while_it_catches_up_nobody_was_locked_out(
    workplace: Workplace, dagster: DagsterServer, client: MongoClient[Any]
) -> None:
    release = Validated(workplace)
    cancel_at(dagster, release, client, "create", skip=1)
    assert current_lease(client) is None and is_write_blocked(client) is False
    assert recorded_version(client) == BEFORE
    assert_finishes(release, client)


def test_cancelled_while_writes_are_being_blocked_it_is_thawed_within_a_tick(
    workplace: Workplace, dagster: DagsterServer, client: MongoClient[Any]
) -> None:
    release = Validated(workplace)
    cancel_at(dagster, release, client, "setUserWriteBlockMode", skip=0)
    tick(workplace.instance)
    assert current_lease(client) is None and is_write_blocked(client) is False
    assert recorded_version(client) == BEFORE
    assert_finishes(release, client)


def test_cancelled_in_the_swap_it_stays_frozen_until_it_is_finished(
    workplace: Workplace, dagster: DagsterServer, client: MongoClient[Any]
) -> None:
    release = Validated(workplace)
    cancel_at(dagster, release, client, "renameCollection", skip=2)
    lease = current_lease(client)
    assert lease is not None and is_swap_under_way(client, lease.release_id)
    assert tick(workplace.instance) is None
    assert is_write_blocked(client) is True
    assert_finishes(release, client)
