"""Whatever a service answers ends in an error of ours that says what happened, in bounded time, and the token stays here."""

import json
import random
import socket
import time
from contextlib import suppress

import pytest

from nmdc_release_ops.runtime.check import Outcome
from nmdc_release_ops.runtime.readiness import check_readiness
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops.services import transport
from nmdc_release_ops.services.errors import (
    GitHubAnswerUnreadable,
    GitHubRateLimited,
    GitHubUnreachable,
    RancherRefused,
    RancherUnreachable,
    ServiceError,
)
from nmdc_release_ops.services.github import GitHub
from nmdc_release_ops.services.rancher import Rancher
from nmdc_release_ops.services.repository import Repository
from nmdc_release_ops.services.transport import NoAnswer, Timeouts, Transport
from nmdc_release_ops.services.webhook import post_text
from nmdc_release_ops.services.workflows import Watching, follow, start
from nmdc_release_ops_tests.services.github_server import (
    SCHEMA,
    TOKEN,
    LoopbackGitHub,
)
from nmdc_release_ops_tests.services.loopback import (
    Misbehaviour,
    Response,
    breaks_off,
    goes_on_with,
    never_ends,
    sends,
    sends_rubbish,
    truncates,
)

QUICK = Timeouts(connect=2, read=1, answer=2, retries=1, backoff=0.01, limits=2, whole=6)
IMPATIENT = Timeouts(connect=2, read=1, answer=0.5, retries=1, backoff=0.01, limits=2, whole=6)
"""For answers that never end."""
HEAD = b"HTTP/1.1 200 OK\r\n"
FAR = "Fri, 31 Dec 9999 23:59:59 GMT"


@pytest.fixture
def github(github: LoopbackGitHub) -> LoopbackGitHub:
    github.repository(SCHEMA).publish("v11.25")
    return github


def client(github: LoopbackGitHub, timeouts: Timeouts = QUICK) -> Repository:
    return Repository(GitHub(github.api, TOKEN, timeouts), SCHEMA)


@pytest.mark.parametrize("status", [403, 429])
@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "999999999999"},
        {"Retry-After": "9" * 5_000},
        {"Retry-After": "-1"},
        {"Retry-After": "NaN"},
        {"Retry-After": "1e9"},
        {"Retry-After": ""},
        {"Retry-After": "\u00b2"},
        {"Retry-After": FAR},
        {"Retry-After": "Fri, 31 Dec 9999 23:59:59 -2400"},
        {"Retry-After": FAR, "Date": "Mon, 01 Jan 0100 00:00:00 +2359"},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "999999999999"},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "-5"},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "NaN"},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "9" * 300},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1800000000", "Date": "31 Dec 0001 00:00"},
    ],
)
def test_a_rate_limit_whose_end_cannot_be_is_an_error_that_says_when_to_try_again(
    github: LoopbackGitHub, status: int, headers: dict[str, str]
) -> None:
    github.fail("GET", "/releases", Response(status, {"message": "slow down"}, headers), times=9)
    started = time.monotonic()
    with pytest.raises(GitHubRateLimited, match=r"More requests are allowed at \d\d:\d\d:\d\d UTC, in \d{1,8} s"):
        client(github).releases()
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    "link",
    [
        "<http://[>; rel=next",
        "<http://[::1>; rel=next",
        "<http://127.0.0.1:99999999/>; rel=next",
        "<http://127.0.0.1:x/>; rel=next",
        "<//[/>; rel=next",
        "<http://evil.example/>; rel=next",
        "<http://127.0.0.1:{port}@127.0.0.1:9/>; rel=next",
        "<http://user@127.0.0.1:{port}/repos>; rel=next",
        "<http://127.0.0.1:{port}\\@127.0.0.1:9/>; rel=next",
        "<https://127.0.0.1:{port}/repos>; rel=next",
        "<ftp://127.0.0.1/>; rel=next",
        "<javascript:alert(1)>; rel=next",
        "<http://127.0.0.1:{port}/a/../../b>; rel=next",
        "<http://127.0.0.1:{port}/a/%2e%2e/b>; rel=next",
        "<http://127.0.0.1:{port}/\u00e4>; rel=next",
        "<http://127.0.0.1:{port}/" + "a" * 20_000 + ">; rel=next",
        # A circle, of one page.
        "<{api}/repos/" + SCHEMA + "/releases?per_page=100>; rel=next",
    ],
)
def test_a_next_page_that_cannot_be_or_is_elsewhere_is_not_asked(github: LoopbackGitHub, link: str) -> None:
    given_link = link.replace("{port}", github.url.rpartition(":")[2]).replace("{api}", github.api)
    github.fail("GET", "/releases", Response(200, [], {"Link": given_link}), times=99)
    with pytest.raises(GitHubAnswerUnreadable) as raised:
        client(github).releases()
    assert len(github.requests) == 1
    assert len(str(raised.value)) < 1_000


