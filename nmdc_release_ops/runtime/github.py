"""GitHub's REST API: one call at a time, its limits kept, its errors explained.

Follows version 2022-11-28 of GitHub's REST documentation (https://docs.github.com/en/rest?apiVersion=2022-11-28), which every
request asks for: "Best practices", "Rate limits", "Using pagination" and "Troubleshooting" there are the rules kept here.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlencode, urljoin, urlsplit

from pydantic import TypeAdapter, ValidationError
from requests.utils import parse_header_links

from nmdc_release_ops.runtime.errors import (
    GitHubAccessRefused,
    GitHubAnswerUnreadable,
    GitHubNotFound,
    GitHubRateLimited,
    GitHubRejected,
    GitHubUnreachable,
    ServiceAddressInvalid,
)
from nmdc_release_ops.runtime.transport import Answer, AnswerUnusable, NoAnswer, Patience, Transport

API_VERSION = "2022-11-28"
PER_PAGE = 100
MOST_PAGES = 20
_MOST_REDIRECTS = 3
_MOST_WAITS = 3
# "Otherwise, wait for at least one minute before retrying."
_SECONDARY_LIMIT_SECONDS = 60.0
_LONGEST_MESSAGE = 300
_JSON = "application/vnd.github+json"
_RAW = "application/vnd.github.raw+json"
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
Shape = TypeVar("Shape")


class GitHub:
    """A GitHub, reached by its REST API.

    Args:
        api: base address, "https://api.github.com" or that of an Enterprise server ("https://github.example.org/api/v3").
        token: sent with every call to `api`, and to nowhere else.
    """

    def __init__(self, api: str, token: str | None, patience: Patience | None = None) -> None:
        self.api = checked_address(api, "NMDC_GITHUB_API")
        self._has_token = bool(token)
        self._patience = patience or Patience()
        self._transport = Transport(token, self._patience)

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
        """A file's text, as it is."""
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
        """Page after page with the first one's ETag; no page where the first is what `etag` was given for.

        Args:
            most: pages that are asked for; what comes after is left.
        """
        url: str | None = self._url(path, {"per_page": PER_PAGE, **(query or {})})
        headers = {"If-None-Match": etag} if etag else {}
        for _ in range(most):
            if url is None:
                return
            answer = self._call("GET", url, headers=headers)
            if answer.status == 304:
                return
            yield self._read(f"GET {path}", answer, shape), answer.headers.get("ETag")
            url, headers = self._next_page(f"GET {path}", url, answer), {}

    def post(self, path: str, body: Any, shape: type[Shape] | None) -> tuple[Shape | None, datetime]:
        """Send `body`; return what came back (None where there is nothing to read) and GitHub's time.

        Never sent a second time where the answer was lost: whoever calls looks whether it was done.
        """
        answer = self._call("POST", self._url(path, None), body=body)
        read = None if shape is None else self._read(f"POST {path}", answer, shape)
        return read, _moment(answer)

    def _url(self, path: str, query: Mapping[str, str | int] | None) -> str:
        return f"{self.api}{path}" + (f"?{urlencode(query)}" if query else "")

    def _call(self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: Any = None) -> Answer:
        call = f"{method} {urlsplit(url).path.removeprefix(urlsplit(self.api).path)}"
        waits = 0
        while True:
            answer = self._exchange(call, method, url, headers or {}, body)
            limit = limit_seconds(answer)
            if limit is None:
                self._refuse_errors(call, answer)
                return answer
            if limit > self._patience.limits or waits == _MOST_WAITS:
                until = datetime.now(UTC) + timedelta(seconds=limit)
                raise GitHubRateLimited(
                    f"GitHub allows no more requests for now ({call}: {answer.status}{_said(answer)}). More are allowed at "
                    f"{until:%H:%M:%S} UTC, in {limit:.0f} s: try again then."
                    + ("" if self._has_token else " With GITHUB_TOKEN set, many more are allowed per hour.")
                )
            time.sleep(limit)
            waits += 1

    def _exchange(self, call: str, method: str, url: str, headers: Mapping[str, str], body: Any) -> Answer:
        for _ in range(_MOST_REDIRECTS + 1):
            try:
                answer = self._transport.send(
                    method,
                    url,
                    headers={"Accept": _JSON, "X-GitHub-Api-Version": API_VERSION, **headers},
                    body=body,
                    repeatable=method == "GET",
                )
            except NoAnswer as error:
                raise GitHubUnreachable(
                    f"GitHub ({self._host}) did not answer {call}: {error}. Check NMDC_GITHUB_API and the network, and try again."
                ) from None
            except AnswerUnusable as error:
                raise GitHubAnswerUnreadable(f"GitHub's answer to {call} cannot be used: {error}.") from None
            if not answer.is_redirect:
                return answer
            url = self._redirected(call, method, url, answer)
        raise GitHubAnswerUnreadable(f"GitHub sends {call} from one address to the next, without an end.")

    def _redirected(self, call: str, method: str, url: str, answer: Answer) -> str:
        target = urljoin(url, answer.headers.get("Location", ""))
        shown = _printable(target.partition("?")[0])
        if method != "GET":
            raise GitHubRejected(
                f"GitHub says that {call} has moved to {shown}, and what writes is not sent on. Correct the repository's name."
            )
        if not self._is_ours(target):
            raise GitHubAnswerUnreadable(
                f"GitHub sends {call} on to {shown}, which is not {self.api}; it was not followed, so that the token goes "
                "nowhere else. Check NMDC_GITHUB_API and the repository's name."
            )
        return target

    def _next_page(self, call: str, url: str, answer: Answer) -> str | None:
        links = parse_header_links(answer.headers.get("Link", "")) if answer.headers.get("Link") else []
        target = next((link.get("url", "") for link in links if link.get("rel") == "next"), None)
        if target is None:
            return None
        target = urljoin(url, target)
        if not self._is_ours(target):
            raise GitHubAnswerUnreadable(
                f"The next page of {call} is said to be at {_printable(target)}, which is not {self.api}; it was not asked."
            )
        return target

    def _is_ours(self, url: str) -> bool:
        try:
            given, ours = urlsplit(url), urlsplit(self.api)
            same_place = (given.scheme, given.hostname, given.port) == (ours.scheme, ours.hostname, ours.port)
        except ValueError:
            return False
        return same_place and given.username is None and f"{given.path}/".startswith(f"{ours.path}/")

    def _refuse_errors(self, call: str, answer: Answer) -> None:
        if answer.status < 400:
            return
        said = f"GitHub answered {call} with {answer.status}{_said(answer)}."
        if answer.is_server_error:
            raise GitHubUnreachable(f"{said} It has a problem of its own; try again later.")
        if answer.status == 401:
            raise GitHubAccessRefused(f"{said} GITHUB_TOKEN is wrong, revoked or expired: set a valid one.")
        if answer.status == 403:
            raise GitHubAccessRefused(f"{said} {self._what_the_token_lacks(answer)}")
        if answer.status == 404:
            hidden = "GITHUB_TOKEN may not see it" if self._has_token else "it is private and GITHUB_TOKEN is not set"
            raise GitHubNotFound(f"{said} There is no such thing, or {hidden}. Check the name's spelling.")
        raise GitHubRejected(said, _codes(answer))

    def _what_the_token_lacks(self, answer: Answer) -> str:
        if not self._has_token:
            return "It needs a token: set GITHUB_TOKEN."
        needed = answer.headers.get("X-Accepted-GitHub-Permissions") or answer.headers.get("X-Accepted-OAuth-Scopes")
        has = answer.headers.get("X-OAuth-Scopes")
        return (
            "GITHUB_TOKEN does not allow that"
            + (f"; it takes: {_printable(needed)}" if needed else "")
            + (f"; the token has: {_printable(has)}" if has else "")
            + ". Which permissions are needed is in docs/automation.md."
        )

    def _read(self, call: str, answer: Answer, shape: type[Shape]) -> Shape:
        try:
            given = json.loads(answer.body)
        except (ValueError, RecursionError):
            raise GitHubAnswerUnreadable(
                f"GitHub's answer to {call} ({answer.status}) is no JSON. Is NMDC_GITHUB_API ({self.api}) a GitHub?"
            ) from None
        try:
            return TypeAdapter(shape).validate_python(given)
        except ValidationError as error:
            raise GitHubAnswerUnreadable(
                f"GitHub's answer to {call} is not as documented: {_faults(error)}. Is NMDC_GITHUB_API ({self.api}) a GitHub?"
            ) from None

    @property
    def _host(self) -> str:
        return urlsplit(self.api).netloc


