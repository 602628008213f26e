"""Rebuilding the Runtime's collection `alldocs` by the Runtime's own job.

The job is `ensure_alldocs` of the Runtime's Dagster (nmdc_runtime/site/graphs.py), which also runs every hour. It begins by
dropping what another run of it is building, so two of them never run side by side by our doing.
"""

import time
import uuid
from collections.abc import Callable

from nmdc_release_ops.runtime.upgrade import Waiting
from nmdc_release_ops.services.errors import (
    AlldocsNotRebuilt,
    DagsterAnswerUnreadable,
    DagsterRefused,
    DagsterUnreachable,
)
from nmdc_release_ops.services.remote_dagster import RemoteDagster, RemoteJob, RemoteRun
from nmdc_release_ops.services.workflows import Log

JOB = "ensure_alldocs"
RELEASE_TAG = "nmdc_release_ops/follows_up"
"""Not the tag of our own releases: where both share a Dagster, that one would queue the run behind the release."""
_REQUEST_TAG = "nmdc_release_ops/request"
_MOST_FAILURES = 5
_PASSING = (DagsterUnreachable, DagsterAnswerUnreadable)
"""Errors that the next request may not have."""
SETTLING_SECONDS = 300.0
"""How long the Dagster, which is deployed with the Runtime, may take until it answers and has loaded the job."""
_LOOKS = 5
"""How often a run is looked for whose launch got no answer."""


def rebuild_alldocs(dagster: RemoteDagster, release_id: str, waiting: Waiting, log: Log) -> str:
    """Launch the job and wait until its run has succeeded; return the address of the run's page.

    A run that an earlier attempt for the same release launched, and that has not ended, is followed instead. Another run of the
    job is waited for first: it may have begun before the swap.

    Raises:
        DagsterUnreachable, DagsterRefused, DagsterAnswerUnreadable, AlldocsNotRebuilt.
    """
    deadline = time.monotonic() + waiting.end
    job = _find_job(dagster, waiting, log)
    own = {RELEASE_TAG: release_id}
    run = next(iter(dagster.find_unfinished(JOB, own)), None)
    if run is None:
        for other in dagster.find_unfinished(JOB):
            log(f"{JOB}: another run of it is {other.status}, and is waited for: {dagster.page_of(other)}")
            _follow(dagster, other, waiting.poll, deadline, log)
        run = _launch(dagster, job, own, waiting.poll, log)
    log(f"{JOB}: {dagster.page_of(run)}")
    run = _follow(dagster, run, waiting.poll, deadline, log)
    if not run.succeeded:
        raise AlldocsNotRebuilt(
            f"The Runtime's run that rebuilds alldocs ended with {run.status}: {dagster.page_of(run)}. Its page says why. The "
            "Runtime runs the same job every hour."
        )
    return dagster.page_of(run)


def _find_job(dagster: RemoteDagster, waiting: Waiting, log: Log) -> RemoteJob:
    until = time.monotonic() + min(SETTLING_SECONDS, waiting.end)
    logged = ""
    while True:
        try:
            return dagster.find_job(JOB)
        except (*_PASSING, DagsterRefused) as error:
            if time.monotonic() + waiting.poll > until:
                raise
            if f"{error}" != logged:
                logged = f"{error}"
                log(f"{error} It may just be starting, and is asked again.")
        time.sleep(waiting.poll)


def _launch(dagster: RemoteDagster, job: RemoteJob, tags: dict[str, str], poll: float, log: Log) -> RemoteRun:
    request = {_REQUEST_TAG: str(uuid.uuid4())}
    try:
        return dagster.launch(job, {**tags, **request})
    except _PASSING as error:
        log(f"It is unknown whether {JOB} was launched; looking for its run. {error}")
        for _ in range(_LOOKS):
            time.sleep(poll)
            if found := _look(lambda: dagster.find_tagged(request)):
                return found[0]
        raise


def _look(find: Callable[[], list[RemoteRun]]) -> list[RemoteRun]:
    try:
        return find()
    except _PASSING:
        return []


def _follow(dagster: RemoteDagster, run: RemoteRun, poll: float, deadline: float, log: Log) -> RemoteRun:
    """Wait until a run has ended, however it did.

    Raises:
        AlldocsNotRebuilt: it did not within the time limit.
        DagsterUnreachable, DagsterAnswerUnreadable: several times in a row.
    """
    failures = 0
    while not run.has_ended:
        if time.monotonic() > deadline:
            raise AlldocsNotRebuilt(
                f"The Runtime's run of {JOB} did not end in time; it is {run.status}: {dagster.page_of(run)}. Re-execute the run "
                "from `follow_up` to wait longer."
            )
        time.sleep(poll)
        try:
            now = dagster.read_run(run)
        except _PASSING as error:
            # A short failure must not end an hour of waiting.
            failures += 1
            if failures == _MOST_FAILURES:
                raise
            log(f"{JOB}: {error}")
            continue
        failures = 0
        if now.status != run.status:
            log(f"{JOB}: {now.status}")
        run = now
    return run
