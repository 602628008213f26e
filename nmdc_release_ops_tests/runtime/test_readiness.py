"""Whether the Runtime is ready for a version is told by GitHub, and what GitHub does not tell was not checked."""

import pytest

from nmdc_release_ops.runtime.check import Check, Outcome
from nmdc_release_ops.runtime.readiness import check_readiness
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops.services.github import GitHub
from nmdc_release_ops.services.repository import Repository
from nmdc_release_ops.services.transport import Timeouts
from nmdc_release_ops_tests.services.github_server import (
    RUNTIME,
    TOKEN,
    LoopbackGitHub,
    LoopbackRepository,
)
from nmdc_release_ops_tests.services.loopback import Response

TESTS, IMAGES = "python-app.yml", "build-and-push-docker-images.yml"
LOCK = (
    '[[package]]\nname = "nmdc-runtime"\nversion = "2.10.0"\n\n[[package]]\nname = "nmdc-schema"\nversion = "11.25"\n'
)


@pytest.fixture
def runtime(github: LoopbackGitHub) -> LoopbackRepository:
    """The Runtime, ready for 11.25."""
    found = github.repository(RUNTIME)
    found.commit("Before")
    found.commit("Pin nmdc-schema 11.25")
    found.files["uv.lock"] = LOCK
    found.run(TESTS, found.main)
    found.run(IMAGES, found.main)
    return found


def checks(github: LoopbackGitHub, version: str = "11.25") -> dict[str, Check]:
    timeouts = Timeouts(retries=0, backoff=0.01, limits=1)
    found = check_readiness(
        Repository(GitHub(github.api, TOKEN, timeouts), RUNTIME),
        SchemaVersion.parse(version),
        pin_files=["uv.lock", "requirements/main.txt"],
        tests=TESTS,
        images=IMAGES,
    )
    return {check.what: check for check in found}


def outcomes(github: LoopbackGitHub, version: str = "11.25") -> list[Outcome]:
    return [check.outcome for check in checks(github, version).values()]


def test_a_runtime_that_pins_tests_and_builds_is_ready(github: LoopbackGitHub, runtime: LoopbackRepository) -> None:
    assert outcomes(github) == [Outcome.PASSED] * 3


@pytest.mark.parametrize(
    "pins",
    ["nmdc-schema==11.25.0\n", "a==1\nnmdc_schema==11.25 \\\n    --hash=sha256:00\n", "nmdc-schema==11.25; x > 1\n"],
)
def test_a_requirements_file_is_read_where_there_is_no_lock(
    github: LoopbackGitHub, runtime: LoopbackRepository, pins: str
) -> None:
    del runtime.files["uv.lock"]
    runtime.files["requirements/main.txt"] = pins
    assert outcomes(github) == [Outcome.PASSED] * 3


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        (LOCK.replace("11.25", "11.24.0"), Outcome.FAILED),
        (LOCK + '\n[[package]]\nname = "nmdc-schema"\nversion = "11.24.0"\n', Outcome.FAILED),
        (LOCK.replace("11.25", "soon"), Outcome.NOT_CHECKED),
        ("", Outcome.NOT_CHECKED),
    ],
)
def test_another_pin_fails_and_none_is_not_checked(
    github: LoopbackGitHub, runtime: LoopbackRepository, text: str, outcome: Outcome
) -> None:
    runtime.files["uv.lock"] = text
    assert outcomes(github) == [outcome, Outcome.PASSED, Outcome.PASSED]


def test_tests_and_images_of_an_earlier_commit_do_not_count(
    github: LoopbackGitHub, runtime: LoopbackRepository
) -> None:
    runtime.commit("Something else")
    assert outcomes(github) == [Outcome.PASSED, Outcome.FAILED, Outcome.FAILED]


@pytest.mark.parametrize(
    "run", [{"conclusion": "failure"}, {"status": "queued", "conclusion": None}, {"conclusion": "cancelled"}]
)
def test_the_newest_run_is_the_one_that_counts(
    github: LoopbackGitHub, runtime: LoopbackRepository, run: dict[str, str | None]
) -> None:
    runtime.run(TESTS, runtime.main, **run)
    assert outcomes(github) == [Outcome.PASSED, Outcome.FAILED, Outcome.PASSED]


def test_what_github_does_not_tell_was_not_checked(github: LoopbackGitHub, runtime: LoopbackRepository) -> None:
    runtime.workflows.pop(IMAGES)
    found = list(checks(github).values())
    assert [check.outcome for check in found] == [Outcome.PASSED, Outcome.PASSED, Outcome.NOT_CHECKED]
    assert "404" in found[2].says
    github.fail("GET", "/commits/", Response(500))
    found = list(checks(github).values())
    assert [check.outcome for check in found] == [Outcome.NOT_CHECKED] * 3
    assert "with 500" in found[0].says
