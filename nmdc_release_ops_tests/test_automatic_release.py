"""A schema release that is published on GitHub reaches the database by itself, once, whatever happens to the daemon."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops_tests.dagster_server import dagster_daemon, turn_on
from nmdc_release_ops_tests.services.github_server import SCHEMA, TOKEN, LoopbackGitHub
from nmdc_release_ops_tests.workplace import Workplace, workplace_fixture

pytestmark = pytest.mark.faults

PATIENCE_SECONDS = 400
Environment = dict[str, str]


workplace = workplace_fixture(scope="function")


@pytest.fixture
def github(github: LoopbackGitHub) -> LoopbackGitHub:
    github.repository(SCHEMA).publish("v11.23.0")
    return github


@pytest.fixture
def environment(workplace: Workplace, github: LoopbackGitHub) -> Environment:
    return {
        **workplace.environment(),
        "NMDC_GITHUB_API": github.api,
        "GITHUB_TOKEN": TOKEN,
        "NMDC_SCHEMA_POLL_SECONDS": "1",
        "NMDC_ON_NEW_RELEASE": "release",
    }


def wait_until(is_so: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := is_so()):
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)
    return found


def ticks(github: LoopbackGitHub, more: int) -> None:
    """Wait for so many more ticks."""
    before = len(github.requests)
    wait_until(lambda: len(github.requests) >= before + more, "another tick")


def releases(workplace: Workplace) -> list[dg.DagsterRun]:
    return list(workplace.instance.get_runs(dg.RunsFilter(job_name="data_release")))


def kill(daemon: subprocess.Popen[bytes]) -> None:
    daemon.kill()
    daemon.wait()


def test_a_published_release_is_released_once_although_the_daemon_is_killed_twice(
    workplace: Workplace, github: LoopbackGitHub, environment: Environment, tmp_path: Path
) -> None:
    log = str(tmp_path / "daemon.log")
    turn_on("schema_release_sensor", environment)
    with dagster_daemon(environment, log) as daemon:
        ticks(github, 1)
        assert releases(workplace) == []
        github.repository(SCHEMA).publish("v11.25")
        wait_until(lambda: releases(workplace), "a run")
        kill(daemon)
        with dagster_daemon(environment, log) as second:
            wait_until(lambda: list(workplace.home.glob("origins/*/releases/*/archive/manifest.json")), "a dump")
            kill(second)
            with dagster_daemon(environment, log):
                (run,) = wait_until(lambda: [one for one in releases(workplace) if one.is_finished], "the run's end")
                assert run.status is dg.DagsterRunStatus.SUCCESS
                ticks(github, 3)
    assert len(releases(workplace)) == 1
    with MongoClient[Any](workplace.origin.uri("nmdc_reader")) as reader:
        assert reader[DATABASE]["_migration_latest_schema_version"].find_one() == {"schema_version": "11.25.0"}
        events = [
            event["event"] for event in reader[DATABASE]["_migration_events"].find({"to_schema_version": "11.25.0"})
        ]
    assert events == ["MIGRATION_STARTED", "MIGRATION_COMPLETED"]
    # A list that did not change costs nothing of the token's quota, however often the daemon asked.
    assert github.remaining >= 5_000 - 2
