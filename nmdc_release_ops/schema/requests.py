"""Requests of a worker to the process that started it: one line of JSON each, answered by an empty line when it is done."""

import json
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self

_SECONDS_WHEN_CLOSED = 0.05
_RECEIVE_BYTES = 65_536


class Requests:
    """A channel to one worker, which inherits one end of it.

    Attributes:
        descriptor: of the worker's end. It is closed in this process by `release`.
    """

    def __init__(self, answer: Callable[[str], None]) -> None:
        """Args:
        answer: does what a request asks for.
        """
        self._answer = answer
        self._ours, self._theirs = socket.socketpair()
        self._poll = select.poll()
        self._poll.register(self._ours, select.POLLIN)
        self._received = b""

    @property
    def descriptor(self) -> int:
        return self._theirs.fileno()

    def release(self) -> None:
        """The worker has inherited its end."""
        self._theirs.close()

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
        for line in lines:
            self._answer(json.loads(line))
            # Its exit code says that it has ended meanwhile.
            with suppress(ConnectionError):
                self._ours.sendall(b"\n")
        return time.monotonic() - started

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.close()
        self._theirs.close()