def checked_address(address: str, variable: str) -> str:
    """A service's base address without a slash at its end.

    Raises:
        ServiceAddressInvalid: it is none, holds credentials, or would send a token over the network in the clear.
    """
    text = address.strip().rstrip("/")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("https", "http") or parts.query or parts.fragment:
        raise ServiceAddressInvalid(f'{variable} is no address. It looks like "https://api.github.com".')
    if parts.username is not None or parts.password is not None:
        raise ServiceAddressInvalid(
            f"{variable} holds a user name or password. Remove it; tokens have variables of their own."
        )
    if parts.scheme == "http" and host not in LOOPBACK:
        raise ServiceAddressInvalid(
            f"{variable} begins with http:, so that a token could be read on the way. Use https:."
        )
    return text


def limit_seconds(answer: Answer) -> float | None:
    """How long to wait before the request may be made again; None where it met no rate limit."""
    if answer.status not in (403, 429):
        return None
    retry_after = _retry_after(answer)
    if retry_after is not None:
        return retry_after
    if answer.headers.get("X-RateLimit-Remaining") == "0":
        reset = _number(answer.headers.get("X-RateLimit-Reset"))
        if reset is not None:
            return max(reset - _moment(answer).timestamp(), 0.0) + 1
    secondary = answer.status == 429 or re.search("secondary rate limit|abuse", _said(answer), re.IGNORECASE)
    return _SECONDARY_LIMIT_SECONDS if secondary else None


