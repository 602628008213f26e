"""The Runtime is released from the UI, and a release that was interrupted is finished, not made twice."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nmdc_release_ops_tests.dagster_server import DagsterServer, dagster_server
from nmdc_release_ops_tests.services.github_server import (
    RUNTIME,
    TOKEN,
    LoopbackGitHub,
    LoopbackRepository,
)
from nmdc_release_ops_tests.workplace import PROJECT

pytestmark = pytest.mark.faults

BUILDS = ("build-and-push-docker-images.yml", "release-to-pypi.yml")
POLL = {"config": {"poll_seconds": 0.2}}
CONFIG = {"ops": {"plan": {"config": {"part": "minor"}}, "follow_workflows": POLL}}
CREATE = f"/repos/{RUNTIME}/releases$"


@pytest.fixture
def runtime(github: LoopbackGitHub) -> LoopbackRepository:
    """The Runtime, released as 2.10.0, whose newest commit is tested, and whose builds take their time."""
    found = github.repository(RUNTIME)
    found.publish("v2.10.0")
    found.commit("A change")
    found.run("python-app.yml", found.main)
    found.triggered = BUILDS
    found.workflows |= dict.fromkeys(BUILDS, "success")
    found.looks = 10**6
    return found


@pytest.fixture
def dagster(github: LoopbackGitHub, runtime: LoopbackRepository, tmp_path: Path) -> Iterator[DagsterServer]:
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").symlink_to(PROJECT / "dagster.yaml")
    environment = {
        "DAGSTER_HOME": str(home),
        "NMDC_RELEASE_HOME": str(tmp_path / "home"),
        "NMDC_GITHUB_API": github.api,
        "GITHUB_TOKEN": TOKEN,
    }
    with dagster_server(environment, str(tmp_path / "dagster.log")) as server:
        yield server


def test_a_release_of_the_runtime_that_was_cancelled_after_the_creation_is_finished_without_another(
    dagster: DagsterServer, github: LoopbackGitHub, runtime: LoopbackRepository
) -> None:
    run = dagster.launch(CONFIG, job="runtime_release")
    deadline = time.monotonic() + 180
    while not github.asked("GET", r"/actions/runs/\d+$"):
        assert time.monotonic() < deadline, "the builds were never followed"
        time.sleep(0.1)
    dagster.cancel(run)
    status, steps = dagster.wait(run)
    assert status == "CANCELED" and steps["publish"] == "SUCCESS"

    runtime.looks = 1
    rest = ["publish", "follow_workflows", "deploy"]
    status, steps = dagster.wait(dagster.reexecute_steps(run, rest, {}, job="runtime_release"))
    assert status == "SUCCESS" and set(steps) == set(rest)
    assert len(github.asked("POST", CREATE)) == 1
    assert [release["tag_name"] for release in runtime.releases] == ["v2.11.0", "v2.10.0"]
