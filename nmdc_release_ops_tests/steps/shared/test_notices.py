"""The people concerned are told how a release goes, and no chat can keep it from going on."""

from collections.abc import Iterator

import dagster as dg
import pytest

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.runtime.check import Outcome
from nmdc_release_ops.sensors.failure_notice import failure_notice
from nmdc_release_ops.services.webhook import post_text
from nmdc_release_ops_tests.services.github_server import RUNTIME, TOKEN, LoopbackGitHub
from nmdc_release_ops_tests.services.loopback import (
    Misbehaviour,
    Response,
    breaks_off,
    never_ends,
    says_nothing,
    trickles,
)
from nmdc_release_ops_tests.services.webhook_server import SECRET, LoopbackWebhook, loopback_webhook
from nmdc_release_ops_tests.workplace import Workplace, failure_of, workplace_fixture

workplace = workplace_fixture(scope="function", warm=True)


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackWebhook]:
    with loopback_webhook() as found:
        monkeypatch.setenv("NMDC_NOTICE_WEBHOOK", found.address)
        yield found


@pytest.fixture
def github(github: LoopbackGitHub, monkeypatch: pytest.MonkeyPatch) -> LoopbackGitHub:
    """With a Runtime that pins another version, and was neither tested nor built."""
    runtime = github.repository(RUNTIME)
    runtime.commit("A change")
    runtime.files["uv.lock"] = 'name = "nmdc-schema"\nversion = "11.24.0"\n'
    runtime.workflows = {"python-app.yml": "success"}
    monkeypatch.setenv("NMDC_GITHUB_API", github.api)
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    monkeypatch.setenv("NMDC_RUNTIME_REPOSITORY", RUNTIME)
    return github


def notice_of_failure(workplace: Workplace, result: dg.ExecuteInProcessResult) -> None:
    """What Dagster's daemon does when a run has failed."""
    with dg.build_run_status_sensor_context(
        "failure_notice",
        dagster_event=next(event for event in result.all_events if event.is_run_failure),
        dagster_instance=workplace.instance,
        dagster_run=result.dagster_run,
        resources={"notices": (defs.resources or {})["notices"]},
    ) as context:
        failure_notice(context.for_run_failure())


def test_a_release_tells_how_it_goes_and_what_keeps_it_from_going(
    workplace: Workplace, webhook: LoopbackWebhook, github: LoopbackGitHub
) -> None:
    refused = workplace.release(target_version="11.25", require_runtime_ready=True)
    step, message = failure_of(refused)
    assert step == "plan"
    assert "pins the schema version: failed (uv.lock at" in message.description
    assert "its tests passed: failed (python-app.yml never ran" in message.description
    assert "its image was built: not checked" in message.description
    assert "The origin was not touched" in message.description
    assert webhook.texts == []
    notice_of_failure(workplace, refused)
    (failed,) = webhook.texts
    assert "data_release failed" in failed and "without require_runtime_ready" in failed and "not touched" in failed

    webhook.texts.clear()
    webhook.fail("POST", "", Response(500))
    released = workplace.release(target_version="11.25")
    assert released.success
    plan = released.output_for_node("plan")
    assert [check.outcome for check in plan.runtime] == [Outcome.FAILED, Outcome.FAILED, Outcome.NOT_CHECKED]
    assert len([warning for warning in plan.warnings if warning.startswith("The Runtime is not ready")]) == 2
    assert len(webhook.requests) == 4
    # That of the plan was refused by the chat.
    frozen, thawed = webhook.texts
    assert "is frozen for release" in frozen and "users can read it" in frozen
    assert "can be written to again" in thawed and "succeeded" in thawed
    log = "\n".join(str(entry.user_message) for entry in workplace.instance.all_logs(released.run_id))
    assert "A notice was not sent" in log and "The release continues." in log
    assert SECRET not in log


@pytest.mark.parametrize(
    "misbehave", [breaks_off, says_nothing, trickles, never_ends, Response(404, b"no_service"), Response(302)]
)
def test_a_chat_that_misbehaves_is_given_up_and_its_address_never_said(
    webhook: LoopbackWebhook, misbehave: Misbehaviour | Response
) -> None:
    webhook.fail("POST", "", misbehave)
    problem = post_text(webhook.address, "A text")
    assert problem and SECRET not in problem


@pytest.mark.parametrize(
    "address", ["", "nonsense", "https://[", "ftp://127.0.0.1/x", "http://127.0.0.1:9/x", "http://chat.example.org/x"]
)
def test_an_address_that_leads_nowhere_is_no_error(address: str) -> None:
    assert post_text(address, "A text")


def test_marks_of_the_chat_are_sent_as_plain_text_and_a_long_text_is_cut(webhook: LoopbackWebhook) -> None:
    assert post_text(webhook.address, "<!channel> & " + "x" * 10_000) is None
    (text,) = webhook.texts
    assert text.startswith("&lt;!channel&gt; &amp; ")
    assert len(text) < 4_000
