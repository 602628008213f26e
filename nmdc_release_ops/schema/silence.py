"""Noticing that a worker says nothing for long."""

import threading
import time
from collections.abc import Callable

SECONDS = 5 * 60.0
"""How long a worker may say nothing before that is told."""
_MOST_SECONDS_BETWEEN = 60 * 60.0
_LONGEST_MESSAGE = 300


class Silence:
    """How long a worker has said nothing, and what it said last. Messages come from another thread than the questions."""

    def __init__(self, tell: Callable[[str], None], seconds: float = SECONDS) -> None:
        """Args:
        tell: takes a line for the run's log.
        seconds: of silence, before it is told for the first time. It is told again whenever the silence has become twice
            as long, and at least every hour.
        """
        self._tell = tell
        self._seconds = seconds
        self._lock = threading.Lock()
        self._last = ""
        self._since = time.monotonic()
        self._next = seconds

    def end_with(self, message: str) -> None:
        """The worker said something."""
        with self._lock:
            self._last, self._since, self._next = message, time.monotonic(), self._seconds

    def look(self) -> None:
        """Tell of the silence, if it is time to."""
        with self._lock:
            silent = time.monotonic() - self._since
            if silent < self._next:
                return
            self._next = silent + min(max(silent, self._seconds), _MOST_SECONDS_BETWEEN)
            last = self._last[:_LONGEST_MESSAGE]
        said = f"its last message was: {last}" if last else "it has not said anything yet"
        self._tell(f"The worker has said nothing for {_duration(silent)}; {said}")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
