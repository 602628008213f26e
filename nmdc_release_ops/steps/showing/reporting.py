"""What a step is doing and how far it is, written every few seconds for people elsewhere: the command and monitoring.

A thread writes, with a connection of its own, so that no step waits for it. Of a promotion, nothing is written from the freeze
to the thaw: a second counts there.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from pymongo.errors import PyMongoError

from nmdc_release_ops.files import FileNotWritten
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.state.journal import newest_journal
from nmdc_release_ops.mongo.state.step_report import Stage, StepReport, read_reports, write_report
from nmdc_release_ops.pace import Pace
from nmdc_release_ops.pages.summary import ROLLBACK
from nmdc_release_ops.records.data_release import ReleasePlan
from nmdc_release_ops.resources.environment import ConfigurationInvalid, ConfigurationMissing
from nmdc_release_ops.resources.origin import OriginConnection, OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.status.metrics import write_metrics
from nmdc_release_ops.status.ways import measure_oplog_left
from nmdc_release_ops.steps.runs.run_facts import RunRecords

SECONDS_BETWEEN_REPORTS = 5.0
LAST_SECONDS = 2.0
"""How long the end of a step waits for its last report."""
HURRIED_SECONDS = 0.1
"""The same while people cannot write. The next step reports soon."""
_UNDER_FREEZE = ("freeze", "restore")
_AFTER_THE_THAW = ("unfreeze", "follow_up")
_FORESEEN = (PyMongoError, MongoError, FileNotWritten, OSError, ConfigurationMissing, ConfigurationInvalid)


@contextmanager
def reporting(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    origin: OriginResource,
    home: ReleaseHomeResource,
    *,
    followed_since: int | None = None,
) -> Iterator[None]:
    """Report the step of the context while the block lasts, and at its end whether it failed.

    Args:
        followed_since: the moment from which the step needs the oplog, seconds since 1970; None if it does not need it.
    """
    step = context.op_handle.name
    if plan.catches_up and step in _UNDER_FREEZE:
        yield
        return
    report = _describe(plan, context.run_id, context.job_name, step)
    reporter = _Reporter(context, report, origin, home, followed_since)
    reporter.start()
    try:
        yield
    except BaseException:
        reporter.end(Stage.FAILED, LAST_SECONDS)
        raise
    is_frozen = not plan.is_dumped_unfrozen and not plan.catches_up and step not in _AFTER_THE_THAW
    reporter.end(Stage.DONE, HURRIED_SECONDS if is_frozen else LAST_SECONDS)


def report_failure(context: dg.HookContext, origin: OriginResource, home: ReleaseHomeResource) -> None:
    """Report that the step of the context failed, where it did not do so itself: of a promotion under the freeze, of a rollback.

    A run that failed before it was known what it releases reports nothing.
    """
    try:
        with origin.connect() as connected:
            report = _describe_failure(context, home, connected)
            if report is None or any(_says_the_same(one, report) for one in _read_own(connected, report)):
                return
            write_report(connected.client, report)
            write_metrics(connected.database, home.path)
    except _FORESEEN as error:
        context.log.warning(
            f"That this step failed cannot be written for `nmdc-release status` and monitoring: {error}"
        )


def report_rollback(context: dg.OpExecutionContext, origin: OriginConnection, release_id: str, stage: Stage) -> None:
    """Report what became of a rollback; whatever prevents that, the rollback has done its work."""
    try:
        write_report(
            origin.client, _describe_rollback(origin, context.run_id, context.op_handle.name, release_id, stage)
        )
        write_metrics(origin.database, ReleaseHomeResource().path)
    except _FORESEEN as error:
        context.log.warning(f"The rollback cannot be written for `nmdc-release status` and monitoring: {error}")


def _describe(plan: ReleasePlan, run_id: str, job: str, step: str, stage: Stage = Stage.WORKING) -> StepReport:
    return StepReport(
        database=plan.database,
        is_rehearsal=plan.is_rehearsal,
        release_id=plan.release_id,
        run_id=run_id,
        job=job,
        step=step,
        stage=stage,
    )


def _describe_rollback(origin: OriginConnection, run_id: str, step: str, release_id: str, stage: Stage) -> StepReport:
    return StepReport(
        database=origin.database.name,
        is_rehearsal=False,
        release_id=release_id,
        run_id=run_id,
        job=ROLLBACK,
        step=step,
        stage=stage,
    )


def _describe_failure(
    context: dg.HookContext, home: ReleaseHomeResource, origin: OriginConnection
) -> StepReport | None:
    run = context.instance.get_run_by_id(context.run_id)
    if run is None:
        return None
    if run.job_name == ROLLBACK:
        journal = newest_journal(origin.client, origin.database.name)
        if journal is None:
            return None
        return _describe_rollback(origin, run.run_id, context.step_key, journal.release_id, Stage.FAILED)
    plan = RunRecords(context.instance, home, run, {}).read(ReleasePlan, "plan", "choose.plan")
    if plan is None:
        return None
    return _describe(plan, run.run_id, run.job_name, context.step_key, Stage.FAILED)


def _read_own(origin: OriginConnection, report: StepReport) -> list[StepReport]:
    return [one for one in read_reports(origin.client, report.database) if one.is_rehearsal == report.is_rehearsal]


def _says_the_same(one: StepReport, other: StepReport) -> bool:
    return (one.run_id, one.step, one.stage) == (other.run_id, other.step, other.stage)


def watch_work(run_id: str, verb: str, pace: Callable[[], Pace]) -> None:
    """Make the reports of the run's step show how far this work is, in place of what it did before.

    Args:
        verb: what happens to the documents, "dumped".
    """
    if reporter := _reporter_of(run_id):
        reporter.work = verb, pace


def note(run_id: str, **facts: Any) -> None:
    """Add fields of a `StepReport` to the reports of the run's step."""
    if reporter := _reporter_of(run_id):
        reporter.report = reporter.report.model_copy(update=facts)


