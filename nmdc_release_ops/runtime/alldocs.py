"""Rebuilding the Runtime's collection `alldocs` by the Runtime's own job.

The job is `ensure_alldocs` of the Runtime's Dagster (nmdc_runtime/site/graphs.py), which also runs every hour. It begins by
dropping what another run of it is building, so two of them never run side by side by our doing.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from nmdc_release_ops.runtime.upgrade import Waiting
from nmdc_release_ops.services.errors import (
    AlldocsNotRebuilt,
    DagsterAnswerUnreadable,
    DagsterRefused,
    DagsterUnreachable,
    ServiceError,
)
from nmdc_release_ops.services.remote_dagster import RemoteDagster, RemoteJob, RemoteRun
from nmdc_release_ops.services.workflows import Log

JOB = "ensure_alldocs"
RELEASE_TAG = "nmdc_release_ops/follows_up"
"""Not the tag of our own releases: where both share a Dagster, that one would queue the run behind the release."""
_REQUEST_TAG = "nmdc_release_ops/request"
_MOST_FAILURES = 5
"""In a row."""
SETTLING_SECONDS = 300.0
"""How long the Dagster, which is deployed with the Runtime, may take until it answers and has loaded the job."""
_LOOKS = 5
"""How often a run is looked for whose launch got no answer."""

Answer = TypeVar("Answer")


def rebuild_alldocs(
    dagster: RemoteDagster, release_id: str, waiting: Waiting, log: Log, meanwhile: Callable[[], None] = lambda: None
) -> str:
    """Launch the job and wait until its run has succeeded; return the address of the run's page.

    A run that an earlier attempt for the same release launched, and that has not ended, is followed instead. Another run of the
    job is waited for first: it may have begun before the swap.

    Args:
        meanwhile: called before each request.

    Raises:
        DagsterUnreachable, DagsterRefused, DagsterAnswerUnreadable, AlldocsNotRebuilt.
    """
    deadline = time.monotonic() + waiting.end
    asking = _Asking(waiting.poll, log, meanwhile)
    job = _find_job(dagster, waiting, asking)
    own = {RELEASE_TAG: release_id}
    run = next(iter(asking.ask(lambda: dagster.find_unfinished(JOB, own))), None)
    if run is None:
        for other in asking.ask(lambda: dagster.find_unfinished(JOB)):
            log(f"{JOB}: another run of it is {other.status}, and is waited for: {dagster.page_of(other)}")
            _follow(dagster, other, deadline, asking)
        run = _launch(dagster, job, own, asking)
    log(f"{JOB}: {dagster.page_of(run)}")
    run = _follow(dagster, run, deadline, asking)
    if not run.succeeded:
        raise AlldocsNotRebuilt(
            f"The Runtime's run that rebuilds alldocs ended with {run.status}: {dagster.page_of(run)}. Its page says why. The "
            "Runtime runs the same job every hour."
        )
    return dagster.page_of(run)


@dataclass(frozen=True)
class _Asking:
    """Asks again after an error that may pass: a short one must not end an hour of waiting.

    Attributes:
        poll: seconds between two requests.
        meanwhile: called before each.
    """

    poll: float
    log: Log
    meanwhile: Callable[[], None]

    def ask(self, question: Callable[[], Answer], is_passing: Callable[[ServiceError], bool] | None = None) -> Answer:
        """Raises:
        ServiceError: the same kind several times in a row, or one that does not pass.
        """
        failures = 0
        while True:
            self.meanwhile()
            try:
                return question()
            except ServiceError as error:
                failures += 1
                if failures == _MOST_FAILURES or not (is_passing or _is_passing)(error):
                    raise
                self.log(f"{JOB}: {error}")
            time.sleep(self.poll)


def _is_passing(error: ServiceError) -> bool:
    """Whether the next request may not have it."""
    return isinstance(error, DagsterUnreachable | DagsterAnswerUnreadable) or _is_by_status(error)


def _is_by_status(error: ServiceError) -> bool:
    return isinstance(error, DagsterRefused) and error.by_status


def _find_job(dagster: RemoteDagster, waiting: Waiting, asking: _Asking) -> RemoteJob:
    until = time.monotonic() + min(SETTLING_SECONDS, waiting.end)
    logged = ""
    while True:
        asking.meanwhile()
        try:
            return dagster.find_job(JOB)
        except (DagsterUnreachable, DagsterAnswerUnreadable, DagsterRefused) as error:
            if time.monotonic() + waiting.poll > until:
                raise
            if f"{error}" != logged:
                logged = f"{error}"
                asking.log(f"{error} It may just be starting, and is asked again.")
        time.sleep(waiting.poll)


def _launch(dagster: RemoteDagster, job: RemoteJob, tags: dict[str, str], asking: _Asking) -> RemoteRun:
    request = {_REQUEST_TAG: str(uuid.uuid4())}
    try:
        # Refused by a status, nothing was launched.
        return asking.ask(lambda: dagster.launch(job, {**tags, **request}), _is_by_status)
    except (DagsterUnreachable, DagsterAnswerUnreadable) as error:
        asking.log(f"It is unknown whether {JOB} was launched; looking for its run. {error}")
        for _ in range(_LOOKS):
            time.sleep(asking.poll)
            if found := _look(lambda: dagster.find_tagged(request)):
                return found[0]
        raise


def _look(find: Callable[[], list[RemoteRun]]) -> list[RemoteRun]:
    try:
        return find()
    except ServiceError as error:
        if not _is_passing(error):
            raise
        return []


def _follow(dagster: RemoteDagster, run: RemoteRun, deadline: float, asking: _Asking) -> RemoteRun:
    """Wait until a run has ended, however it did.

    Raises:
        AlldocsNotRebuilt: it did not within the time limit.
        DagsterUnreachable, DagsterAnswerUnreadable, DagsterRefused: several times in a row.
    """
    while not run.has_ended:
        if time.monotonic() > deadline:
            raise AlldocsNotRebuilt(
                f"The Runtime's run of {JOB} did not end in time; it is {run.status}: {dagster.page_of(run)}. Re-execute the run "
                "from `follow_up` to wait longer."
            )
        time.sleep(asking.poll)
        now = asking.ask(partial(dagster.read_run, run))
        if now.status != run.status:
            asking.log(f"{JOB}: {now.status}")
        run = now
    return run
