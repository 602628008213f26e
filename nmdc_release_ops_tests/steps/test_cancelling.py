"""A run that is cancelled from the UI, in whichever step, leaves the origin as it was or one named action away from done.

Each step is held up by MongoDB itself (its `failCommand` fail point makes a command wait), so that the run is cancelled in
the middle of it and not beside it.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import psutil
import pytest
from pymongo import MongoClient

from nmdc_release_ops.demo.origin import CACHE_GIGABYTES, DemoOrigin
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.connection import SELECTION_SECONDS
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.mongo.state.lease import current_lease
from nmdc_release_ops.sensors.frozen_origin_watchdog import WATCHDOG_SECONDS
from nmdc_release_ops_tests.dagster_server import DagsterServer, dagster_server
from nmdc_release_ops_tests.prepared_release import (
    CONFIG,
    PreparedRelease,
    is_swap_under_way,
    prepared_release_fixture,
    tick,
)
from nmdc_release_ops_tests.steps.held_command import HELD_UP_SECONDS, held_up, until, waiting
from nmdc_release_ops_tests.steps.held_worker import held
from nmdc_release_ops_tests.workplace import Workplace, workplace_around

pytestmark = pytest.mark.faults

CANCEL_SECONDS = 20
"""Within which a cancelled run has to be over."""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, schema_cache: Path) -> Iterator[Workplace]:
    folder = tmp_path_factory.mktemp("cancelled")
    server = PrivateMongod.start(
        folder / "origin", cache_gigabytes=CACHE_GIGABYTES, parameters={"enableTestCommands": "1"}
    )
    yield from workplace_around(DemoOrigin.fill(server, scale=500, log=lambda line: None), folder, schema_cache)


made = prepared_release_fixture(patience=10)


@pytest.fixture(scope="module")
def dagster(made: PreparedRelease, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterServer]:
    environment = {**made.workplace.environment(), "NMDC_TRANSFORMER_URI": os.environ["NMDC_TRANSFORMER_URI"]}
    with dagster_server(environment, str(tmp_path_factory.mktemp("dagster") / "log")) as server:
        yield server


def cancel_in(
    dagster: DagsterServer, release: PreparedRelease, steps: list[str], command: str, *, skip: int = 0
) -> str:
    """Execute steps of the release, cancel the run when `command` waits, and see it end; return its id."""
    with held_up(release.client, command, skip=skip):
        run = dagster.reexecute_steps(release.run_id, steps, CONFIG)
        until(lambda: waiting(release.client, command), f"{command} was not sent")
        began = time.monotonic()
        dagster.cancel(run)
        status, _ = dagster.wait(run, seconds=HELD_UP_SECONDS + 60)
        took = time.monotonic() - began
    assert status == "CANCELED"
    assert took < CANCEL_SECONDS, f"the run went on for {took:.0f} s"
    return run


def read_log(release: PreparedRelease, run: str) -> str:
    """Everything that the run's page shows."""
    return "\n".join(entry.message for entry in release.workplace.instance.all_logs(run))


def assert_no_process_left(release: PreparedRelease) -> None:
    """No worker, no mongod and no guard of the release runs any more; the transformer and the origin are not its own."""
    home = str(release.workplace.home)

    def left() -> list[str]:
        found = []
        for process in psutil.process_iter():
            try:
                if home in " ".join(process.cmdline()) or process.cwd().startswith(home):
                    found.append(" ".join(process.cmdline())[:200])
            except psutil.Error:
                continue
        return found

    until(lambda: not left(), f"still running: {left()}", seconds=15)


def assert_thawed(release: PreparedRelease) -> None:
    assert current_lease(release.client) is None
    assert is_write_blocked(release.client) is False


def assert_recovers(release: PreparedRelease, run: str) -> None:
    """What a cancelled run leaves is thawed within a tick, and the run can be re-executed from failure."""
    assert_no_process_left(release)
    tick(release.workplace.instance)
    release.assert_nothing_lost()
    release.assert_finishes(release.execute_from_failure(run))


def test_cancelled_in_the_freeze(dagster: DagsterServer, release: PreparedRelease) -> None:
    run = cancel_in(dagster, release, ["freeze", "dump"], "setUserWriteBlockMode")
    assert_recovers(release, run)


