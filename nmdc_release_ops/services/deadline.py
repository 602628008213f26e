"""A deadline for a whole exchange over HTTP.

The timeout of a socket covers only the next bytes. A service that sends one byte from time to time (of a header, a TLS
handshake or a chunk's length) could make us wait for ever.
"""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from requests.adapters import HTTPAdapter


class Deadline:
    """Closes connections when this many seconds have passed since the block was entered."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timer = threading.Timer(seconds, self._close_all)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._has_passed = False

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            for watched in self._sockets:
                watched.close()
            self._sockets.clear()

    def watch(self, connected: socket.socket) -> None:
        """Close this connection too when the deadline passes."""
        # A duplicate: TLS detaches the descriptor from the socket.
        copy = socket.fromfd(connected.fileno(), connected.family, connected.type)
        with self._lock:
            self._sockets.append(copy)
            if self._has_passed:
                _shut_down(copy)

    def explain(self) -> str | None:
        """Why the exchange failed, if the deadline has passed; else None."""
        return f"the answer was not complete after {self._seconds:.3g} s" if self._has_passed else None

    def _close_all(self) -> None:
        with self._lock:
            self._has_passed = True
            for watched in self._sockets:
                _shut_down(watched)


class WatchedAdapter(HTTPAdapter):
    """requests' adapter, with connections that a deadline watches."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        super().__init__()

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """The pool of connections that requests would use."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = _make_watched(pool.ConnectionCls, self._deadline)
        return pool


def _make_watched(kind: Any, deadline: Deadline) -> Any:
    class Watched(kind):  # type: ignore[misc]
        def _new_conn(self) -> socket.socket:
            connected: socket.socket = super()._new_conn()
            deadline.watch(connected)
            return connected

    return Watched


def _shut_down(connected: socket.socket) -> None:
    with suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)
