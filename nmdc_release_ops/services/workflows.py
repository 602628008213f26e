"""Runs of GitHub Actions workflows: start one, find it, follow it to its end."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from nmdc_release_ops.services.errors import (
    GitHubAnswerUnreadable,
    GitHubRateLimited,
    GitHubUnreachable,
    WorkflowFailed,
    WorkflowNotSeen,
)
from nmdc_release_ops.services.repository import Commit, Repository, WorkflowRun

# GitHub's clocks may differ by seconds.
_CLOCKS = timedelta(seconds=10)
_MOST_FAILURES = 5
_PASSING = (GitHubUnreachable, GitHubAnswerUnreadable, GitHubRateLimited)
"""Errors that the next request may not have."""
Log = Callable[[str], None]


@dataclass(frozen=True)
class Watching:
    """How a run is watched, in seconds.

    Attributes:
        poll: between two requests.
        appear: time limit for the run to appear.
        end: time limit for the run to end.
    """

    poll: float = 10.0
    appear: float = 180.0
    end: float = 3_600.0


def start(
    repository: Repository, workflow: str, ref: str, inputs: Mapping[str, str], watching: Watching, log: Log
) -> WorkflowRun:
    """Dispatch a workflow and find its run.

    GitHub does not say which run a dispatch started. It is taken to be the first new run of the same workflow, event and
    ref that was not created before the dispatch, by the token's owner if that is known. Two dispatches of the same workflow
    on the same ref by the same owner at the same time cannot be distinguished.

    If GitHub's answer to the dispatch is lost, the run may have started: it is looked for, and the dispatch is not sent again.

    Raises:
        WorkflowNotSeen: no run appeared.
        GitHubUnreachable and others: as `Repository` does.
    """
    filters = {"event": "workflow_dispatch", "branch": ref}
    owner = repository.login()
    if owner:
        filters["actor"] = owner
    before = {run.id for run in repository.workflow_runs(workflow, **filters)}
    begun = datetime.now(UTC) - _CLOCKS
    try:
        dispatched = repository.dispatch(workflow, ref, inputs) - _CLOCKS
        outcome = f"{workflow} of {repository.name} was dispatched on {ref}, but no run of it appeared"
        log(f"Dispatched {workflow} of {repository.name} on {ref}.")
    except (GitHubUnreachable, GitHubAnswerUnreadable) as error:
        dispatched = begun
        outcome = f"{error} It is unknown whether {workflow} was dispatched: no run of it appeared"
        log(f"It is unknown whether {workflow} of {repository.name} was dispatched; looking for its run. {error}")
    filters["created"] = f">={dispatched:%Y-%m-%dT%H:%M:%SZ}"

    def look() -> list[WorkflowRun]:
        runs = repository.workflow_runs(workflow, **filters)
        return [run for run in runs if run.id not in before and run.created_at >= dispatched][-1:]

    try:
        return wait_for_run(look, f"{workflow} of {repository.name} on {ref}", watching)
    except WorkflowNotSeen as error:
        raise WorkflowNotSeen(
            f"{outcome} within {watching.appear:.0f} s. Look at the repository's Actions page before you dispatch it again."
        ) from error


def runs_of_release(repository: Repository, workflow: str, commit: str, tag: str) -> list[WorkflowRun]:
    """The runs that a release started, by its event or by the push of its tag, newest first."""
    runs = repository.workflow_runs(workflow, head_sha=commit)
    return [run for run in runs if run.head_sha == commit and (run.event == "release" or run.head_branch == tag)]


def wait_for_run(look: Callable[[], Sequence[WorkflowRun]], what: str, watching: Watching) -> WorkflowRun:
    """Wait for a run to appear; return the newest.

    Raises:
        WorkflowNotSeen: none appeared in time.
    """
    deadline = time.monotonic() + watching.appear
    while True:
        problem = ""
        try:
            runs = look()
        except _PASSING as error:
            runs, problem = [], f" The last error was: {error}"
        if runs:
            return runs[0]
        if time.monotonic() > deadline:
            raise WorkflowNotSeen(
                f"No run of {what} appeared within {watching.appear:.0f} s. Look at the repository's Actions page. Check that a "
                f"release starts the workflow, and that the token may start workflows.{problem}"
            )
        time.sleep(watching.poll)


def follow(repository: Repository, run: WorkflowRun, what: str, watching: Watching, log: Log) -> WorkflowRun:
    """Wait until a run is completed, whatever its conclusion; log each change of its status.

    Raises:
        WorkflowNotSeen: it did not end in time.
    """
    deadline = time.monotonic() + watching.end
    status = ""
    failures = 0
    while True:
        if run.describe() != status:
            status = run.describe()
            log(f"{what}: {status}")
        if run.is_completed:
            return run
        if time.monotonic() > deadline:
            raise WorkflowNotSeen(
                f"{what} has not ended after {watching.end / 60:.0f} min: {status}. Re-execute from failure to wait longer."
            )
        time.sleep(watching.poll)
        try:
            run = repository.workflow_run(run.id)
            failures = 0
        except _PASSING as error:
            # A short failure must not end an hour of waiting.
            failures += 1
            if failures == _MOST_FAILURES:
                raise
            log(f"{what}: {error}")


def require_success(runs: Mapping[str, WorkflowRun]) -> None:
    """Refuse runs that failed.

    Raises:
        WorkflowFailed: naming each.
    """
    failed = [f"{what}: {run.describe()}" for what, run in runs.items() if not run.succeeded]
    if failed:
        raise WorkflowFailed(
            f"{'; '.join(failed)}. Correct the cause, re-run the workflow on its page, and re-execute this run from failure."
        )


def run_on_commit(repository: Repository, workflow: str, commit: Commit) -> WorkflowRun | None:
    """The newest run of a workflow on a commit; None if there is none."""
    runs = [run for run in repository.workflow_runs(workflow, head_sha=commit.sha) if run.head_sha == commit.sha]
    return runs[0] if runs else None