def _retry_after(answer: Answer) -> float | None:
    text = answer.headers.get("Retry-After")
    if text is None:
        return None
    seconds = _number(text)
    if seconds is not None:
        return seconds
    try:
        return max((parsedate_to_datetime(text) - _moment(answer)).total_seconds(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return _SECONDARY_LIMIT_SECONDS


def _number(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"[0-9]{1,12}", text.strip(), re.ASCII) else None


def _moment(answer: Answer) -> datetime:
    """When it was sent, by the service's clock: ours may go wrong."""
    try:
        return parsedate_to_datetime(answer.headers.get("Date", "")).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return datetime.now(UTC)


def _said(answer: Answer) -> str:
    """GitHub's own words, ": Not Found" or nothing."""
    given = _document(answer)
    message = given.get("message")
    words = [message] if isinstance(message, str) else []
    for error in given.get("errors") or [] if isinstance(given.get("errors"), list) else []:
        if isinstance(error, Mapping):
            words.append(" ".join(str(error[key]) for key in ("field", "code", "message") if error.get(key)))
        elif isinstance(error, str):
            words.append(error)
    text = _printable("; ".join(words))
    return f": {text}" if text else ""


def _codes(answer: Answer) -> frozenset[str]:
    errors = _document(answer).get("errors")
    if not isinstance(errors, list):
        return frozenset()
    return frozenset(str(error.get("code")) for error in errors if isinstance(error, Mapping))


def _document(answer: Answer) -> dict[str, Any]:
    try:
        given = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return given if isinstance(given, dict) else {}


def _faults(error: ValidationError) -> str:
    """The first faults, by the field's place: "0.tag_name: Field required"."""
    found = error.errors(include_url=False, include_input=False)
    named = [f"{'.'.join(str(part) for part in one['loc']) or 'the whole'}: {one['msg']}" for one in found[:5]]
    return _printable("; ".join(named))


def _printable(text: str) -> str:
    shown = "".join(character if character.isprintable() else " " for character in text)
    return shown if len(shown) <= _LONGEST_MESSAGE else shown[:_LONGEST_MESSAGE] + "..."
