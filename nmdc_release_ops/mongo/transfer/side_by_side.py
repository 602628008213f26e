"""Threads that work side by side on one archive, and stop together."""

import os
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Lock

from nmdc_release_ops.mongo.server.progress import Progress, Report
from nmdc_release_ops.mongo.transfer.throttle import Throttle

THREADS = min(4, os.cpu_count() or 1)


@contextmanager
def stopping_pool(stopped: Event, name: str) -> Iterator[ThreadPoolExecutor]:
    """A pool of `THREADS` threads. When the block fails or the run is cancelled, `stopped` is set and its threads stop early.

    Args:
        stopped: shared with the tallies of the threads.
        name: of the threads.
    """
    with ThreadPoolExecutor(THREADS, thread_name_prefix=name) as pool:
        try:
            yield pool
        except BaseException:
            # Leaving the pool waits for its threads.
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class Tally:
    """Counts the documents of one collection on which several threads work, and reports the progress.

    Args:
        expected: documents, approximately.
        throttle: makes the threads wait; None if they go as fast as they can.
    """

    def __init__(
        self, name: str, expected: int, report: Report, stopped: Event, throttle: Throttle | None = None
    ) -> None:
        self._name = name
        self._expected = expected
        self._report = report
        self._stopped = stopped
        self._throttle = throttle
        self._lock = Lock()
        self.documents = 0

    def add(self, documents: int) -> None:
        """Count more documents.

        Raises:
            CancelledError: another thread failed, or the run is cancelled.
        """
        if self._stopped.is_set():
            raise CancelledError
        with self._lock:
            self.documents += documents
            done = self.documents
        self._report(Progress(self._name, done, max(self._expected, done)))
        if self._throttle is not None:
            self._throttle.wait(documents, self._stopped)
