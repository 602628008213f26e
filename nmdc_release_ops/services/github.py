"""GitHub's REST API: one call at a time, within its rate limits, with its errors explained.

Follows version 2022-11-28 of GitHub's REST documentation (https://docs.github.com/en/rest?apiVersion=2022-11-28), which every
request names. The rules are in "Best practices", "Rate limits", "Using pagination" and "Troubleshooting" there.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

from pydantic import TypeAdapter, ValidationError

from nmdc_release_ops.services.error_messages import describe_mismatch, error_codes, error_message, printable
from nmdc_release_ops.services.errors import (
    GitHubAccessRefused,
    GitHubAnswerUnreadable,
    GitHubNotFound,
    GitHubRateLimited,
    GitHubRejected,
    GitHubUnreachable,
    ServiceAddressInvalid,
)
from nmdc_release_ops.services.headers import (
    SECONDARY_LIMIT_SECONDS,
    etag_of,
    is_below,
    join,
    moment_of,
    next_page,
    wait_seconds,
)
from nmdc_release_ops.services.transport import Answer, AnswerUnusable, NoAnswer, Timeouts, Transport

API_VERSION = "2022-11-28"
PER_PAGE = 100
MOST_PAGES = 20
_MOST_REDIRECTS = 3
_MOST_WAITS = 3
_LARGEST_LISTING = 50_000_000
_JSON = "application/vnd.github+json"
_RAW = "application/vnd.github.raw+json"
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
Shape = TypeVar("Shape")


class GitHub:
    """A GitHub, reached by its REST API.

    Args:
        api: base address, "https://api.github.com" or that of an Enterprise server ("https://github.example.org/api/v3").
        token: sent with every call to `api`, and nowhere else.
    """

    def __init__(self, api: str, token: str | None, timeouts: Timeouts | None = None) -> None:
        self.api = check_address(api, "NMDC_GITHUB_API")
        self._has_token = bool(token)
        self._timeouts = timeouts or Timeouts()
        self._transport = Transport(token, self._timeouts)

    def get(
        self,
        path: str,
        shape: type[Shape],
        query: Mapping[str, str | int] | None = None,
    ) -> Shape:
        """What is at `path`.

        Raises:
            GitHubUnreachable, GitHubAccessRefused, GitHubNotFound, GitHubRateLimited, GitHubRejected,
            GitHubAnswerUnreadable: as every method here does.
        """
        answer = self._call("GET", self._url(path, query))
        return self._read(f"GET {path}", answer, shape)

    def get_text(self, path: str, query: Mapping[str, str | int] | None = None) -> str:
        """The text of a file."""
        answer = self._call("GET", self._url(path, query), headers={"Accept": _RAW})
        return answer.body.decode("utf-8", "replace")

    def pages(
        self,
        path: str,
        shape: type[Shape],
        query: Mapping[str, str | int] | None = None,
        *,
        etag: str | None = None,
        most: int = MOST_PAGES,
    ) -> Iterator[tuple[Shape, str | None]]:
        """Each page, with the ETag of the answer; no page if the list has not changed since `etag`.

        Args:
            most: maximum number of pages requested.
        """
        url: str | None = self._url(path, {"per_page": PER_PAGE, **(query or {})})
        headers = {"If-None-Match": etag} if etag else {}
        until = time.monotonic() + self._timeouts.whole
        asked: set[str] = set()
        size = 0
        while url is not None and len(asked) < most:
            asked.add(url)
            answer = self._call("GET", url, headers=headers, until=until)
            if answer.status == 304 and headers:
                return
            size += len(answer.body)
            if size > _LARGEST_LISTING:
                raise GitHubAnswerUnreadable(
                    f"GitHub's answers to GET {path} are together longer than {_LARGEST_LISTING:,} bytes."
                )
            yield self._read(f"GET {path}", answer, shape), etag_of(answer)
            url, headers = self._next_page(f"GET {path}", url, answer), {}
            if url in asked:
                raise GitHubAnswerUnreadable(f"The pages of GET {path} link to each other in a loop.")

    def post(self, path: str, body: Any, shape: type[Shape] | None) -> tuple[Shape | None, datetime]:
        """Send `body`; return the answer (None without `shape`) and the time on GitHub's clock.

        If the answer is lost, the request is not sent again: the caller checks whether GitHub did it.
        """
        answer = self._call("POST", self._url(path, None), body=body)
        read = None if shape is None else self._read(f"POST {path}", answer, shape)
        return read, moment_of(answer)

    def _url(self, path: str, query: Mapping[str, str | int] | None) -> str:
        return f"{self.api}{path}" + (f"?{urlencode(query)}" if query else "")

    def _call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        until: float | None = None,
    ) -> Answer:
        call = printable(f"{method} {urlsplit(url).path.removeprefix(urlsplit(self.api).path)}")
        until = time.monotonic() + self._timeouts.whole if until is None else until
        waits = 0
        while True:
            answer = self._exchange(call, method, url, headers or {}, body, until)
            limit = limit_seconds(answer)
            if limit is None:
                self._refuse_errors(call, answer)
                return answer
            is_late = time.monotonic() + limit > until
            if limit > self._timeouts.limits or waits == _MOST_WAITS or is_late:
                allowed = datetime.now(UTC) + timedelta(seconds=limit)
                raise GitHubRateLimited(
                    f"GitHub's rate limit is reached ({call}: {answer.status}{error_message(answer)}). More requests are allowed "
                    f"at {allowed:%H:%M:%S} UTC, in {limit:.0f} s: try again then."
                    + ("" if self._has_token else " The limit is much higher with GITHUB_TOKEN.")
                )
            time.sleep(limit)
            waits += 1

    def _exchange(
        self, call: str, method: str, url: str, headers: Mapping[str, str], body: Any, until: float
    ) -> Answer:
        for _ in range(_MOST_REDIRECTS + 1):
            try:
                answer = self._transport.send(
                    method,
                    url,
                    headers={"Accept": _JSON, "X-GitHub-Api-Version": API_VERSION, **headers},
                    body=body,
                    repeatable=method == "GET",
                    until=until,
                )
            except NoAnswer as error:
                raise GitHubUnreachable(
                    f"GitHub ({self._host}) did not answer {call}: {error}. Check NMDC_GITHUB_API and the network, and try again."
                ) from None
            except AnswerUnusable as error:
                raise GitHubAnswerUnreadable(
                    f"GitHub's answer to {call} cannot be used: {error}. Check that NMDC_GITHUB_API ({self.api}) is a GitHub API."
                ) from None
            if not answer.is_redirect:
                return answer
            url = self._redirect_target(call, method, url, answer)
        raise GitHubAnswerUnreadable(
            f"GitHub redirects {call} in an endless loop. Check NMDC_GITHUB_API and the repository's name."
        )

    def _redirect_target(self, call: str, method: str, url: str, answer: Answer) -> str:
        target = join(url, answer.headers.get("Location", ""))
        shown = printable(target.partition("?")[0])
        if method != "GET":
            raise GitHubRejected(
                f"GitHub redirects {call} to {shown}. A request that writes is not redirected. Correct the repository's name."
            )
        if not is_below(target, self.api):
            raise GitHubAnswerUnreadable(
                f"GitHub redirects {call} to {shown}, which is not below {self.api}. The redirect was not followed, so the token "
                "was not sent there. Check NMDC_GITHUB_API and the repository's name."
            )
        return target

    def _next_page(self, call: str, url: str, answer: Answer) -> str | None:
        target = next_page(url, answer)
        if target is not None and not is_below(target, self.api):
            raise GitHubAnswerUnreadable(
                f"GitHub's answer to {call} names {printable(target)} as the next page, which is not below {self.api}. It was "
                "not requested. Check NMDC_GITHUB_API, and whether a proxy answers in GitHub's place."
            )
        return target

    def _refuse_errors(self, call: str, answer: Answer) -> None:
        if answer.status < 400:
            return
        what = f"GitHub answered {call} with {answer.status}{error_message(answer)}."
        if answer.is_server_error:
            raise GitHubUnreachable(f"{what} The problem is on GitHub's side; try again later.")
        if answer.status == 401:
            raise GitHubAccessRefused(f"{what} GITHUB_TOKEN is wrong, revoked or expired: set a valid one.")
        if answer.status == 403:
            raise GitHubAccessRefused(f"{what} {self._what_the_token_lacks(answer)}")
        if answer.status == 404:
            hidden = (
                "GITHUB_TOKEN has no access to it" if self._has_token else "it is private and GITHUB_TOKEN is not set"
            )
            raise GitHubNotFound(f"{what} It does not exist, or {hidden}. Check the name's spelling.")
        raise GitHubRejected(what, error_codes(answer))

    def _what_the_token_lacks(self, answer: Answer) -> str:
        if not self._has_token:
            return "This call needs a token: set GITHUB_TOKEN."
        needed = answer.headers.get("X-Accepted-GitHub-Permissions") or answer.headers.get("X-Accepted-OAuth-Scopes")
        has = answer.headers.get("X-OAuth-Scopes")
        return (
            "GITHUB_TOKEN does not allow this"
            + (f"; required: {printable(needed)}" if needed else "")
            + (f"; granted: {printable(has)}" if has else "")
            + ". docs/automation.md lists the permissions."
        )

    def _read(self, call: str, answer: Answer, shape: type[Shape]) -> Shape:
        try:
            given = json.loads(answer.body)
        except (ValueError, RecursionError):
            raise GitHubAnswerUnreadable(
                f"GitHub's answer to {call} ({answer.status}) is not JSON. Check that NMDC_GITHUB_API ({self.api}) "
                "is a GitHub API."
            ) from None
        try:
            return TypeAdapter(shape).validate_python(given)
        except ValidationError as error:
            raise GitHubAnswerUnreadable(
                f"GitHub's answer to {call} is not as documented: {describe_mismatch(error)}. Check that NMDC_GITHUB_API "
                f"({self.api}) is a GitHub API."
            ) from None

    @property
    def _host(self) -> str:
        return urlsplit(self.api).netloc


def check_address(address: str, variable: str, *, carries_token: bool = True) -> str:
    """A service's base address without a slash at its end.

    Args:
        carries_token: whether a token is sent there; then it has to be encrypted.

    Raises:
        ServiceAddressInvalid: it is not an address, contains credentials, or would send a token unencrypted.
    """
    text = address.strip().rstrip("/")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("https", "http") or parts.query or parts.fragment:
        raise ServiceAddressInvalid(f'{variable} is not an address. An address looks like "https://api.github.com".')
    if parts.username is not None or parts.password is not None:
        raise ServiceAddressInvalid(
            f"{variable} contains a user name or password. Remove it; tokens have their own variables."
        )
    if carries_token and parts.scheme == "http" and host not in LOOPBACK:
        raise ServiceAddressInvalid(f"{variable} begins with http:, so a token would be sent unencrypted. Use https:.")
    return text


def limit_seconds(answer: Answer) -> float | None:
    """Seconds to wait before the request is allowed again; None if the answer is not a rate limit.

    One minute if the answer does not say when the limit ends, or gives an impossible time.
    """
    if answer.status not in (403, 429):
        return None
    retry_after, remaining = answer.headers.get("Retry-After"), answer.headers.get("X-RateLimit-Remaining")
    reset = answer.headers.get("X-RateLimit-Reset") if remaining == "0" else None
    asked = retry_after is not None or reset is not None
    is_limited = (
        asked or answer.status == 429 or re.search("secondary rate limit|abuse", error_message(answer), re.IGNORECASE)
    )
    if not is_limited:
        return None
    seconds = wait_seconds(retry_after, reset, moment_of(answer))
    return SECONDARY_LIMIT_SECONDS if seconds is None else seconds
