"""Brings everything that code of a schema release says, into the run's event log, line by line as it is said."""

import io
import logging
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dagster_pipes import PipesContext

LINES_PER_PLACE = 1_000
"""How often one line of code is heard: some migrators log every document, and an event log is not made for millions."""
_LEVELS = {logging.DEBUG: "debug", logging.INFO: "info", logging.WARNING: "warning", logging.ERROR: "error"}


class _PipesHandler(logging.Handler):
    def __init__(self, pipes: PipesContext) -> None:
        super().__init__()
        self._pipes = pipes
        self._said: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        place = f"{record.pathname}:{record.lineno}"
        self._said[place] += 1
        if self._said[place] > LINES_PER_PLACE:
            return
        level = _LEVELS.get(record.levelno, "error" if record.levelno > logging.ERROR else "info")
        for line in self.format(record).splitlines():
            getattr(self._pipes.log, level)(line)

    def finish(self) -> None:
        """Say how much was left out."""
        for place, count in self._said.items():
            if count > LINES_PER_PLACE:
                self._pipes.log.info(f"{count - LINES_PER_PLACE:,} more lines were logged by {place}")
        self._said.clear()


class _Lines(io.TextIOBase):
    """A text stream that logs each line written to it."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._rest = ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line.strip():
                self._logger.info(line)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back but a line that has not ended."""

    def finish(self) -> None:
        if self._rest.strip():
            self._logger.info(self._rest)
        self._rest = ""


@contextmanager
def telling(pipes: PipesContext) -> Iterator[logging.Logger]:
    """While the block lasts, logging, warnings and prints go to the run; yields the logger for migrators."""
    handler = _PipesHandler(pipes)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    # Chatter of the driver is not what the operator came for.
    logging.getLogger("pymongo").setLevel(logging.WARNING)
    logging.captureWarnings(True)
    warnings.simplefilter("default")
    warnings.simplefilter("ignore", ResourceWarning)
    printed = _Lines(logging.getLogger("printed"))
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
