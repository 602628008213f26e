"""The Runtime is released once, from a tested commit, with the version that semver says; and deployed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.runtime import publication
from nmdc_release_ops_tests.services import rancher_server
from nmdc_release_ops_tests.services.github_server import (
    RUNTIME,
    TOKEN,
    LoopbackGitHub,
    LoopbackRepository,
)
from nmdc_release_ops_tests.services.loopback import Request, Response, breaks_off, sends_rubbish
from nmdc_release_ops_tests.services.rancher_server import LoopbackRancher, loopback_rancher
from nmdc_release_ops_tests.workplace import failure_of

TESTS = "python-app.yml"
BUILDS = ("build-and-push-docker-images.yml", "release-to-pypi.yml")
QUICK = {"poll_seconds": 0.02, "appear_seconds": 1.0}
CREATE = f"/repos/{RUNTIME}/releases$"


@pytest.fixture
def github(github: LoopbackGitHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LoopbackGitHub:
    monkeypatch.setenv("NMDC_GITHUB_API", github.api)
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    monkeypatch.setenv("NMDC_RELEASE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(publication, "_SECONDS_BETWEEN_LOOKS", 0.01)
    return github


@pytest.fixture
def runtime(github: LoopbackGitHub) -> LoopbackRepository:
    """The Runtime, released as 2.10.0, with two commits since, of which the last is tested."""
    found = github.repository(RUNTIME)
    found.publish("v2.9.1")
    found.commit("Pin nmdc-schema 11.25")
    found.publish("v2.10.0")
    found.publish("v3.0.0-rc.1", prerelease=True)
    found.commit("Answer faster")
    found.commit("Answer at all\n\nIt did not always.")
    found.run(TESTS, found.main)
    found.triggered = BUILDS
    found.workflows = {TESTS: "success", **dict.fromkeys(BUILDS, "success"), "deploy.yml": "success"}
    return found


@pytest.fixture
def rancher(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackRancher]:
    with loopback_rancher() as found:
        monkeypatch.setenv("NMDC_RANCHER_URL", found.url)
        monkeypatch.setenv("NMDC_RANCHER_CONTEXT", rancher_server.CONTEXT)
        monkeypatch.setenv("NMDC_RANCHER_NAMESPACE", rancher_server.NAMESPACE)
        monkeypatch.setenv("NMDC_RANCHER_TOKEN", rancher_server.TOKEN)
        yield found


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def runtime_release() -> dg.JobDefinition:
    return defs.get_job_def("runtime_release")


def config(plan: dict[str, Any], tests: dict[str, Any]) -> dict[str, Any]:
    watching = {step: {"config": QUICK} for step in ("follow_workflows", "deploy")}
    return {"ops": {"plan": {"config": plan}, "require_tests": {"config": {**QUICK, **tests}}, **watching}}


def launch(
    instance: dg.DagsterInstance, *, tests: dict[str, Any] | None = None, **plan: Any
) -> dg.ExecuteInProcessResult:
    return runtime_release().execute_in_process(
        run_config=config(plan, tests or {}), instance=instance, raise_on_error=False
    )


def reexecute(instance: dg.DagsterInstance, run_id: str) -> dg.JobExecutionResult:
    return dg.execute_job(
        dg.reconstructable(runtime_release),
        instance=instance,
        reexecution_options=dg.ReexecutionOptions.from_failure(run_id, instance),
        raise_on_error=False,
    )


def created(github: LoopbackGitHub) -> list[str]:
    """Tags of the releases that were asked for."""
    return [request.body["tag_name"] for request in github.asked("POST", CREATE)]


def tags(runtime: LoopbackRepository) -> list[str]:
    return [release["tag_name"] for release in runtime.releases]


def log(instance: dg.DagsterInstance, run_id: str) -> str:
    return "\n".join(str(entry.user_message) for entry in instance.all_logs(run_id))


def test_the_next_version_is_released_from_the_tested_commit_and_its_workflows_followed(
    instance: dg.DagsterInstance, github: LoopbackGitHub, runtime: LoopbackRepository
) -> None:
    result = launch(instance)
    assert result.success
    assert created(github) == ["v2.10.1"]
    (request,) = github.asked("POST", CREATE)
    assert request.body["target_commitish"] == runtime.main
    assert (request.body["name"], request.body["generate_release_notes"]) == ("v2.10.1", True)
    assert result.output_for_node("plan").commits == ["Answer faster", "Answer at all"]
    assert set(result.output_for_node("follow_workflows").runs) == set(BUILDS)
    message = log(instance, result.run_id)
    assert "in progress" in message and "Nothing is configured to be deployed" in message
    assert TOKEN not in message


@pytest.mark.parametrize(
    ("asked", "tag"),
    [
        ({"part": "minor"}, "v2.11.0"),
        ({"part": "major"}, "v3.0.0"),
        ({"version": "2.12.0"}, "v2.12.0"),
        ({"version": "v4.0.0-rc.1"}, "v4.0.0-rc.1"),
    ],
)
def test_the_version_is_what_was_asked_for(
    instance: dg.DagsterInstance, github: LoopbackGitHub, runtime: LoopbackRepository, asked: dict[str, str], tag: str
) -> None:
    assert launch(instance, **asked, title="A title").success
    assert created(github) == [tag]
    assert runtime.releases[0]["prerelease"] is ("rc" in tag)
    assert runtime.releases[0]["name"] == "A title"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"version": "2.10.0"}, "not greater than 2.10.0"),
        ({"version": "2.9.9"}, "not greater than 2.10.0"),
        ({"version": "2.10.0-rc.9"}, "not greater than 2.10.0"),
        ({"version": "next"}, "is not a version"),
    ],
)
def test_a_version_that_cannot_follow_is_refused(
    instance: dg.DagsterInstance, github: LoopbackGitHub, runtime: LoopbackRepository, asked: dict[str, str], says: str
) -> None:
    step, message = failure_of(launch(instance, **asked))
    assert step == "plan" and says in message.description
    assert created(github) == []


def test_where_nothing_is_new_there_is_no_release_unless_a_version_is_insisted_on(
    instance: dg.DagsterInstance, github: LoopbackGitHub, runtime: LoopbackRepository
) -> None:
    assert launch(instance).success
    step, message = failure_of(launch(instance))
    assert step == "plan" and "has no commit that v2.10.1 lacks" in message.description
    assert launch(instance, version="2.10.2").success
    assert created(github) == ["v2.10.1", "v2.10.2"]


def test_a_run_of_the_tests_under_way_is_waited_for(
    instance: dg.DagsterInstance, github: LoopbackGitHub, runtime: LoopbackRepository
) -> None:
    runtime.run(TESTS, runtime.main, status="queued", conclusion=None)
    result = launch(instance)
    assert result.success
    assert "python-app.yml: queued" in log(instance, result.run_id)


@pytest.mark.parametrize("conclusion", ["failure", "cancelled", "timed_out", "skipped"])
def test_a_commit_whose_tests_did_not_pass_is_not_released(
    instance: dg.DagsterInstance, github: LoopbackGitHub, runtime: LoopbackRepository, conclusion: str
) -> None:
    runtime.run(TESTS, runtime.main, conclusion=conclusion)
    step, message = failure_of(launch(instance))
    assert step == "require_tests" and conclusion in message.description
    assert created(github) == []


def test_tests_that_never_ran_are_started_only_where_that_is_wanted(
    instance: dg.DagsterInstance, github: LoopbackGitHub, runtime: LoopbackRepository
) -> None:
    runtime.runs.clear()
    step, message = failure_of(launch(instance))
    assert step == "require_tests" and "never ran on commit" in message.description
    assert github.asked("POST", "") == []
    assert launch(instance, tests={"start_tests": True}).success
    assert len(github.asked("POST", "dispatches")) == 1


def test_tests_that_were_started_on_a_branch_that_moved_on_do_not_count(
    instance: dg.DagsterInstance, github: LoopbackGitHub, runtime: LoopbackRepository
) -> None:
    runtime.runs.clear()
    tested = runtime.main
    result = launch(instance, tests={"start_tests": True}, commit=tested)
    step, message = failure_of(result)
    assert step == "require_tests" and "No ref found" in message.description
    assert created(github) == []


def test_a_dispatched_run_is_told_from_an_earlier_one(
    instance: dg.DagsterInstance, github: LoopbackGitHub, runtime: LoopbackRepository
) -> None:
    runtime.runs.clear()
    # The same workflow, ref, event and owner, a moment before, on the commit before; it fails.
    before = list(runtime.commits)[-2]
    runtime.run(TESTS, before, event="workflow_dispatch", conclusion="failure")
    runtime.run(TESTS, before, event="workflow_dispatch", conclusion="failure", actor={"login": "somebody-else"})
    runtime.hidden = 3
    assert launch(instance, tests={"start_tests": True}).success


def test_a_dispatched_run_that_never_appears_is_an_error_that_says_where_to_look(
    instance: dg.DagsterInstance, github: LoopbackGitHub, runtime: LoopbackRepository
) -> None:
    runtime.runs.clear()
    runtime.hidden = 10_000
    step, message = failure_of(launch(instance, tests={"start_tests": True, "appear_seconds": 0.2}))
    assert step == "require_tests" and "no run of it appeared" in message.description


@pytest.mark.parametrize("misbehave", [breaks_off, sends_rubbish])
def test_a_creation_whose_answer_was_lost_is_found_again_and_not_repeated(
    instance: dg.DagsterInstance, github: LoopbackGitHub, runtime: LoopbackRepository, misbehave: Any
) -> None:
    github.fail("POST", CREATE, misbehave)
    assert launch(instance).success
    assert created(github) == ["v2.10.1"]
    assert tags(runtime).count("v2.10.1") == 1


def test_a_run_interrupted_after_the_creation_finishes_without_creating_another(
    instance: dg.DagsterInstance, github: LoopbackGitHub, runtime: LoopbackRepository
) -> None:
    github.fail("POST", CREATE, breaks_off)
    failed = fail_after_creation(instance, github)
    assert tags(runtime).count("v2.10.1") == 1
    again = reexecute(instance, failed)
    assert again.success
    assert created(github) == ["v2.10.1"]
    assert "An earlier attempt released v2.10.1" in log(instance, again.run_id)


def fail_after_creation(instance: dg.DagsterInstance, github: LoopbackGitHub) -> str:
    """A run that made the release and failed before it knew: GitHub refuses to say for a while."""
    answer = github.answer

    def silent_after_creation(request: Request) -> Response:
        if request.method == "GET" and github.asked("POST", CREATE):
            return Response(403, {"message": "Resource not accessible"})
        return answer(request)

    github.answer = silent_after_creation  # type: ignore[method-assign]
    try:
        result = launch(instance)
    finally:
        github.answer = answer  # type: ignore[method-assign]
    step, message = failure_of(result)
    assert step == "publish" and "it never makes a second one" in message.description
    return result.run_id


def test_a_creation_that_did_not_happen_is_made_by_the_re_execution(
    instance: dg.DagsterInstance, github: LoopbackGitHub, runtime: LoopbackRepository
) -> None:
    github.fail("POST", CREATE, Response(502))
    failed = launch(instance)
    assert failure_of(failed)[0] == "publish"
    assert reexecute(instance, failed.run_id).success
    assert tags(runtime).count("v2.10.1") == 1


def test_a_tag_or_a_release_of_somebody_else_is_never_taken_over(
    instance: dg.DagsterInstance, github: LoopbackGitHub, runtime: LoopbackRepository
) -> None:
    runtime.tags["v2.10.1"] = runtime.main
    step, message = failure_of(launch(instance))
    assert step == "publish" and "already has a tag v2.10.1" in message.description
    del runtime.tags["v2.10.1"]

    github.fail("POST", CREATE, Response(502))
    failed = launch(instance)
    runtime.publish("v2.10.1")
    again = reexecute(instance, failed.run_id)
    assert not again.success
    (failure,) = [event for event in again.all_events if event.is_step_failure]
    assert "Somebody else has released" in str(failure.step_failure_data.user_failure_data)
    assert len(created(github)) == 1


def test_a_workflow_of_the_release_that_fails_stops_before_the_deployment_and_can_be_re_run(
    instance: dg.DagsterInstance, github: LoopbackGitHub, runtime: LoopbackRepository, rancher: LoopbackRancher
) -> None:
    runtime.workflows[BUILDS[1]] = "failure"
    failed = launch(instance)
    step, message = failure_of(failed)
    assert step == "follow_workflows" and "release-to-pypi.yml: failure" in message.description
    assert rancher.redeployed == []
    for run in runtime.runs:
        if run["name"] == BUILDS[1]:
            run["conclusion"] = "success"
    assert reexecute(instance, failed.run_id).success
    assert rancher.redeployed == list(rancher_server.DEPLOYMENTS)
    assert created(github) == ["v2.10.1"]


def test_runs_of_other_commits_and_branches_are_not_taken_for_those_of_the_release(
    instance: dg.DagsterInstance, github: LoopbackGitHub, runtime: LoopbackRepository
) -> None:
    runtime.triggered = ()
    for workflow in BUILDS:
        runtime.run(workflow, runtime.main, event="push", branch="main", conclusion="failure")
        runtime.run(workflow, next(iter(runtime.commits)), event="release", branch="v2.9.1")
    step, message = failure_of(launch(instance))
    assert (
        step == "follow_workflows"
        and "No run of build-and-push-docker-images.yml for v2.10.1 appeared" in message.description
    )


def test_a_dry_run_writes_nothing(
    instance: dg.DagsterInstance, github: LoopbackGitHub, runtime: LoopbackRepository, rancher: LoopbackRancher
) -> None:
    runtime.runs.clear()
    result = launch(instance, dry_run=True, tests={"start_tests": True})
    assert result.success
    assert {request.method for request in github.requests} == {"GET"}
    assert rancher.requests == []
    message = log(instance, result.run_id)
    for would in (
        "python-app.yml would be started",
        "v2.10.1 would be released",
        "would be followed",
        "would be deployed",
    ):
        assert would in message


def test_the_runtime_is_deployed_by_workflows_and_by_rancher(
    instance: dg.DagsterInstance,
    github: LoopbackGitHub,
    runtime: LoopbackRepository,
    rancher: LoopbackRancher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workflow = {"repository": RUNTIME, "workflow": "deploy.yml", "ref": "main", "inputs": {"to": "production"}}
    monkeypatch.setenv("NMDC_DEPLOY_WORKFLOWS", json.dumps([workflow]))
    assert launch(instance).success
    (dispatch,) = github.asked("POST", "/deploy.yml/dispatches")
    assert dispatch.body == {"ref": "main", "inputs": {"to": "production"}}
    assert rancher.redeployed == list(rancher_server.DEPLOYMENTS)


def test_every_target_is_tried_and_each_that_failed_is_named(
    instance: dg.DagsterInstance,
    github: LoopbackGitHub,
    runtime: LoopbackRepository,
    rancher: LoopbackRancher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runtime.workflows["deploy.yml"] = "failure"
    monkeypatch.setenv("NMDC_DEPLOY_WORKFLOWS", json.dumps([{"repository": RUNTIME, "workflow": "deploy.yml"}]))
    monkeypatch.setenv("NMDC_RANCHER_DEPLOYMENTS", "runtime-api,another,dagster-daemon")
    rancher.fail("POST", "runtime-api", breaks_off)
    failed = launch(instance)
    step, message = failure_of(failed)
    assert step == "deploy"
    assert "3 of 4 were not deployed" in message.description
    for named in (
        "deploy.yml of microbiomedata/nmdc-runtime on main: failure",
        "deployment another",
        "deployment runtime-api",
    ):
        assert named in message.description
    assert "The release is on GitHub" in message.description
    assert rancher.redeployed == ["runtime-api", "dagster-daemon"]
    assert rancher_server.TOKEN not in message.description + log(instance, failed.run_id)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("NMDC_RANCHER_TOKEN", "another", "NMDC_RANCHER_TOKEN is wrong, expired"),
        ("NMDC_RANCHER_TOKEN", "", "NMDC_RANCHER_TOKEN is not"),
        ("NMDC_RANCHER_NAMESPACE", "elsewhere", "no such deployment"),
        ("NMDC_RANCHER_CONTEXT", "nowhere", "NMDC_RANCHER_CONTEXT is not a context"),
        ("NMDC_RANCHER_URL", "http://rancher.example.org", "Use https:"),
        ("NMDC_RANCHER_DEPLOYMENTS", "runtime-api/../x", "cannot be a name in Kubernetes"),
        ("NMDC_DEPLOY_WORKFLOWS", "deploy.yml", "cannot be read"),
        ("NMDC_DEPLOY_WORKFLOWS", '[{"repository": "a/b"}]', "0.workflow: Field required"),
    ],
)
def test_a_setting_of_the_deployment_that_is_wrong_is_named(
    instance: dg.DagsterInstance,
    github: LoopbackGitHub,
    runtime: LoopbackRepository,
    rancher: LoopbackRancher,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    says: str,
) -> None:
    monkeypatch.setenv(variable, value)
    step, message = failure_of(launch(instance))
    assert step == "deploy" and says in message.description
