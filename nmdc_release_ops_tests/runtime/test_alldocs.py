"""The Runtime's own job rebuilds alldocs, in a real Dagster: launched once, followed to its end, and named if that fails."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from nmdc_release_ops.runtime import alldocs
from nmdc_release_ops.runtime.alldocs import JOB, RELEASE_TAG, rebuild_alldocs
from nmdc_release_ops.runtime.upgrade import Waiting
from nmdc_release_ops.services.errors import (
    AlldocsNotRebuilt,
    DagsterAnswerUnreadable,
    DagsterRefused,
    DagsterUnreachable,
    ServiceAddressInvalid,
    ServiceError,
)
from nmdc_release_ops.services.remote_dagster import RemoteDagster, RemoteRun
from nmdc_release_ops.services.transport import Timeouts
from nmdc_release_ops_tests.dagster_server import DagsterServer, dagster_server
from nmdc_release_ops_tests.services.loopback import (
    Handler,
    LoopbackServer,
    Misbehaviour,
    Refused,
    Request,
    Response,
    breaks_off,
    never_ends,
    says_nothing,
    sends_rubbish,
    truncates,
)

QUICK = Timeouts(connect=2, read=1, answer=1, retries=0, whole=2)
RELEASE = "20260101T000000Z-11.25.0-a1b2c3d4"


class Relay(LoopbackServer):
    """Passes questions on to a Dagster, and can be told to misbehave."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def answer(self, request: Request) -> Response:
        answer = requests.post(f"{self._url}{request.path}", json=request.body, timeout=60)
        return Response(answer.status_code, answer.content, {"Content-Type": "application/json"})


class Replacing(Relay):
    """A relay whose proxy does not know the Dagster when it is asked a question for the first time."""

    def answer(self, request: Request) -> Response:
        if [one.body["query"] for one in self.requests].count(request.body["query"]) == 1:
            raise Refused(Response(404))
        return super().answer(request)


class Answering(LoopbackServer):
    """Has one answer to every question."""

    def __init__(self, content: Any) -> None:
        super().__init__()
        self._content = content

    def answer(self, request: Request) -> Response:  # noqa: ARG002
        return Response(200, self._content)


def breaks_off_launches(handler: Handler, response: Response) -> None:
    """The run is launched, and nobody is told."""
    if b"LaunchRunSuccess" in response.encoded():
        handler.break_off()
    else:
        handler.send(response)


class RuntimesDagster:
    """A real Dagster with the Runtime's job."""

    def __init__(self, server: DagsterServer, does: Path) -> None:
        self.server = server
        self._does = does
        self.remote = RemoteDagster(server.url)

    def does(self, *what: str) -> None:
        """What the next runs do."""
        self._does.write_text("\n".join(what))

    def rebuild(self, lines: list[str] | None = None, *, minutes: float = 2) -> str:
        waiting = Waiting(poll=0.2, end=60 * minutes)
        return rebuild_alldocs(self.remote, RELEASE, waiting, (lines if lines is not None else []).append)

    def runs(self) -> list[RemoteRun]:
        return self.remote.find_tagged({RELEASE_TAG: RELEASE})


@pytest.fixture(scope="module")
def dagster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RuntimesDagster]:
    folder = tmp_path_factory.mktemp("runtimes-dagster")
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    does = folder / "does"
    does.touch()
    environment = {"DAGSTER_HOME": str(folder), "ALLDOCS_DOES": str(does), "MONGO_DBNAME": "nmdc"}
    target = ["-f", str(Path(__file__).with_name("runtimes_dagster.py")), "-a", "repo"]
    with dagster_server(environment, str(folder / "log"), target) as server:
        yield RuntimesDagster(server, does)


@pytest.mark.faults
def test_the_job_is_launched_with_its_own_config_and_followed_to_its_end(dagster: RuntimesDagster) -> None:
    lines: list[str] = []
    page = dagster.rebuild(lines)
    (run,) = dagster.runs()
    assert run.succeeded and page == f"{dagster.server.url}/runs/{run.id}"
    assert lines[0] == f"{JOB}: {page}" and lines[-1] == f"{JOB}: SUCCESS"


