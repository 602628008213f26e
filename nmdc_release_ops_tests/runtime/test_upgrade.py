"""The Runtime is waited for until it says its version itself, whatever answers in its place meanwhile."""

import time
from collections.abc import Iterator

import pytest

from nmdc_release_ops.runtime.upgrade import IN_A_ROW, Running, Waiting, wait_for_version
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops.services.errors import RuntimeNewer, RuntimeNotUpgraded, ServiceAddressInvalid
from nmdc_release_ops.services.running_runtime import RunningRuntime
from nmdc_release_ops.services.transport import Timeouts
from nmdc_release_ops_tests.services.loopback import (
    Misbehaviour,
    Response,
    breaks_off,
    never_ends,
    says_nothing,
    sends,
    sends_rubbish,
    truncates,
)
from nmdc_release_ops_tests.services.runtime_server import LoopbackRuntime, loopback_runtime

OLD, NEW = "11.23.0", "11.25.0"
QUICK = Timeouts(connect=1, read=0.2, answer=0.3, retries=0, whole=0.3)


@pytest.fixture
def runtime() -> Iterator[LoopbackRuntime]:
    with loopback_runtime(NEW) as found:
        yield found


def wait(
    address: str,
    wanted: str | None = NEW,
    *,
    end: float = 0.3,
    lines: list[str] | None = None,
    calls: list[int] | None = None,
) -> Running:
    return wait_for_version(
        RunningRuntime(address, QUICK),
        SchemaVersion.parse(wanted) if wanted else None,
        Waiting(poll=0.01, end=end),
        (lines if lines is not None else []).append,
        lambda: (calls if calls is not None else []).append(1),
    )


def test_it_is_asked_until_it_has_said_its_version_several_times_in_a_row(runtime: LoopbackRuntime) -> None:
    lines: list[str] = []
    calls: list[int] = []
    # Old and new processes answer in turn.
    runtime.versions = [OLD, NEW, OLD, NEW]
    running = wait(runtime.url, end=30, lines=lines, calls=calls)
    assert running == Running(f"runs on schema {NEW}", 3 + IN_A_ROW)
    assert len(runtime.requests) == len(calls) == 3 + IN_A_ROW
    assert lines == [f"The Runtime runs on schema {version}." for version in (OLD, NEW, OLD, NEW)]


@pytest.mark.parametrize("said", ["11.25", "v11.25", "11.25.0"])
def test_its_version_may_be_spelled_otherwise(runtime: LoopbackRuntime, said: str) -> None:
    runtime.versions = [said]
    assert not wait(runtime.url).doubt


def test_a_pre_release_is_known_as_packages_spell_it(runtime: LoopbackRuntime) -> None:
    runtime.versions = ["11.26.0rc1"]
    assert not wait(runtime.url, "11.26.0-rc.1").doubt


@pytest.mark.parametrize(
    ("misbehave", "says"),
    [
        (breaks_off, "does not answer: the connection failed or was closed"),
        (says_nothing, "does not answer: "),
        (truncates, "does not answer: "),
        (never_ends, "gives an answer that cannot be used: it is longer than 10,000,000 bytes|does not answer: "),
        (sends(b"not HTTP at all"), "does not answer: "),
        (sends_rubbish, "answers with something that is not JSON"),
        (Response(200, []), "does not name the version of nmdc-schema"),
        (Response(200, {"nmdc-schema": 11.25}), "does not name the version of nmdc-schema"),
        (Response(200, {"nmdc-schema": "1" * 10_000}), "does not name the version of nmdc-schema"),
        (
            Response(200, {"nmdc-schema": "latest\x1b[31m"}),
            r"runs on schema latest \[31m, which is not the version of a release",
        ),
        (Response(502), "answers 502"),
        (Response(404, {"detail": "Not Found"}), "answers 404"),
        (
            Response(301, None, {"Location": "https://elsewhere.example/?token=x"}),
            "redirects .301. to https://elsewhere.example/,",
        ),
        (Response(200, {"nmdc-schema": OLD}), f"runs on schema {OLD}"),
    ],
)
def test_what_is_not_the_new_runtime_is_waited_through_and_named_at_the_end(
    runtime: LoopbackRuntime, misbehave: Misbehaviour | Response, says: str
) -> None:
    runtime.fail("GET", "/version", misbehave, times=10**6)
    started = time.monotonic()
    with pytest.raises(RuntimeNotUpgraded, match=says) as raised:
        wait(runtime.url)
    assert time.monotonic() - started < 5
    assert f"that it runs on schema {NEW}" in str(raised.value) and "NMDC_RUNTIME_URL" in str(raised.value)
    runtime.faults.clear()
    runtime.fail("GET", "/version", misbehave)
    assert wait(runtime.url, end=30).requests >= 1 + IN_A_ROW


def test_a_runtime_that_is_newer_than_the_database_is_not_waited_for(runtime: LoopbackRuntime) -> None:
    runtime.versions = ["11.26.0"]
    with pytest.raises(
        RuntimeNewer, match=r"runs on schema 11\.26\.0, and the database conforms to 11\.25\.0\. Deploy"
    ):
        wait(runtime.url, end=600)
    assert len(runtime.requests) == 1


def test_of_a_candidate_any_answer_will_do_and_is_doubted(runtime: LoopbackRuntime) -> None:
    runtime.versions = ["0.0.0.post120.dev0+3aa81b1"]
    running = wait(runtime.url, None)
    assert running.says.startswith("runs on schema 0.0.0.post120.dev0+3aa81b1")
    assert "release candidate" in running.doubt


@pytest.mark.parametrize("address", ["ftp://runtime", "runtime:8000", "http://user:word@runtime", "http://[", ""])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ServiceAddressInvalid, match="NMDC_RUNTIME_URL"):
        RunningRuntime(address)
