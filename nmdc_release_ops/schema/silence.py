"""Reporting that a worker has sent no message for a long time."""

import threading
import time
from collections.abc import Callable

SECONDS = 5 * 60.0
"""How long a worker may be silent before that is reported."""
_MOST_SECONDS_BETWEEN = 60 * 60.0
_LONGEST_MESSAGE = 300


class Silence:
    """How long a worker has been silent, and its last message. `end_with` and `check` are called from different threads."""

    def __init__(self, log: Callable[[str], None], seconds: float = SECONDS) -> None:
        """Args:
        log: writes a line to the run's log.
        seconds: of silence before the first report. It is repeated whenever the silence has doubled, and at least every
            hour.
        """
        self._log = log
        self._seconds = seconds
        self._lock = threading.Lock()
        self._last = ""
        self._since = time.monotonic()
        self._next = seconds

    def end_with(self, message: str) -> None:
        """The worker sent a message."""
        with self._lock:
            self._last, self._since, self._next = message, time.monotonic(), self._seconds

    def check(self) -> None:
        """Report the silence, if a report is due."""
        with self._lock:
            silent = time.monotonic() - self._since
            if silent < self._next:
                return
            self._next = silent + min(max(silent, self._seconds), _MOST_SECONDS_BETWEEN)
            last = self._last[:_LONGEST_MESSAGE]
        last_message = f"its last message was: {last}" if last else "it has not sent any message yet"
        self._log(f"The worker has sent no message for {_duration(silent)}; {last_message}")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
