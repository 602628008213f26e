"""Requests of a worker to the process that started it: one line of JSON each, answered by an empty line when it is done.

A worker also sends an empty line when it is ready for its task, which needs no answer.
"""

import json
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress

_SECONDS_WHEN_CLOSED = 0.05
_RECEIVE_BYTES = 65_536


class Requests:
    """The requests of one worker."""

    def __init__(self, channel: socket.socket, answer: Callable[[str], None]) -> None:
        """Args:
        channel: to the worker.
        answer: does what a request asks for.
        """
        self._answer = answer
        self._ours = channel
        self._poll = select.poll()
        self._poll.register(self._ours, select.POLLIN)
        self._received = b""

    def serve(self, seconds: float) -> float:
        """Wait for requests for at most so many seconds, and answer those that arrive; return how many seconds that took.

        Raises:
            What `answer` raises. The worker then gets no answer.
        """
        if not self._poll.poll(seconds * 1000):
            return 0
        try:
            received = self._ours.recv(_RECEIVE_BYTES)
        except ConnectionError:
            received = b""
        if not received:
            # The worker has ended, or is about to.
            time.sleep(min(seconds, _SECONDS_WHEN_CLOSED))
            return 0
        started = time.monotonic()
        *lines, self._received = (self._received + received).split(b"\n")
        for line in filter(None, lines):
            self._answer(json.loads(line))
            # Its exit code says that it has ended meanwhile.
            with suppress(ConnectionError):
                self._ours.sendall(b"\n")
        return time.monotonic() - started