def _reporter_of(run_id: str) -> "_Reporter | None":
    running = (thread for thread in threading.enumerate() if isinstance(thread, _Reporter))
    return next((thread for thread in running if thread.report.run_id == run_id and not thread.is_over), None)


class _Reporter(threading.Thread):
    """Writes the reports of one step.

    Attributes:
        report: the next one, without what `work` shows.
        work: what happens to the documents, and how far that is.
    """

    def __init__(
        self,
        context: dg.OpExecutionContext,
        report: StepReport,
        origin: OriginResource,
        home: ReleaseHomeResource,
        followed_since: int | None,
    ) -> None:
        super().__init__(name=f"reports of run {report.run_id}", daemon=True)
        self._context = context
        self._origin = origin
        self._home = home
        self._followed_since = followed_since
        self._ended = threading.Event()
        self._has_warned = False
        self._deadline = float("inf")
        self.report = report
        self.work: tuple[str, Callable[[], Pace]] | None = None

    @property
    def is_over(self) -> bool:
        return self._ended.is_set()

    def run(self) -> None:
        """Write until the step has ended, and once more."""
        while True:
            try:
                with self._origin.connect() as connected:
                    while not self._ended.is_set():
                        self._write(connected)
                        self._ended.wait(SECONDS_BETWEEN_REPORTS)
                    self._write(connected)
                    return
            except _FORESEEN as error:
                self._warn(error)
            if self._ended.wait(SECONDS_BETWEEN_REPORTS):
                return

    def end(self, stage: Stage, seconds: float) -> None:
        """Write the last report, unless the origin does not answer.

        Args:
            seconds: to wait for it.
        """
        self.report = self.report.model_copy(update={"stage": stage})
        self._deadline = time.monotonic() + LAST_SECONDS
        self._ended.set()
        self.join(seconds)

    def _write(self, origin: OriginConnection) -> None:
        # The next step may have begun to report.
        if time.monotonic() > self._deadline:
            return
        write_report(origin.client, self._with_progress(origin))
        write_metrics(origin.database, self._home.path)

    def _with_progress(self, origin: OriginConnection) -> StepReport:
        shown: dict[str, Any] = {}
        if self.work is not None:
            verb, measure = self.work
            pace = measure()
            shown = {
                "verb": verb,
                "unit": "documents",
                "done": pace.done,
                "total": pace.total,
                "rate": pace.rate,
                "seconds_left": pace.seconds_left,
            }
        if self._followed_since is not None:
            shown["oplog_seconds_left"] = measure_oplog_left(origin.database, self._followed_since)
        return self.report.model_copy(update=shown)

    def _warn(self, error: Exception) -> None:
        if not self._has_warned and not self._ended.is_set():
            self._has_warned = True
            self._context.log.warning(
                f"How far this step is cannot be written for `nmdc-release status` and monitoring: {error} The step goes on."
            )
