"""Runs of GitHub Actions workflows: starting one, finding it, following it to its end."""

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

# GitHub's clocks need not agree to the second.
_CLOCKS = timedelta(seconds=10)
_MOST_FAILURES = 5
_PASSING = (GitHubUnreachable, GitHubAnswerUnreadable, GitHubRateLimited)
"""Errors that may have passed by the next request."""
Log = Callable[[str], None]


@dataclass(frozen=True)
class Watching:
    """How a run is watched, in seconds.

    Attributes:
        poll: between two looks.
        appear: until it has to be there.
        end: until it has to be over.
    """

    poll: float = 10.0
    appear: float = 180.0
    end: float = 3_600.0


def start(
    repository: Repository, workflow: str, ref: str, inputs: Mapping[str, str], watching: Watching, log: Log
) -> WorkflowRun:
    """Dispatch a workflow and find the run that came of it.

    GitHub answers a dispatch without saying which run it is. It is taken for the first that was not there before, of the
    same workflow, event and ref, not created earlier than the dispatch, and by the token's owner where that is known. Two
    dispatches of the same workflow on the same ref by the same owner at the same time cannot be told apart.

    If GitHub's answer to the dispatch is lost, the dispatch is not sent again: the run may have started, so it is looked for.

    Raises:
        WorkflowNotSeen: it did not appear.
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
        became = f"{workflow} of {repository.name} was dispatched on {ref}, and no run of it appeared"
        log(f"Dispatched {workflow} of {repository.name} on {ref}.")
    except (GitHubUnreachable, GitHubAnswerUnreadable) as error:
        dispatched = begun
        became = f"{error} Whether {workflow} was dispatched is unknown: no run of it appeared"
        log(f"Whether {workflow} of {repository.name} was dispatched is unknown; looking for its run. {error}")
    filters["created"] = f">={dispatched:%Y-%m-%dT%H:%M:%SZ}"

    def look() -> list[WorkflowRun]:
        runs = repository.workflow_runs(workflow, **filters)
        return [run for run in runs if run.id not in before and run.created_at >= dispatched][-1:]

    try:
        return wait_for_run(look, f"{workflow} of {repository.name} on {ref}", watching)
    except WorkflowNotSeen as error:
        raise WorkflowNotSeen(
            f"{became} within {watching.appear:.0f} s. Look at the repository's Actions page before it is dispatched again."
        ) from error


def runs_of_release(repository: Repository, workflow: str, commit: str, tag: str) -> list[WorkflowRun]:
    """The runs that a release started, newest first: by its event, or by the push of its tag."""
    runs = repository.workflow_runs(workflow, head_sha=commit)
    return [run for run in runs if run.head_sha == commit and (run.event == "release" or run.head_branch == tag)]


def wait_for_run(look: Callable[[], Sequence[WorkflowRun]], what: str, watching: Watching) -> WorkflowRun:
    """The newest run, as soon as there is one.

    Raises:
        WorkflowNotSeen: there is none after a while.
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
                f"No run of {what} appeared within {watching.appear:.0f} s. Look at the repository's Actions page: is the "
                f"workflow started by a release, and by a token that may start workflows?{problem}"
            )
        time.sleep(watching.poll)


def follow(repository: Repository, run: WorkflowRun, what: str, watching: Watching, log: Log) -> WorkflowRun:
    """Look at a run until it is completed, however it ends; say so when it goes on.

    Raises:
        WorkflowNotSeen: it is not over in time.
    """
    deadline = time.monotonic() + watching.end
    said = ""
    failures = 0
    while True:
        if run.describe() != said:
            said = run.describe()
            log(f"{what}: {said}")
        if run.is_completed:
            return run
        if time.monotonic() > deadline:
            raise WorkflowNotSeen(
                f"{what} is not over after {watching.end / 60:.0f} min: {said}. Re-execute to wait on."
            )
        time.sleep(watching.poll)
        try:
            run = repository.workflow_run(run.id)
            failures = 0
        except _PASSING as error:
            # An hour's waiting should not end for a minute's failure.
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
    """The newest run of a workflow on a commit, None where there is none."""
    runs = [run for run in repository.workflow_runs(workflow, head_sha=commit.sha) if run.head_sha == commit.sha]
    return runs[0] if runs else None
