"""How a step shows figures: tables of the run page, and lines of progress in the log."""

import time
from collections.abc import Iterable, Mapping
from threading import Lock

import dagster as dg

from nmdc_release_ops.mongo.server.progress import Progress, Report

SECONDS_BETWEEN_LINES = 5.0


def table(rows: Iterable[Mapping[str, str | int | float | bool | None]]) -> dg.MetadataValue:
    """Rows with the same keys as a table of the run page; "none" if there are no rows."""
    records = [dg.TableRecord({key: "" if value is None else value for key, value in row.items()}) for row in rows]
    return dg.MetadataValue.table(records) if records else dg.MetadataValue.text("none")


def log_progress(context: dg.OpExecutionContext, verb: str, total: int) -> Report:
    """Make a report that logs progress at most every five seconds: documents so far, of all, and of the current collection.

    Args:
        verb: what happens to the documents, "dumped".
        total: documents of all collections together.
    """
    done: dict[str, int] = {}
    lock = Lock()
    next_line = time.monotonic() + SECONDS_BETWEEN_LINES

    def report(progress: Progress) -> None:
        nonlocal next_line
        with lock:
            done[progress.collection] = progress.done
            if time.monotonic() < next_line:
                return
            next_line = time.monotonic() + SECONDS_BETWEEN_LINES
            everything = sum(done.values())
        context.log.info(
            f"{verb} {everything:,} of {max(total, everything):,} documents "
            f"({progress.collection}: {progress.done:,} of {progress.total:,})"
        )

    return report