def test_cancelled_while_an_open_transaction_holds_up_the_freeze_it_is_not_frozen_later(
    dagster: DagsterServer, release: PreparedRelease
) -> None:
    """The server has been told to block writes, and would do so when the transaction ends, with nobody left to thaw."""
    with MongoClient[Any](release.workplace.origin.uri("nmdc_editor")) as editor, editor.start_session() as session:
        session.start_transaction()
        editor["nmdc"].jobs.insert_one({"id": "nmdc:in-a-transaction"}, session=session)
        run = dagster.reexecute_steps(release.run_id, ["freeze", "dump"], CONFIG)
        until(lambda: waiting(release.client, "setUserWriteBlockMode"), "the freeze did not wait")
        dagster.cancel(run)
        assert dagster.wait(run)[0] == "CANCELED"
        # Thawing waits behind the command that was left behind on the server.
        thawing = Thread(target=tick, args=[release.workplace.instance])
        thawing.start()
        time.sleep(1)
        session.abort_transaction()
        thawing.join()
    release.assert_nothing_lost()
    time.sleep(1)
    assert_recovers(release, run)


def test_cancelled_in_the_dump_the_run_thaws_it_at_once_and_says_so(
    dagster: DagsterServer, release: PreparedRelease
) -> None:
    run = cancel_in(dagster, release, ["dump"], "dbHash")
    assert_thawed(release)
    assert "The run was cancelled. The origin is thawed: writes are allowed again" in read_log(release, run)
    assert_recovers(release, run)


def test_killed_in_the_dump_it_is_thawed_by_the_daemon_itself(dagster: DagsterServer, release: PreparedRelease) -> None:
    with held_up(release.client, "dbHash"):
        run = dagster.reexecute_steps(release.run_id, ["dump"], CONFIG)
        until(lambda: waiting(release.client, "dbHash"), "dbHash was not sent")
        lease = current_lease(release.client)
        assert lease is not None and lease.run_id == run
        os.kill(lease.holder.pid, signal.SIGKILL)
        until(lambda: current_lease(release.client) is None, "no watchdog thawed", seconds=2 * WATCHDOG_SECONDS + 15)
    assert is_write_blocked(release.client) is False
    said = "frozen_origin_watchdog: The origin is thawed"
    until(lambda: said in read_log(release, run), "the run's log does not say so")
    assert_recovers(release, run)


@pytest.mark.parametrize("step", ["migrate", "validate"])
def test_cancelled_while_the_worker_works(dagster: DagsterServer, release: PreparedRelease, step: str) -> None:
    # From the dump on, so that the run holds the origin as a whole release does.
    steps = ["dump", "migrate"] if step == "migrate" else ["dump", "migrate", "validate"]
    run = dagster.reexecute_steps(release.run_id, steps, CONFIG)
    home = str(release.workplace.home)

    def of_this_home() -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.cwd().startswith(home):
                    yield process

    with held(step, of_this_home, release.transformer):
        began = time.monotonic()
        dagster.cancel(run)
        assert dagster.wait(run)[0] == "CANCELED"
    # The transformer is suspended while `migrate` is held: its clients give it up one after the other.
    given_up = 2 * SELECTION_SECONDS if step == "migrate" else 0
    assert time.monotonic() - began < CANCEL_SECONDS + given_up
    assert_thawed(release)
    assert_recovers(release, run)


def test_cancelled_in_the_staging(dagster: DagsterServer, release: PreparedRelease) -> None:
    run = cancel_in(dagster, release, ["restore", "unfreeze"], "createIndexes", skip=1)
    assert_thawed(release)
    assert_recovers(release, run)


def test_cancelled_in_the_swap_it_stays_frozen_and_re_execution_finishes(
    dagster: DagsterServer, release: PreparedRelease
) -> None:
    run = cancel_in(dagster, release, ["restore", "unfreeze"], "renameCollection", skip=2)
    lease = current_lease(release.client)
    assert lease is not None and is_swap_under_way(release.client, lease.release_id)
    assert tick(release.workplace.instance) is None
    assert is_write_blocked(release.client) is True
    assert_recovers(release, run)


def test_cancelled_in_the_thaw(dagster: DagsterServer, release: PreparedRelease) -> None:
    # The first such command is that of `restore`, which freezes.
    run = cancel_in(dagster, release, ["restore", "unfreeze"], "setUserWriteBlockMode", skip=1)
    assert_recovers(release, run)