def test_pages_in_a_circle_are_left(github: LoopbackGitHub) -> None:
    releases = f"{github.api}/repos/{SCHEMA}/releases"
    for page in (2, 1, 2, 1, 2, 1):
        header = {"Link": f'<{releases}?page={page}>; rel="next"'}
        github.fail("GET", "/releases", Response(200, [], header))
    with pytest.raises(GitHubAnswerUnreadable, match="in a loop"):
        client(github).releases()
    assert len(github.requests) == 3


def test_pages_that_never_end_are_bounded_in_time(github: LoopbackGitHub) -> None:
    releases = f"{github.api}/repos/{SCHEMA}/releases"
    for page in range(2, 40):
        head = HEAD + f'Link: <{releases}?page={page}>; rel="next"\r\nContent-Length: 1000000\r\n\r\n'.encode()
        github.fail("GET", "/releases", goes_on_with(head + b"[]", b" "))
    started = time.monotonic()
    with pytest.raises(GitHubUnreachable):
        client(github, IMPATIENT).releases()
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("location", ["http://[", "//[", "\xff\xfe", "http://127.0.0.1:x/", "", "http://evil.example/"])
@pytest.mark.parametrize("status", [301, 302, 307, 308, 300])
def test_a_redirect_that_cannot_be_or_leads_elsewhere_is_not_followed(
    github: LoopbackGitHub, location: str, status: int
) -> None:
    github.fail("GET", "/releases", Response(status, None, {"Location": location}), times=99)
    with pytest.raises(GitHubAnswerUnreadable) as raised:
        client(github).releases()
    assert TOKEN not in str(raised.value)
    assert len(github.requests) <= 4


