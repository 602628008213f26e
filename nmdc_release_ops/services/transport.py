"""HTTP with a service that is not trusted: answers are limited in size and time, redirects are returned and not followed,
and only idempotent calls are retried.
"""

import http.client
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
import urllib3
from requests.auth import AuthBase

from nmdc_release_ops.services.deadline import Deadline, WatchedAdapter

USER_AGENT = "nmdc-release-ops"
LARGEST_ANSWER = 10_000_000
"""Bytes. A hundred of GitHub's releases with long notes need less than a tenth of it."""
_CHUNK = 65_536
_SENDABLE = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")


@dataclass(frozen=True)
class Timeouts:
    """How long we wait, in seconds, and how often we retry.

    Attributes:
        connect: for a connection.
        read: for the next bytes of an answer.
        answer: for one complete answer, connecting included.
        retries: number of retries of an idempotent call that got no answer, or a server error (5xx).
        backoff: before the first retry; doubled for each further one.
        limits: for a rate limit to end; a longer one is an error.
        whole: for one question with all its pages, redirects, retries and waits.
    """

    connect: float = 5.0
    read: float = 20.0
    answer: float = 60.0
    retries: int = 3
    backoff: float = 1.0
    limits: float = 120.0
    whole: float = 600.0


SHORT = Timeouts(connect=4, read=8, answer=12, retries=1, backoff=0.5, limits=5, whole=20)
"""For a sensor: Dagster limits a tick to 60 seconds."""


class NoAnswer(Exception):
    """No complete answer arrived. The text says why, without the address, which may be a secret."""


class AnswerUnusable(Exception):
    """The answer is too large, or compressed although that was not requested."""


@dataclass(frozen=True)
class Answer:
    """The answer to a request.

    Attributes:
        headers: a mapping that ignores case.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_server_error(self) -> bool:
        return self.status >= 500

    @property
    def is_redirect(self) -> bool:
        return 300 <= self.status < 400 and self.status != 304


class Transport:
    """Sends requests with a bearer token, or without one."""

    def __init__(self, token: str | None = None, timeouts: Timeouts | None = None) -> None:
        self._timeouts = timeouts or Timeouts()
        self._auth = _Bearer(token)

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        repeatable: bool,
        until: float | None = None,
    ) -> Answer:
        """The answer to one request, whatever its status.

        Args:
            body: sent as JSON unless None.
            repeatable: whether the request may be sent again after no answer or a server error (5xx).
            until: deadline of the whole question, in seconds of `time.monotonic`; None for `Timeouts.whole` from now.

        Raises:
            NoAnswer, AnswerUnusable.
        """
        self._auth.require_sendable()
        until = time.monotonic() + self._timeouts.whole if until is None else until
        tries = 1 + (self._timeouts.retries if repeatable else 0)
        for number in range(1, tries + 1):
            pause = self._timeouts.backoff * 2 ** (number - 1)
            is_last = number == tries
            try:
                answer = self._send_once(method, url, headers or {}, body, until)
                if not answer.is_server_error or is_last or time.monotonic() + pause > until:
                    return answer
            except NoAnswer:
                if is_last or time.monotonic() + pause > until:
                    raise
            time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _send_once(self, method: str, url: str, headers: Mapping[str, str], body: Any, until: float) -> Answer:
        # Uncompressed: a small compressed answer could fill the memory.
        sent = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        seconds = max(min(self._timeouts.answer, until - time.monotonic()), 0.1)
        with Deadline(seconds) as deadline:
            try:
                with (
                    _session(deadline) as session,
                    session.request(
                        method,
                        url,
                        data=data,
                        headers=sent,
                        auth=self._auth,
                        stream=True,
                        allow_redirects=False,
                        timeout=(self._timeouts.connect, self._timeouts.read),
                    ) as response,
                ):
                    return Answer(response.status_code, response.headers, self._read(response, deadline))
            except (
                requests.RequestException,
                urllib3.exceptions.HTTPError,
                http.client.HTTPException,
                OSError,
                ValueError,
            ) as error:
                raise NoAnswer(deadline.explain() or self._why(error)) from None

    def _read(self, response: requests.Response, deadline: Deadline) -> bytes:
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise AnswerUnusable(f"it is compressed ({encoding[:20]!r}), which was not requested")
        body = bytearray()
        while chunk := response.raw.read1(_CHUNK):
            body += chunk
            if len(body) > LARGEST_ANSWER:
                raise AnswerUnusable(f"it is longer than {LARGEST_ANSWER:,} bytes")
        # A closed connection looks like the end of an answer without a length.
        if (why := deadline.explain()) is not None:
            raise NoAnswer(why)
        return bytes(body)

    def _why(self, error: Exception) -> str:
        if isinstance(error, requests.ConnectTimeout):
            return f"there was no connection within {self._timeouts.connect:g} s"
        if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
            return f"no data arrived within {self._timeouts.read:g} s"
        if isinstance(error, requests.exceptions.SSLError):
            return "its certificate was not accepted"
        if isinstance(error, requests.exceptions.InvalidHeader):
            return "a header cannot be sent"
        if isinstance(error, requests.exceptions.InvalidURL | urllib3.exceptions.LocationParseError):
            return "the address is invalid"
        if isinstance(error, ValueError) and not isinstance(error, requests.RequestException):
            return "the answer is not HTTP"
        if "NameResolutionError" in repr(error):
            return "its name could not be resolved"
        if isinstance(error, urllib3.exceptions.IncompleteRead) or "IncompleteRead" in repr(error):
            return "the connection was closed in the middle of the answer"
        return "the connection failed or was closed"


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: to prepare a redirect, requests would read the whole body, however long."""


def _session(deadline: Deadline) -> requests.Session:
    session = _Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, WatchedAdapter(deadline))
    return session


class _Bearer(AuthBase):
    """Used without a token too: otherwise requests looks for one in ~/.netrc."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def require_sendable(self) -> None:
        """Raises:
        NoAnswer: the token cannot be sent as a header.
        """
        if self._token and not _SENDABLE.fullmatch(self._token):
            raise NoAnswer("the token contains characters that cannot be sent")

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request
