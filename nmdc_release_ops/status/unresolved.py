"""What runs report, without failures that are over: a later release, rehearsal or rollback has succeeded since."""

from collections.abc import Sequence
from datetime import datetime

from pymongo.database import Database

from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.state.journal import Journal, list_journals
from nmdc_release_ops.mongo.state.step_report import Stage, StepReport, read_reports

_LAST_STEPS = {("rehearsal", "validate"), ("rollback", "roll_back")}
"""Whose success is in no journal, by job."""


def read_unresolved(database: Database[Document]) -> list[StepReport]:
    """The reports of a database (`read_reports`), except of steps that failed or fell silent before something else succeeded."""
    reports = read_reports(database.client, database.name)
    stopped = [report for report in reports if report.stage is Stage.FAILED or report.is_silent]
    # A step at work asks every few seconds, also while people wait.
    journals = list_journals(database.client, database.name) if stopped else []
    return [report for report in reports if report not in stopped or not _is_outlived(report, reports, journals)]


def _is_outlived(report: StepReport, reports: Sequence[StepReport], journals: Sequence[Journal]) -> bool:
    ends: list[datetime | None] = [
        *(journal.rolled_back_at for journal in journals),
        # A run that was killed after its own swap still has something to do.
        *(one.swapped_at for one in journals if report.stage is Stage.FAILED or one.release_id != report.release_id),
        *(one.updated_at for one in reports if one.stage is Stage.DONE and (one.job, one.step) in _LAST_STEPS),
    ]
    since = report.updated_at
    return since is not None and any(end is not None and end > since for end in ends)
