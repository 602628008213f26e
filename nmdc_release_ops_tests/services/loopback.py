"""A strict HTTP server on the loopback address that can be told to misbehave."""

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: Any


@dataclass
class Response:
    """What it gets: `body` is sent as JSON unless it is bytes."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class Refused(Exception):
    """The request is not one that the service accepts."""

    def __init__(self, response: Response) -> None:
        self.response = response
        super().__init__(response.status)


Misbehaviour = Callable[["Handler", Response], None]
"""Sends something else than the response; its effect on the service's state has happened."""


@dataclass
class Fault:
    """A misbehaviour for the next so many requests that fit."""

    method: str
    path: re.Pattern[str]
    misbehave: Misbehaviour | Response
    times: int


class LoopbackServer:
    """A service; subclasses answer.

    Attributes:
        requests: all that came, in order.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.lock = threading.RLock()
        self.over = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.service = self  # type: ignore[attr-defined]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, request: Request) -> Response:
        raise NotImplementedError

    def fail(self, method: str, path: str, misbehave: Misbehaviour | Response, times: int = 1) -> None:
        """Misbehave for the next requests whose path matches; a Response is sent instead of doing anything."""
        self.faults.append(Fault(method, re.compile(path), misbehave, times))

    def asked(self, method: str, path: str) -> list[Request]:
        """The requests of a method whose path matches."""
        return [one for one in self.requests if one.method == method and re.search(path, one.path)]

    @contextmanager
    def running(self) -> Iterator[Self]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.over.set()
            self._server.shutdown()
            self._server.server_close()

    def handle(self, handler: "Handler", request: Request) -> None:
        with self.lock:
            self.requests.append(request)
            fault = self._fault_for(request)
            if fault and isinstance(fault.misbehave, Response):
                handler.send(fault.misbehave)
                return
            try:
                response = self.answer(request)
            except Refused as refused:
                response = refused.response
        if fault and not isinstance(fault.misbehave, Response):
            fault.misbehave(handler, response)
        else:
            handler.send(response)

    def _fault_for(self, request: Request) -> Fault | None:
        for fault in self.faults:
            if fault.times and fault.method == request.method and fault.path.search(request.path):
                fault.times -= 1
                return fault
        return None


class Handler(BaseHTTPRequestHandler):
    """Reads a request, and sends what the service answers."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._receive()

    def do_HEAD(self) -> None:
        self._receive()

    def do_POST(self) -> None:
        self._receive()

    def do_PUT(self) -> None:
        self._receive()

    def do_DELETE(self) -> None:
        self._receive()

    def _receive(self) -> None:
        service: LoopbackServer = self.server.service  # type: ignore[attr-defined]
        parts = urlsplit(self.path)
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            body = json.loads(content) if content else None
        except ValueError:
            body = content
        service.handle(self, Request(self.command, parts.path, dict(parse_qsl(parts.query)), dict(self.headers), body))

    def send(self, response: Response) -> None:
        content = response.encoded()
        self.send_head(response, len(content))
        if response.status not in (204, 304) and self.command != "HEAD":
            self.wfile.write(content)

    def send_head(self, response: Response, length: int) -> None:
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if response.status not in (204, 304):
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def break_off(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: Any) -> None:
        """Nothing: the test looks at `requests`."""


def breaks_off(handler: Handler, response: Response) -> None:
    """Closes the connection without an answer."""
    handler.break_off()


def truncates(handler: Handler, response: Response) -> None:
    """Sends half of the answer."""
    content = response.encoded()
    handler.send_head(response, len(content))
    handler.wfile.write(content[: len(content) // 2])
    handler.break_off()


def says_nothing(handler: Handler, response: Response) -> None:
    """Lets the client wait until the server ends."""
    service: LoopbackServer = handler.server.service  # type: ignore[attr-defined]
    service.over.wait()
    handler.close_connection = True


def trickles(handler: Handler, response: Response) -> None:
    """Sends a byte from time to time, without an end."""
    service: LoopbackServer = handler.server.service  # type: ignore[attr-defined]
    handler.send_head(response, 1_000_000)
    try:
        while not service.over.wait(0.05):
            handler.wfile.write(b" ")
    except OSError:
        handler.close_connection = True


def never_ends(handler: Handler, response: Response) -> None:
    """Sends megabyte after megabyte."""
    service: LoopbackServer = handler.server.service  # type: ignore[attr-defined]
    handler.send_head(response, 10**12)
    try:
        while not service.over.is_set():
            handler.wfile.write(b"[" * 1_000_000)
    except OSError:
        handler.close_connection = True


def sends_rubbish(handler: Handler, response: Response) -> None:
    """Sends something that is no JSON."""
    handler.send(Response(response.status, b"<html>Service</html>", {"Content-Type": "text/html"}))


def in_chunks(handler: Handler, response: Response) -> None:
    """Sends the answer with `Transfer-Encoding: chunked`, as GitHub does."""
    _send_chunks(handler, response)
    handler.wfile.write(b"0\r\n\r\n")


def in_chunks_that_end_early(handler: Handler, response: Response) -> None:
    """Sends the answer in chunks, without the last one."""
    _send_chunks(handler, response)
    handler.break_off()


def _send_chunks(handler: Handler, response: Response) -> None:
    handler.send_response(response.status)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    content = response.encoded()
    for start in range(0, len(content), 100):
        part = content[start : start + 100]
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))


def sends(content: bytes) -> Misbehaviour:
    """Sends these bytes, which need not be HTTP, and closes the connection."""

    def misbehave(handler: Handler, response: Response) -> None:
        handler.wfile.write(content)
        handler.break_off()

    return misbehave


def goes_on_with(content: bytes, more: bytes, pause: float = 0.05) -> Misbehaviour:
    """Sends `content`, and `more` again and again, without an end."""

    def misbehave(handler: Handler, response: Response) -> None:
        service: LoopbackServer = handler.server.service  # type: ignore[attr-defined]
        handler.close_connection = True
        try:
            handler.wfile.write(content)
            while not service.over.wait(pause):
                handler.wfile.write(more)
        except OSError:
            return

    return misbehave