@pytest.mark.faults
def test_a_run_that_fails_is_named_with_its_page_and_the_next_attempt_launches_another(
    dagster: RuntimesDagster,
) -> None:
    dagster.does("fail")
    with pytest.raises(
        AlldocsNotRebuilt, match=r"ended with FAILURE: http://127\.0\.0\.1:\d+/runs/[0-9a-f-]+\. Its page says why"
    ):
        dagster.rebuild()
    before = len(dagster.runs())
    dagster.rebuild()
    assert len(dagster.runs()) == before + 1


@pytest.mark.faults
def test_a_run_that_does_not_end_in_time_is_followed_by_the_next_attempt_and_a_cancelled_one_is_named(
    dagster: RuntimesDagster,
) -> None:
    dagster.does("hang")
    with pytest.raises(
        AlldocsNotRebuilt, match=r"did not end in time; it is [A-Z]+: .*Re-execute the run from `follow_up`"
    ):
        dagster.rebuild(minutes=0.05)
    before = len(dagster.runs())
    (unfinished,) = dagster.remote.find_unfinished(JOB)
    while dagster.remote.read_run(unfinished).status != "STARTED":
        time.sleep(0.2)
    cancelling = threading.Timer(1, dagster.server.cancel, [unfinished.id])
    cancelling.start()
    with pytest.raises(AlldocsNotRebuilt, match="ended with CANCELED"):
        dagster.rebuild()
    cancelling.join()
    assert len(dagster.runs()) == before


@pytest.mark.faults
def test_a_run_of_the_runtimes_own_schedule_is_waited_for_because_two_would_spoil_each_other(
    dagster: RuntimesDagster,
) -> None:
    dagster.does("slow", "succeed")
    hourly = dagster.remote.launch(dagster.remote.find_job(JOB), {})
    lines: list[str] = []
    dagster.rebuild(lines)
    assert f"another run of it is {hourly.status}, and is waited for" in lines[0] and hourly.id in lines[0]
    assert dagster.remote.read_run(hourly).succeeded


@pytest.mark.faults
def test_a_launch_whose_answer_was_lost_is_found_and_not_repeated(dagster: RuntimesDagster) -> None:
    before = len(dagster.runs())
    with Relay(dagster.server.url).running() as relay:
        relay.fail("POST", "/graphql", breaks_off_launches, times=1_000)
        remote = RemoteDagster(relay.url)
        lines: list[str] = []
        rebuild_alldocs(remote, RELEASE, Waiting(poll=0.2, end=60), lines.append)
    assert "It is unknown whether ensure_alldocs was launched" in lines[0]
    assert len(dagster.runs()) == before + 1


@pytest.mark.faults
def test_a_webserver_that_is_replaced_at_any_time_is_waited_for_and_the_job_launched_once(
    dagster: RuntimesDagster,
) -> None:
    before = len(dagster.runs())
    with Replacing(dagster.server.url).running() as relay:
        lines: list[str] = []
        rebuild_alldocs(RemoteDagster(relay.url), RELEASE, Waiting(poll=0.2, end=60), lines.append)
    refused = [line for line in lines if "with 404" in line]
    assert [line.partition(" answered the question for ")[2].partition(" with")[0][:18] for line in refused] == [
        "the list of its jo",
        "the list of its ru",
        "the launch of ensu",
        f"run {dagster.runs()[0].id}"[:18],
    ]
    assert len(dagster.runs()) == before + 1


@pytest.mark.faults
def test_a_dagster_that_refuses_again_and_again_ends_it(dagster: RuntimesDagster) -> None:
    with Relay(dagster.server.url).running() as relay:
        asked: list[None] = []

        def refuses_from_the_second_request_on() -> None:
            asked.append(None)
            if len(asked) == 2:
                relay.fail("POST", "/graphql", Response(403), times=1_000)

        with pytest.raises(DagsterRefused, match="403"):
            rebuild_alldocs(
                RemoteDagster(relay.url),
                RELEASE,
                Waiting(poll=0.01, end=60),
                lambda line: None,
                refuses_from_the_second_request_on,
            )
    assert len(asked) == 6


