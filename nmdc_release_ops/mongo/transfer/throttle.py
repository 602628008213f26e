"""Reading slowly, so that the server has time for those who work with it."""

import time
from collections.abc import Callable
from threading import Event, Lock

from nmdc_release_ops.mongo.server.raw import READ_BATCH


class Throttle:
    """Lets several threads together read at most so many documents a second."""

    def __init__(self, documents_per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Args:
        clock: seconds since some moment.
        """
        self._rate = documents_per_second
        self._clock = clock
        self._lock = Lock()
        self._paid_until = clock()

    @property
    def batch(self) -> int:
        """Documents to ask for at a time: of a second at most, so that no cursor waits so long that the server closes it."""
        return max(1, min(READ_BATCH, int(self._rate)))

    def reserve(self, documents: int) -> float:
        """Seconds to wait after reading so many documents."""
        with self._lock:
            now = self._clock()
            self._paid_until = max(self._paid_until, now) + documents / self._rate
            return self._paid_until - now

    def wait(self, documents: int, stopped: Event) -> None:
        """Wait after reading so many documents, or until `stopped` is set."""
        stopped.wait(self.reserve(documents))