def test_the_body_of_a_redirect_is_not_read_to_its_end(github: LoopbackGitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LARGEST_ANSWER", 3_000_000)

    head = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 1000000000000\r\n\r\n"
    github.fail("GET", "/releases", goes_on_with(head, b"[" * 1_000_000, pause=0), times=9)
    with pytest.raises(GitHubAnswerUnreadable, match="longer than"):
        client(github, Timeouts(**{**QUICK.__dict__, "answer": 30, "whole": 60})).releases()


@pytest.mark.parametrize(
    ("content", "more"),
    [
        (b"", b"H"),
        (HEAD + b"X-Header: ", b"x"),
        (HEAD, b"X-Header: x\r\n"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n[\r\n0\r\n", b"Trailer: x\r\n"),
        (HEAD + b"\r\n", b" "),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
def test_an_answer_that_trickles_without_an_end_is_broken_off(
    github: LoopbackGitHub, content: bytes, more: bytes
) -> None:
    github.fail("GET", "/releases", goes_on_with(content, more), times=9)
    started = time.monotonic()
    with pytest.raises((GitHubUnreachable, GitHubAnswerUnreadable)):
        client(github, IMPATIENT).releases()
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/9.9 abc\r\n\r\n",
        b"HTTP/1.1 \r\n\r\n",
        b"HTTP/1.1 999 \xff\xfe\r\n\r\n",
        b"HTTP/1.1 -1 No\r\n\r\n",
        HEAD + b"Content-Length: -5\r\n\r\n[",
        HEAD + b"Content-Length: abc\r\n\r\n[",
        HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n[]",
        HEAD + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n[",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n[]\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n[]\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 70_000,
        HEAD + b"X: " + b"x" * 70_000 + b"\r\n\r\n[]",
        HEAD + b"".join(b"X%d: x\r\n" % number for number in range(200)) + b"\r\n[]",
        HEAD + b"Content-Encoding: \xff\r\n\r\n[]",
        HEAD + b"Content-Type: \xff; charset=\xff\r\n\r\n\xff\xfe\xfd",
        HEAD + b"Set-Cookie: a=b; expires=\xff; max-age=" + b"9" * 400 + b"\r\n\r\n{",
    ],
)
def test_an_answer_that_is_no_http_is_an_error_of_ours(github: LoopbackGitHub, content: bytes) -> None:
    github.fail("GET", "/releases", sends(content), times=9)
    with pytest.raises(ServiceError) as raised:
        client(github).releases()
    assert isinstance(raised.value, GitHubUnreachable | GitHubAnswerUnreadable)
    assert TOKEN not in str(raised.value)


@pytest.mark.parametrize(
    "body",
    [
        *(b"null", b"1", b"[null]", b'[{"id": 1e400}]', b"NaN", b"[NaN]", b'"\\ud800"', b"\xff\xfe[]", b"{" * 100_000),
        b'{"message": ' + b"[" * 900 + b"]" * 900 + b"}",
        b"[" + b"9" * 5_000 + b"]",
        json.dumps([{"tag_name": "v1", "id": 10**400}]).encode(),
        b'"' + b"x" * 9_000_000 + b'"',
    ],
)
@pytest.mark.parametrize("status", [200, 404, 422, 403])
def test_a_body_of_another_shape_is_an_error_of_ours(github: LoopbackGitHub, body: bytes, status: int) -> None:
    github.fail("GET", "/releases", Response(status, body), times=9)
    with pytest.raises(ServiceError) as raised:
        client(github).releases()
    assert len(str(raised.value)) < 1_500
    str(raised.value).encode()


def test_not_modified_that_was_not_asked_for_is_not_an_empty_list(github: LoopbackGitHub) -> None:
    github.fail("GET", "/releases", Response(304), times=9)
    with pytest.raises(GitHubAnswerUnreadable):
        client(github).releases()


@pytest.mark.parametrize("etag", ['"a\u00e4"', "x", '"' + "x" * 5_000 + '"', '"a"\r\n b', ""])
def test_an_etag_that_cannot_be_sent_back_is_not_kept(github: LoopbackGitHub, etag: str) -> None:
    head = HEAD + b"ETag: " + etag.encode("latin-1") + b"\r\nContent-Length: 2\r\n\r\n[]"
    github.fail("GET", "/releases", sends(head))
    listing = client(github).releases()
    assert listing is not None and listing.etag is None


HEADERS = ("Retry-After", "Link", "Location", "ETag", "Date", "X-RateLimit-Reset", "Content-Encoding", "Set-Cookie")
STATUSES = (200, 201, 204, 206, 300, 302, 304, 400, 401, 403, 404, 409, 418, 429, 451)
PIECES = (
    "<",
    ">",
    "http://",
    "[",
    "]",
    ":",
    "/",
    "@",
    "%",
    "a",
    "9",
    ";",
    "rel=next",
    "-",
    "Jan",
    " ",
    ",",
    "=",
    '"',
    "\xff",
)


@pytest.mark.parametrize("seed", range(6))
def test_no_answer_whatever_raises_anything_but_an_error_of_ours(github: LoopbackGitHub, seed: int) -> None:
    chance = random.Random(seed)
    timeouts = Timeouts(connect=1, read=1, answer=1, retries=0, backoff=0, limits=0, whole=2)
    for _ in range(40):
        value = "".join(chance.choices(PIECES, k=chance.randrange(15))).encode("latin-1")
        body = chance.choice([b"[]", b"{}", b"null", chance.randbytes(20)])
        head = (
            f"HTTP/1.1 {chance.choice(STATUSES)} X\r\nX-RateLimit-Remaining: 0\r\n{chance.choice(HEADERS)}: ".encode()
        )
        github.faults.clear()
        github.fail("GET", "/", sends(head + value + b"\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)), times=9)
        with suppress(ServiceError):
            client(github, timeouts).releases()


def test_a_service_behind_tls_that_never_shakes_hands_is_left() -> None:
    started = time.monotonic()
    timeouts = Timeouts(connect=30, read=30, answer=1, retries=0, whole=5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(NoAnswer, match="not complete after 1 s"):
            Transport(None, timeouts).send("GET", address, repeatable=False)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    "mood",
    [
        breaks_off,
        truncates,
        sends(b"\xff\r\n\r\n"),
        goes_on_with(HEAD + b"X: ", b"x"),
        never_ends,
        Response(302, None, {"Location": "http://["}),
        Response(418, b"\xff"),
    ],
)
def test_rancher_and_the_webhook_survive_the_same(github: LoopbackGitHub, mood: Misbehaviour | Response) -> None:
    github.fail("POST", "", mood, times=9)
    rancher = Rancher(github.url, "c-a:p-b", "nmdc", "a-token", QUICK)
    with pytest.raises((RancherUnreachable, RancherRefused)) as raised:
        rancher.redeploy("runtime-api")
    assert "a-token" not in str(raised.value)
    message = post_text(f"{github.url}/services/secret", "text", QUICK)
    assert message is not None and "secret" not in message


def test_a_file_of_empty_lines_is_searched_for_pins_at_once(github: LoopbackGitHub) -> None:
    repository = github.repository(SCHEMA)
    repository.files["uv.lock"] = "\n" * 300_000 + 'name = "nmdc-schema"\r\nversion = "11.25.0"\n'
    repository.run("tests.yml", repository.main)
    started = time.monotonic()
    checks = check_readiness(
        client(github), SchemaVersion.parse("11.25"), pin_files=["uv.lock"], tests="tests.yml", images="tests.yml"
    )
    assert [check.outcome for check in checks] == [Outcome.PASSED] * 3
    assert time.monotonic() - started < 10


def test_a_workflow_whose_dispatch_was_not_answered_is_looked_for_and_not_dispatched_again(
    github: LoopbackGitHub,
) -> None:
    repository = github.repository(SCHEMA)
    repository.workflows["deploy.yml"] = "success"
    github.fail("POST", "/dispatches", breaks_off)
    logged: list[str] = []
    watching = Watching(poll=0.05, appear=5, end=10)
    run = start(client(github), "deploy.yml", "main", {}, watching, logged.append)
    assert len(github.asked("POST", "/dispatches")) == 1
    github.fail("GET", "/actions/runs/", sends_rubbish)
    assert follow(client(github), run, "deploy.yml", watching, logged.append).succeeded
    assert logged[0].startswith("It is unknown whether deploy.yml of")
    assert "looking for its run" in logged[0]


def test_a_cookie_of_the_service_is_not_sent_back(github: LoopbackGitHub) -> None:
    github.fail("GET", "/releases", Response(500, None, {"Set-Cookie": "a=b"}))
    client(github).releases()
    assert "Cookie" not in github.requests[-1].headers
