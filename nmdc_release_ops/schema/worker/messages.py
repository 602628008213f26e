"""Forwarding to the run's event log whatever code of a schema release logs, warns or prints, line by line as it happens."""

import io
import logging
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from dagster_pipes import PipesContext

LINES_PER_PLACE = 1_000
"""How often one line of code may log: some migrators log every document, and an event log does not hold millions of lines."""
SECONDS_BETWEEN_REPORTS = 1.0
_LEVELS = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warning", logging.ERROR: "error"}


class _PipesHandler(logging.Handler):
    def __init__(self, pipes: PipesContext) -> None:
        super().__init__()
        self._pipes = pipes
        self._records_by_place: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        place = f"{record.pathname}:{record.lineno}"
        self._records_by_place[place] += 1
        if self._records_by_place[place] > LINES_PER_PLACE:
            return
        level = _LEVELS.get(record.levelno, "error" if record.levelno > logging.ERROR else "info")
        for line in self.format(record).splitlines():
            getattr(self._pipes.log, level)(line)

    def finish(self) -> None:
        """Log how many lines were left out."""
        for place, count in self._records_by_place.items():
            if count > LINES_PER_PLACE:
                self._pipes.log.info(f"{count - LINES_PER_PLACE:,} more lines were logged by {place}")
        self._records_by_place.clear()


class _LineLogger(io.TextIOBase):
    """A text stream that logs each line written to it."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._unfinished_line = ""

    def write(self, text: str) -> int:
        *lines, self._unfinished_line = (self._unfinished_line + text).split("\n")
        for line in lines:
            if line.strip():
                self._logger.info(line)
        return len(text)

    def flush(self) -> None:
        """Nothing to do: only an unfinished line is kept."""

    def finish(self) -> None:
        if self._unfinished_line.strip():
            self._logger.info(self._unfinished_line)
        self._unfinished_line = ""


class ProgressReports:
    """Reports how far some work is as messages `progress`, at most one a second: `verb`, and `documents`, the number of documents
    of each collection that are done.
    """

    def __init__(self, pipes: PipesContext, verb: str) -> None:
        """Args:
        verb: what is done to the documents, "validated".
        """
        self._pipes = pipes
        self._verb = verb
        self._next = time.monotonic() + SECONDS_BETWEEN_REPORTS

    def report(self, documents: Mapping[str, int]) -> None:
        """Args:
        documents: that are done, by collection.
        """
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + SECONDS_BETWEEN_REPORTS
            self._pipes.report_custom_message({"kind": "progress", "verb": self._verb, "documents": dict(documents)})


@contextmanager
def forward_messages(pipes: PipesContext) -> Iterator[logging.Logger]:
    """Forward log records, warnings and prints to the run while the block lasts; yields the logger for migrators."""
    handler = _PipesHandler(pipes)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    # The driver's own log is of no use to the operator.
    logging.getLogger("pymongo").setLevel(logging.WARNING)
    logging.captureWarnings(True)
    warnings.simplefilter("default")
    warnings.simplefilter("ignore", ResourceWarning)
    printed = _LineLogger(logging.getLogger("printed"))
    stdout: Any = sys.stdout
    sys.stdout = printed
    try:
        yield logging.getLogger("migrator")
    finally:
        printed.finish()
        handler.finish()
        sys.stdout = stdout
        logging.captureWarnings(False)
        root.removeHandler(handler)
