"""How a step shows figures: tables of the run page, and lines of progress in the log."""

import time
from collections.abc import Iterable, Mapping
from threading import Lock
from typing import Any

import dagster as dg

from nmdc_release_ops.mongo.server.progress import Progress, Report
from nmdc_release_ops.pace import Pace, Stopwatch
from nmdc_release_ops.steps.showing.reporting import watch_work

SECONDS_BETWEEN_LINES = 5.0


def table(rows: Iterable[Mapping[str, str | int | float | bool | None]]) -> dg.MetadataValue:
    """Rows with the same keys as a table of the run page; "none" if there are no rows."""
    records = [dg.TableRecord({key: "" if value is None else value for key, value in row.items()}) for row in rows]
    return dg.MetadataValue.table(records) if records else dg.MetadataValue.text("none")


def log_progress(context: dg.OpExecutionContext, verb: str, total: int | None) -> Report:
    """Make a report that logs progress at most every five seconds: documents so far, of all, how many a second, the time left,
    and those of the current collection. The run's reports (`reporting`) show it too.

    Args:
        verb: what happens to the documents, "dumped".
        total: documents of all collections together; None where that is not known.
    """
    return Work(context, verb, total).report


class Work:
    """One kind of work on the documents of several collections."""

    def __init__(self, context: dg.OpExecutionContext, verb: str, total: int | None) -> None:
        """Args:
        total: documents of all collections together; None where that is unknown.
        """
        self._context = context
        self._verb = verb
        self._total = total
        self._done: dict[str, int] = {}
        self._everything = 0
        self._stopwatch = Stopwatch()
        self._lock = Lock()
        self._next_line = time.monotonic() + SECONDS_BETWEEN_LINES
        watch_work(context.run_id, verb, self.measure)

    def measure(self) -> Pace:
        """How far it is."""
        with self._lock:
            return self._measure()

    def _measure(self) -> Pace:
        total = None if self._total is None else max(self._total, self._everything)
        return self._stopwatch.measure(self._everything, total)

    def report(self, progress: Progress) -> None:
        """Take notice of the progress of a collection; log it if the last line is old enough."""
        with self._lock:
            self._everything += progress.done - self._done.get(progress.collection, 0)
            self._done[progress.collection] = progress.done
            if time.monotonic() < self._next_line:
                return
            self._next_line = time.monotonic() + SECONDS_BETWEEN_LINES
            pace = self._measure()
        self._context.log.info(
            f"{self._verb} {pace.describe('documents')} "
            f"({progress.collection}: {progress.done:,} of {max(progress.total, progress.done):,})"
        )


class WorkerProgress:
    """Receives what a worker reports: one kind of work after the other."""

    def __init__(self, context: dg.OpExecutionContext, totals: Mapping[str, int], *, whole: bool) -> None:
        """Args:
        totals: documents by collection, approximately.
        whole: whether the work comes to all of them.
        """
        self._context = context
        self._totals = totals
        self._total = sum(totals.values()) if whole else None
        self._verb = ""
        self._work: Work | None = None

    def receive(self, message: Mapping[str, Any]) -> None:
        """Take notice of a message of the kind `progress`: `verb`, and `documents`, how many are done of each collection that
        the work has come to.
        """
        if self._work is None or message["verb"] != self._verb:
            self._verb = message["verb"]
            self._work = Work(self._context, self._verb, self._total)
        for name, done in message["documents"].items():
            self._work.report(Progress(name, done, self._totals.get(name, done)))
