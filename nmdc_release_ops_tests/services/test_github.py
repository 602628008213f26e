"""The client keeps GitHub's rules, survives its moods, and says what came back and what it means."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nmdc_release_ops.services import transport
from nmdc_release_ops.services.errors import (
    GitHubAccessRefused,
    GitHubAnswerUnreadable,
    GitHubNotFound,
    GitHubRateLimited,
    GitHubRejected,
    GitHubUnreachable,
    ServiceAddressInvalid,
    ServiceError,
)
from nmdc_release_ops.services.github import GitHub
from nmdc_release_ops.services.repository import Repository
from nmdc_release_ops.services.transport import Timeouts
from nmdc_release_ops_tests.services.github_server import (
    SCHEMA,
    TOKEN,
    LoopbackGitHub,
    LoopbackRepository,
    loopback_github,
)
from nmdc_release_ops_tests.services.loopback import (
    Misbehaviour,
    Response,
    breaks_off,
    in_chunks,
    in_chunks_that_end_early,
    never_ends,
    says_nothing,
    sends_rubbish,
    trickles,
    truncates,
)

QUICK = Timeouts(connect=2, read=1, answer=3, retries=2, backoff=0.01, limits=3)


@pytest.fixture
def schema(github: LoopbackGitHub) -> LoopbackRepository:
    found = github.repository(SCHEMA)
    found.publish("v11.24.0")
    found.publish("v11.25")
    return found


def client(github: LoopbackGitHub, token: str | None = TOKEN, name: str = SCHEMA, **timeouts: float) -> Repository:
    return Repository(GitHub(github.api, token, Timeouts(**{**QUICK.__dict__, **timeouts})), name)


def tags(repository: Repository) -> list[str]:
    listing = repository.releases()
    assert listing is not None
    return [release.tag_name for release in listing.releases]


def test_releases_are_listed_with_the_headers_that_github_asks_for(
    github: LoopbackGitHub, schema: LoopbackRepository
) -> None:
    assert tags(client(github)) == ["v11.25", "v11.24.0"]
    (request,) = github.requests
    assert request.headers["X-GitHub-Api-Version"] == "2022-11-28"
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"


def test_without_a_token_none_is_sent_not_even_one_of_netrc(
    github: LoopbackGitHub, schema: LoopbackRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert tags(client(github, token=None)) == ["v11.25", "v11.24.0"]
    assert "Authorization" not in github.requests[0].headers


def test_an_answer_in_chunks_is_read(github: LoopbackGitHub, schema: LoopbackRepository) -> None:
    github.fail("GET", "/releases", in_chunks)
    assert tags(client(github)) == ["v11.25", "v11.24.0"]


def test_an_enterprise_server_is_reached_below_its_path() -> None:
    with loopback_github("/api/v3") as github:
        repository = github.repository(SCHEMA)
        for number in range(150):
            repository.publish(f"v1.{number}.0")
        assert len(tags(client(github))) == 150
        assert {request.path for request in github.requests} == {f"/api/v3/repos/{SCHEMA}/releases"}


def test_every_page_is_read(github: LoopbackGitHub, schema: LoopbackRepository) -> None:
    for number in range(250):
        schema.publish(f"v12.{number}.0")
    assert len(set(tags(client(github)))) == 252
    assert [request.query.get("page") for request in github.requests] == [None, "2", "3"]


def test_what_has_not_changed_is_not_sent_again(github: LoopbackGitHub, schema: LoopbackRepository) -> None:
    repository = client(github)
    first = repository.releases()
    assert first is not None and first.etag
    spent = github.remaining
    assert repository.releases(first.etag) is None
    assert github.remaining == spent
    schema.publish("v11.26.0")
    again = repository.releases(first.etag)
    assert again is not None and again.releases[0].tag_name == "v11.26.0"


@pytest.mark.parametrize(
    "misbehave",
    [breaks_off, truncates, in_chunks_that_end_early, says_nothing, Response(500), Response(503, {"message": "x"})],
)
def test_a_call_that_may_be_repeated_is(
    github: LoopbackGitHub, schema: LoopbackRepository, misbehave: Misbehaviour | Response
) -> None:
    github.fail("GET", "/releases", misbehave, times=2)
    assert tags(client(github)) == ["v11.25", "v11.24.0"]
    assert len(github.requests) == 3


@pytest.mark.parametrize("misbehave", [breaks_off, truncates, Response(500)])
def test_a_call_that_writes_is_never_repeated(
    github: LoopbackGitHub, schema: LoopbackRepository, misbehave: Misbehaviour | Response
) -> None:
    github.fail("POST", "/releases", misbehave, times=9)
    with pytest.raises(GitHubUnreachable):
        client(github).create_release(tag="v2.0.0", commit=schema.main, title="", body="", prerelease=False)
    assert len(github.requests) == 1


@pytest.mark.parametrize(
    ("misbehave", "kind", "says"),
    [
        (breaks_off, GitHubUnreachable, "was closed"),
        (truncates, GitHubUnreachable, "was closed"),
        (says_nothing, GitHubUnreachable, "no data arrived within 1 s"),
        (trickles, GitHubUnreachable, "not complete after 3 s"),
        (Response(502, b"<html>"), GitHubUnreachable, "with 502. The problem is on GitHub's side"),
        (sends_rubbish, GitHubAnswerUnreadable, "not JSON"),
        (Response(200, b"["), GitHubAnswerUnreadable, "not JSON"),
        (Response(200, b"[" * 100_000), GitHubAnswerUnreadable, "not JSON"),
        (Response(200, {"message": "moved"}), GitHubAnswerUnreadable, "valid list"),
        (Response(200, [{"tag_name": "v1"}]), GitHubAnswerUnreadable, "0.id: Field required; 0.draft: Field required"),
        (Response(200, b"[]", {"Content-Encoding": "gzip"}), GitHubAnswerUnreadable, "compressed"),
        (Response(401, {"message": "Bad credentials"}), GitHubAccessRefused, "GITHUB_TOKEN is wrong"),
        (
            Response(403, {"message": "Resource not accessible"}, {"X-Accepted-GitHub-Permissions": "contents=read"}),
            GitHubAccessRefused,
            "required: contents=read",
        ),
        (Response(404, {"message": "Not Found"}), GitHubNotFound, "GITHUB_TOKEN has no access to it"),
        (Response(422, {"message": "Validation Failed"}), GitHubRejected, "422: Validation Failed"),
        (
            Response(301, None, {"Location": "http://127.0.0.1:9/elsewhere?x=1"}),
            GitHubAnswerUnreadable,
            "was not followed",
        ),
        (Response(302, None, {"Location": ""}), GitHubAnswerUnreadable, "in an endless loop"),
        (
            Response(200, [], {"Link": '<http://127.0.0.1:9/p2>; rel="next"'}),
            GitHubAnswerUnreadable,
            "It was not requested",
        ),
    ],
)
def test_every_failure_names_the_call_and_what_it_means(
    github: LoopbackGitHub,
    schema: LoopbackRepository,
    misbehave: Misbehaviour | Response,
    kind: type[ServiceError],
    says: str,
) -> None:
    github.fail("GET", "/releases", misbehave, times=9)
    with pytest.raises(kind) as raised:
        client(github).releases()
    assert type(raised.value) is kind
    assert says in str(raised.value)
    assert f"GET /repos/{SCHEMA}/releases" in str(raised.value)
    assert TOKEN not in str(raised.value)


def test_a_huge_answer_is_not_read_to_its_end(
    github: LoopbackGitHub, schema: LoopbackRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "LARGEST_ANSWER", 3_000_000)
    github.fail("GET", "/releases", never_ends)
    with pytest.raises(GitHubAnswerUnreadable, match="longer than 3,000,000 bytes"):
        client(github, answer=60, read=20).releases()


def test_a_repository_that_was_renamed_is_followed_on_the_same_server_only(
    github: LoopbackGitHub, schema: LoopbackRepository
) -> None:
    github.fail("GET", "/repos/old/name", Response(301, None, {"Location": f"{github.api}/repos/{SCHEMA}/releases"}))
    assert tags(client(github, name="old/name")) == ["v11.25", "v11.24.0"]
    with loopback_github() as elsewhere:
        elsewhere.repository(SCHEMA).publish("v99.0.0")
        github.fail("GET", "/releases", Response(302, None, {"Location": f"{elsewhere.api}/repos/{SCHEMA}/releases"}))
        with pytest.raises(GitHubAnswerUnreadable, match="the token was not sent there"):
            client(github).releases()
        assert elsewhere.requests == []


def test_what_writes_is_not_sent_on_to_another_address(github: LoopbackGitHub, schema: LoopbackRepository) -> None:
    github.fail("POST", "/releases", Response(307, None, {"Location": f"{github.api}/repos/{SCHEMA}/releases"}))
    with pytest.raises(GitHubRejected, match="is not redirected"):
        client(github).create_release(tag="v2.0.0", commit=schema.main, title="", body="", prerelease=False)
    assert len(github.requests) == 1


@pytest.mark.parametrize(
    "limited",
    [
        Response(429, {"message": "slow down"}, {"Retry-After": "1"}),
        Response(403, {"message": "You have exceeded a secondary rate limit"}, {"Retry-After": "1"}),
        Response(403, {"message": "API rate limit exceeded"}, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}),
    ],
)
def test_a_short_rate_limit_is_waited_for_also_by_what_writes(
    github: LoopbackGitHub, schema: LoopbackRepository, limited: Response
) -> None:
    github.fail("POST", "/releases", limited)
    release = client(github).create_release(tag="v2.0.0", commit=schema.main, title="", body="", prerelease=False)
    assert release.tag_name == "v2.0.0"
    assert len(github.requests) == 2


@pytest.mark.parametrize(
    ("limited", "seconds"),
    [
        (lambda: Response(429, {"message": "slow down"}, {"Retry-After": "900"}), 900),
        (lambda: Response(403, {"message": "You have exceeded a secondary rate limit. Please wait"}), 60),
        (
            lambda: Response(
                403,
                {"message": "API rate limit exceeded"},
                {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 1_800)},
            ),
            1_800,
        ),
    ],
)
def test_a_long_rate_limit_is_an_error_that_says_when_it_ends(
    github: LoopbackGitHub, schema: LoopbackRepository, limited: Callable[[], Response], seconds: int
) -> None:
    github.fail("GET", "/releases", limited())
    with pytest.raises(
        GitHubRateLimited, match=r"More requests are allowed at \d\d:\d\d:\d\d UTC, in (\d+) s"
    ) as raised:
        client(github).releases()
    wait = int(str(raised.value).partition(", in ")[2].partition(" s")[0])
    assert seconds - 30 <= wait <= seconds + 1
    assert len(github.requests) == 1


def test_a_rate_limit_without_an_end_is_an_error(github: LoopbackGitHub, schema: LoopbackRepository) -> None:
    github.fail("GET", "/releases", Response(429, {"message": "slow down"}, {"Retry-After": "0"}), times=99)
    with pytest.raises(GitHubRateLimited):
        client(github).releases()
    assert len(github.requests) == 4


def test_a_tag_that_exists_is_told_from_other_refusals(github: LoopbackGitHub, schema: LoopbackRepository) -> None:
    with pytest.raises(GitHubRejected) as raised:
        client(github).create_release(tag="v11.25", commit=schema.main, title="", body="", prerelease=False)
    assert raised.value.codes == {"already_exists"}
    assert "tag_name already_exists" in str(raised.value)


def test_a_token_that_is_refused_is_named(github: LoopbackGitHub, schema: LoopbackRepository) -> None:
    with pytest.raises(GitHubAccessRefused, match=r"401: Bad credentials\. GITHUB_TOKEN is wrong, revoked or expired"):
        client(github, token="another-token").releases()


@pytest.mark.parametrize("token", ["a\nb", "a\u2019b", "\u200b"])
def test_a_token_that_cannot_be_sent_is_an_error_that_does_not_show_it(github: LoopbackGitHub, token: str) -> None:
    with pytest.raises(GitHubUnreachable, match="the token contains characters that cannot be sent") as raised:
        client(github, token=token, retries=0).releases()
    assert token not in str(raised.value)
    assert github.requests == []


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(GitHubUnreachable, match=r"127\.0\.0\.1:9\) did not answer GET"):
        Repository(GitHub("http://127.0.0.1:9", TOKEN, QUICK), SCHEMA).releases()


@pytest.mark.parametrize(
    "address",
    [
        "",
        "github",
        "ftp://github.com",
        "http://api.github.com",
        "https://user:secret@github.com",
        "https://[",
        "https://h/?x",
    ],
)
def test_an_address_that_cannot_be_one_or_gives_the_token_away_is_refused(address: str) -> None:
    with pytest.raises(ServiceAddressInvalid) as raised:
        GitHub(address, TOKEN)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "name", ["", "nmdc-schema", "a/b/c", "../..", "a/..", "a b/c", "-a/b", "a/b?c", "a/" + "b" * 200]
)
def test_a_repository_that_cannot_be_one_is_refused(github: LoopbackGitHub, name: str) -> None:
    with pytest.raises(ServiceAddressInvalid):
        client(github, name=name)


def test_tags_and_commits_are_looked_up(github: LoopbackGitHub, schema: LoopbackRepository) -> None:
    second = schema.commit("A change\n\nand why")
    repository = client(github)
    assert repository.tag_exists("v11.25") and not repository.tag_exists("v11.26")
    assert not repository.tag_exists("../../releases")
    release = repository.release_of("v11.25")
    assert release is not None and release.tag_name == "v11.25"
    assert repository.release_of("v0/../x") is None
    assert repository.commit("main").sha == second
    comparison = repository.compare("v11.25", "main")
    assert (comparison.status, comparison.total) == ("ahead", 1)
    assert comparison.commits[0].subject == "A change"


def test_no_more_commits_are_read_than_are_shown(github: LoopbackGitHub, schema: LoopbackRepository) -> None:
    for number in range(420):
        schema.commit(f"Change {number}")
    comparison = client(github).compare("v11.25", "main")
    assert (comparison.total, len(comparison.commits)) == (420, 250)
    assert len(github.requests) == 3


def test_a_file_is_read_as_it_is(github: LoopbackGitHub, schema: LoopbackRepository) -> None:
    schema.files["requirements/main.txt"] = "nmdc-schema==11.25.0\n"
    repository = client(github)
    assert repository.file("requirements/main.txt", "main") == "nmdc-schema==11.25.0\n"
    assert repository.file("uv.lock", "main") is None
