"""Another Dagster, by the GraphQL of its webserver: finding a job, launching it, and looking at its runs.

Not Dagster's own client (`DagsterGraphQLClient`): that one waits for an answer of any length, follows redirects, and cannot look
for the runs of a job.
"""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from nmdc_release_ops.services.error_messages import describe_mismatch, printable
from nmdc_release_ops.services.errors import DagsterAnswerUnreadable, DagsterRefused, DagsterUnreachable
from nmdc_release_ops.services.github import check_address
from nmdc_release_ops.services.transport import AnswerUnusable, NoAnswer, Timeouts, Transport

_TIMEOUTS = Timeouts(connect=5, read=30, answer=60, retries=2, whole=120)
_MOST_RUNS = 20
_ENDED = frozenset({"SUCCESS", "FAILURE", "CANCELED"})
_UNFINISHED = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")

_JOBS = """
query Jobs {
  repositoriesOrError {
    __typename
    ... on RepositoryConnection { nodes { name location { name } pipelines { name } } }
    ... on PythonError { message }
  }
}"""
_LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId status } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on Error { message }
  }
}"""
_RUN = """
query Run($run: ID!) {
  runOrError(runId: $run) { __typename ... on Run { runId status } ... on Error { message } }
}"""
_RUNS = """
query Runs($filter: RunsFilter!, $limit: Int!) {
  runsOrError(filter: $filter, limit: $limit) {
    __typename
    ... on Runs { results { runId status } }
    ... on Error { message }
  }
}"""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class RemoteRun(_Part):
    """A run of the other Dagster.

    Attributes:
        status: Dagster's word, "STARTED".
    """

    id: str = Field(validation_alias="runId", pattern=r"^[0-9A-Za-z-]{1,64}$")
    status: Annotated[str, Field(pattern=r"^[A-Z_]{1,40}$")]

    @property
    def has_ended(self) -> bool:
        return self.status in _ENDED

    @property
    def succeeded(self) -> bool:
        return self.status == "SUCCESS"


class RemoteJob(_Part):
    """Where a job is."""

    name: str
    repository: str
    location: str


class _Named(_Part):
    name: str


class _Repository(_Part):
    name: str
    location: _Named
    pipelines: list[_Named]


class _Repositories(_Part):
    nodes: list[_Repository]


class _Launched(_Part):
    run: RemoteRun


class _Runs(_Part):
    results: list[RemoteRun]


Shape = TypeVar("Shape")


class RemoteDagster:
    """A Dagster, which is asked without a token.

    Args:
        address: of its webserver, with its path prefix if it has one; "http://dagster-webserver.nmdc.svc:3000".

    Raises:
        ServiceAddressInvalid.
    """

    def __init__(self, address: str, timeouts: Timeouts | None = None) -> None:
        self.address = check_address(address, "NMDC_RUNTIME_DAGSTER_URL", carries_token=False)
        self._timeouts = timeouts or _TIMEOUTS
        self._transport = Transport(None, self._timeouts)

    def page_of(self, run: RemoteRun) -> str:
        """The address of a run's page."""
        return f"{self.address}/runs/{run.id}"

    def find_job(self, name: str) -> RemoteJob:
        """The one job of this name, in whatever repository.

        Raises:
            DagsterUnreachable, DagsterRefused, DagsterAnswerUnreadable: as every method here does.
        """
        found = self._ask(
            "the list of its jobs", _JOBS, {}, "repositoriesOrError", "RepositoryConnection", _Repositories
        )
        jobs = [
            RemoteJob(name=name, repository=one.name, location=one.location.name)
            for one in found.nodes
            if any(job.name == name for job in one.pipelines)
        ]
        if len(jobs) == 1:
            return jobs[0]
        if jobs:
            places = ", ".join(f"{printable(one.repository)} of {printable(one.location)}" for one in jobs)
            raise DagsterRefused(
                f"The Runtime's Dagster has several jobs {name}: in {places}. It cannot be told which is meant."
            )
        known = ", ".join(printable(one.name) for one in found.nodes) or "none"
        raise DagsterRefused(
            f"The Runtime's Dagster has no job {name} (repositories that are loaded: {known}). Check on its page *Deployment* "
            "that the Runtime's code location is loaded, and that NMDC_RUNTIME_DAGSTER_URL is the right address."
        )

    def launch(self, job: RemoteJob, tags: Mapping[str, str]) -> RemoteRun:
        """Launch a job with its own default config. If the answer is lost, the request is not sent again."""
        params = {
            "selector": {
                "repositoryLocationName": job.location,
                "repositoryName": job.repository,
                "jobName": job.name,
            },
            "runConfigData": {},
            "executionMetadata": {"tags": _list_tags(tags)},
        }
        what = f"the launch of {job.name}"
        return self._ask(
            what, _LAUNCH, {"params": params}, "launchRun", "LaunchRunSuccess", _Launched, repeatable=False
        ).run

    def read_run(self, run: RemoteRun) -> RemoteRun:
        """The same run as it is now."""
        return self._ask(f"run {run.id}", _RUN, {"run": run.id}, "runOrError", "Run", RemoteRun)

    def find_unfinished(self, job: str, tags: Mapping[str, str] | None = None) -> list[RemoteRun]:
        """Runs of a job that have not ended, newest first."""
        return self._find_runs({"pipelineName": job, "statuses": list(_UNFINISHED), "tags": _list_tags(tags or {})})

    def find_tagged(self, tags: Mapping[str, str]) -> list[RemoteRun]:
        """Runs with these tags, newest first."""
        return self._find_runs({"tags": _list_tags(tags)})

    def _find_runs(self, filters: Mapping[str, Any]) -> list[RemoteRun]:
        variables = {"filter": filters, "limit": _MOST_RUNS}
        return self._ask("the list of its runs", _RUNS, variables, "runsOrError", "Runs", _Runs).results

    def _ask(
        self,
        what: str,
        query: str,
        variables: Mapping[str, Any],
        field: str,
        wanted: str,
        shape: type[Shape],
        *,
        repeatable: bool = True,
    ) -> Shape:
        """The field of the answer, if it has the wanted type."""
        content = self._send(what, {"query": query, "variables": variables}, repeatable=repeatable)
        data = content.get("data")
        found = data.get(field) if isinstance(data, dict) else None
        if not isinstance(found, dict):
            messages = _messages(content.get("errors"))
            raise DagsterAnswerUnreadable(
                f"The Runtime's Dagster did not answer the question for {what}{f': {messages}' if messages else ''}. Check "
                f"that NMDC_RUNTIME_DAGSTER_URL ({self.address}) is the address of a Dagster webserver."
            )
        if found.get("__typename") != wanted:
            said = _messages(found.get("errors")) or printable(str(found.get("message") or ""))
            raise DagsterRefused(
                f"The Runtime's Dagster answered the question for {what} with {printable(str(found.get('__typename')))}"
                f"{f': {said}' if said else ''}."
            )
        try:
            return TypeAdapter(shape).validate_python(found)
        except ValidationError as error:
            raise DagsterAnswerUnreadable(
                f"The Runtime's Dagster answered the question for {what} otherwise than Dagster does: {describe_mismatch(error)}."
                f" Check that NMDC_RUNTIME_DAGSTER_URL ({self.address}) is the address of a Dagster webserver."
            ) from None

    def _send(self, what: str, body: Any, *, repeatable: bool) -> dict[str, Any]:
        until = time.monotonic() + self._timeouts.whole
        try:
            answer = self._transport.send(
                "POST", f"{self.address}/graphql", body=body, repeatable=repeatable, until=until
            )
        except NoAnswer as error:
            raise DagsterUnreachable(
                f"The Runtime's Dagster ({self.address}) did not answer the question for {what}: {error}. Check "
                "NMDC_RUNTIME_DAGSTER_URL and the network."
            ) from None
        except AnswerUnusable as error:
            raise DagsterAnswerUnreadable(
                f"The answer of the Runtime's Dagster ({self.address}) about {what} cannot be used: {error}. Check that "
                "NMDC_RUNTIME_DAGSTER_URL is the address of a Dagster webserver."
            ) from None
        if answer.is_server_error:
            raise DagsterUnreachable(
                f"The Runtime's Dagster ({self.address}) answered the question for {what} with {answer.status}. The problem is "
                "on its side."
            )
        if answer.is_redirect or answer.status in (401, 403, 404, 405):
            raise DagsterRefused(
                f"{self.address}/graphql answered the question for {what} with {answer.status}. NMDC_RUNTIME_DAGSTER_URL has to "
                "be the address of the Dagster webserver itself, with its path prefix if it has one, where it asks for no login.",
                by_status=True,
            )
        try:
            content = json.loads(answer.body)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise DagsterAnswerUnreadable(
                f"{self.address}/graphql answered the question for {what} ({answer.status}) with something that is not Dagster's "
                "JSON. Check that NMDC_RUNTIME_DAGSTER_URL is the address of a Dagster webserver."
            )
        return content


def _list_tags(tags: Mapping[str, str]) -> list[Mapping[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


def _messages(errors: Any) -> str:
    """The texts of a list of errors, made safe to show."""
    if not isinstance(errors, Sequence) or isinstance(errors, str):
        return ""
    texts = [one["message"] for one in errors if isinstance(one, dict) and isinstance(one.get("message"), str)]
    return printable("; ".join(texts))