@pytest.mark.faults
def test_a_job_that_is_not_there_and_a_run_that_is_not_are_refused(dagster: RuntimesDagster) -> None:
    with pytest.raises(DagsterRefused, match=r"no job missing \(repositories that are loaded: repo\)"):
        dagster.remote.find_job("missing")
    job = dagster.remote.find_job(JOB)
    with pytest.raises(DagsterRefused, match="PipelineNotFoundError"):
        dagster.remote.launch(job.model_copy(update={"name": "missing"}), {})
    with pytest.raises(DagsterRefused, match="RunNotFoundError"):
        dagster.remote.read_run(RemoteRun(runId="no-such-run", status="STARTED"))


def test_a_dagster_of_several_such_jobs_is_not_guessed_about() -> None:
    repositories = [
        {"name": name, "location": {"name": "site"}, "pipelines": [{"name": JOB}]} for name in ("one", "two")
    ]
    with (
        Answering(
            {"data": {"repositoriesOrError": {"__typename": "RepositoryConnection", "nodes": repositories}}}
        ).running() as service,
        pytest.raises(DagsterRefused, match="several jobs ensure_alldocs: in one of site, two of site"),
    ):
        RemoteDagster(service.url, QUICK).find_job(JOB)


@pytest.mark.parametrize(
    ("misbehave", "kind", "says"),
    [
        (breaks_off, DagsterUnreachable, "did not answer"),
        (says_nothing, DagsterUnreachable, "did not answer"),
        (truncates, DagsterUnreachable, "did not answer"),
        (never_ends, ServiceError, "NMDC_RUNTIME_DAGSTER_URL"),
        (Response(503), DagsterUnreachable, "503"),
        (Response(302, None, {"Location": "https://login.example"}), DagsterRefused, "302.*asks for no login"),
        (Response(401), DagsterRefused, "401"),
        (Response(404), DagsterRefused, "404"),
        (sends_rubbish, DagsterAnswerUnreadable, "not Dagster's JSON"),
        (Response(200, []), DagsterAnswerUnreadable, "not Dagster's JSON"),
        (Response(400, {"errors": [{"message": "Cannot query field"}]}), DagsterAnswerUnreadable, "Cannot query field"),
        (Response(200, {"data": None}), DagsterAnswerUnreadable, "address of a Dagster webserver"),
        (
            Response(200, {"data": {"repositoriesOrError": {"__typename": "PythonError", "message": "it broke"}}}),
            DagsterRefused,
            "it broke",
        ),
        (
            Response(200, {"data": {"repositoriesOrError": {"__typename": "RepositoryConnection"}}}),
            DagsterAnswerUnreadable,
            "nodes",
        ),
    ],
)
def test_whatever_else_answers_ends_in_an_error_that_says_so(
    misbehave: Misbehaviour | Response, kind: type[ServiceError], says: str
) -> None:
    with Answering({}).running() as service:
        service.fail("POST", "/graphql", misbehave, times=100)
        with pytest.raises(kind, match=f"(?s){says}"):
            rebuild_alldocs(RemoteDagster(service.url, QUICK), RELEASE, Waiting(poll=0.01, end=0.1), lambda line: None)


@pytest.mark.faults
def test_a_dagster_that_is_still_starting_is_asked_again(dagster: RuntimesDagster) -> None:
    with Relay(dagster.server.url).running() as relay:
        relay.fail("POST", "/graphql", Response(503), times=2)
        lines: list[str] = []
        rebuild_alldocs(RemoteDagster(relay.url, Timeouts(retries=0)), RELEASE, Waiting(poll=0.1, end=60), lines.append)
    assert "It may just be starting" in lines[0]
    assert alldocs.SETTLING_SECONDS > 60


@pytest.mark.parametrize("address", ["dagster:3000", "http://user@dagster", "http://dagster/?x=1"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ServiceAddressInvalid, match="NMDC_RUNTIME_DAGSTER_URL"):
        RemoteDagster(address)
