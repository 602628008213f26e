"""A GitHub on the loopback address: the part of its REST API (documentation of version 2022-11-28) that the project uses,
over a small state in memory. Strict about methods, headers and bodies.
"""

import hashlib
import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlencode

from nmdc_release_ops_tests.services.loopback import LoopbackServer, Refused, Request, Response

TOKEN = "a-token-of-the-loopback-github"
LOGIN = "release-operator"
SCHEMA = "microbiomedata/nmdc-schema"
RUNTIME = "microbiomedata/nmdc-runtime"
RELEASE_FIELDS = {
    *("tag_name", "target_commitish", "name", "body", "draft", "prerelease", "generate_release_notes", "make_latest"),
}
_numbers = itertools.count(1_000)


def moment() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


@dataclass
class LoopbackRepository:
    """A repository's state.

    Attributes:
        commits: SHA -> message, oldest first.
        triggered: workflows that a new release starts, and how their runs end.
        looks: how often a run is looked at before it has gone on: queued, in progress, completed.
        hidden: for how many listings a dispatched run does not show.
    """

    name: str
    releases: list[dict[str, Any]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    workflows: dict[str, str] = field(default_factory=dict)
    triggered: tuple[str, ...] = ()
    looks: int = 1
    hidden: int = 1

    def commit(self, message: str) -> str:
        """A new commit on main."""
        sha = hashlib.sha1(f"{self.name} {len(self.commits)} {message}".encode()).hexdigest()  # noqa: S324
        self.commits[sha] = message
        return sha

    @property
    def main(self) -> str:
        return list(self.commits)[-1]

    def publish(self, tag: str, **fields: Any) -> dict[str, Any]:
        """A release, with its tag at the newest commit."""
        if not self.commits:
            self.commit("The first one")
        number = next(_numbers)
        release = {
            "id": number,
            "tag_name": tag,
            "name": tag,
            "body": "",
            "draft": False,
            "prerelease": False,
            "target_commitish": "main",
            "created_at": moment(),
            "published_at": moment(),
            "html_url": f"https://github.example.org/{self.name}/releases/tag/{tag}",
            "author": {"login": "somebody"},
            "assets": [],
            **fields,
        }
        if release["draft"]:
            release["published_at"] = None
        else:
            self.tags.setdefault(tag, self.main)
        self.releases.insert(0, release)
        return release

    def run(
        self, workflow: str, sha: str, *, event: str = "push", branch: str = "main", **fields: Any
    ) -> dict[str, Any]:
        """A run of a workflow, completed with success unless `fields` say otherwise."""
        number = next(_numbers)
        self.workflows.setdefault(workflow, "success")
        run = {
            "id": number,
            "name": workflow,
            "path": f".github/workflows/{workflow}",
            "status": "completed",
            "conclusion": "success",
            "event": event,
            "head_branch": branch,
            "head_sha": sha,
            "html_url": f"https://github.example.org/{self.name}/actions/runs/{number}",
            "created_at": moment(),
            "run_attempt": 1,
            "actor": {"login": LOGIN},
            "_ends": "success",
            "_looks": 0,
            "_hidden": 0,
            **fields,
        }
        self.runs.insert(0, run)
        return run

    def start(self, workflow: str, sha: str, event: str, branch: str, hidden: int) -> dict[str, Any]:
        """A run that is queued, and goes on as it is looked at."""
        ends = self.workflows.get(workflow, "success")
        return self.run(
            workflow, sha, event=event, branch=branch, status="queued", conclusion=None, _ends=ends, _hidden=hidden
        )

    def look(self, run: dict[str, Any]) -> dict[str, Any]:
        """The run as it is shown; each so many looks it goes on."""
        if run["status"] != "completed":
            run["_looks"] += 1
            if run["_looks"] > self.looks:
                run["_looks"] = 0
                done = run["status"] == "in_progress"
                run.update(status="completed" if done else "in_progress", conclusion=run["_ends"] if done else None)
        return {key: value for key, value in run.items() if not key.startswith("_")}


class LoopbackGitHub(LoopbackServer):
    """The service.

    Args:
        prefix: of every path, "/api/v3" for an Enterprise server.
    """

    def __init__(self, prefix: str = "") -> None:
        super().__init__()
        self.prefix = prefix
        self.repositories: dict[str, LoopbackRepository] = {}
        self.remaining = 5_000

    @property
    def api(self) -> str:
        return self.url + self.prefix

    def repository(self, name: str) -> LoopbackRepository:
        return self.repositories.setdefault(name, LoopbackRepository(name))

    def answer(self, request: Request) -> Response:
        try:
            response = self._answer(request)
        except Refused as refused:
            response = refused.response
        if request.method == "GET" and response.status == 200:
            response.headers["ETag"] = f'W/"{hashlib.sha256(response.encoded()).hexdigest()}"'
            if request.headers.get("If-None-Match") == response.headers["ETag"]:
                response = Response(304, headers={"ETag": response.headers["ETag"]})
        if response.status != 304:
            self.remaining -= 1
        response.headers |= {
            "Content-Type": "application/json; charset=utf-8",
            "X-RateLimit-Limit": "5000",
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(int(time.time()) + 3600),
            "X-GitHub-Api-Version-Selected": "2022-11-28",
        }
        return response

    def _answer(self, request: Request) -> Response:
        if not request.headers.get("User-Agent"):
            raise refusal(
                403, "Request forbidden by administrative rules. Please make sure your request has a User-Agent header"
            )
        if request.headers.get("X-GitHub-Api-Version") != "2022-11-28":
            raise refusal(400, "Unsupported API version")
        accept = request.headers.get("Accept", "")
        if not accept.startswith("application/vnd.github"):
            raise refusal(415, "Must accept 'application/vnd.github+json'")
        authorization = request.headers.get("Authorization")
        if authorization not in (None, f"Bearer {TOKEN}"):
            raise refusal(401, "Bad credentials")
        if not request.path.startswith(self.prefix + "/"):
            raise refusal(404, "Not Found")
        path = request.path.removeprefix(self.prefix)
        if path == "/user" and request.method == "GET":
            if authorization is None:
                raise refusal(401, "Requires authentication")
            return Response(200, {"login": LOGIN, "id": 1})
        found = re.match(r"/repos/([^/]+/[^/]+)(/.*|$)", path)
        if not found or found[1] not in self.repositories:
            raise refusal(404, "Not Found")
        return self._of_repository(self.repositories[found[1]], found[2], request, authorization is not None)

    def _of_repository(self, repository: LoopbackRepository, path: str, request: Request, known: bool) -> Response:
        for method, pattern, handle in self._routes():
            matched = re.fullmatch(pattern, path)
            if matched and method == request.method:
                if method == "POST" and not known:
                    raise refusal(401, "Requires authentication")
                return handle(repository, request, *(unquote(part) for part in matched.groups()))
        raise refusal(404, "Not Found")

    def _routes(self) -> list[tuple[str, str, Callable[..., Response]]]:
        return [
            ("GET", "", lambda repository, _: Response(200, {"full_name": repository.name, "default_branch": "main"})),
            ("GET", "/releases", self._releases),
            ("POST", "/releases", self._create_release),
            ("GET", "/releases/tags/([^/]+)", self._release_of_tag),
            ("GET", "/git/ref/tags/([^/]+)", self._tag),
            ("GET", "/commits/([^/]+)", self._commit),
            ("GET", r"/compare/([^/]+)\.\.\.([^/]+)", self._compare),
            ("GET", "/contents/(.+)", self._contents),
            ("GET", "/actions/workflows/([^/]+)/runs", self._workflow_runs),
            ("GET", "/actions/runs/([0-9]+)", self._workflow_run),
            ("POST", "/actions/workflows/([^/]+)/dispatches", self._dispatch),
        ]

    def _releases(self, repository: LoopbackRepository, request: Request) -> Response:
        return self._page(request, repository.releases, lambda some: some)

    def _release_of_tag(self, repository: LoopbackRepository, _: Request, tag: str) -> Response:
        for release in repository.releases:
            if release["tag_name"] == tag and not release["draft"]:
                return Response(200, release)
        raise refusal(404, "Not Found")

    def _create_release(self, repository: LoopbackRepository, request: Request) -> Response:
        body = request.body
        if not isinstance(body, dict) or not isinstance(body.get("tag_name"), str) or set(body) - RELEASE_FIELDS:
            raise refusal(422, "Invalid request", [{"resource": "Release", "code": "invalid", "field": "tag_name"}])
        tag = body["tag_name"]
        if any(release["tag_name"] == tag for release in repository.releases):
            raise refusal(
                422, "Validation Failed", [{"resource": "Release", "code": "already_exists", "field": "tag_name"}]
            )
        sha = self._resolve(repository, body.get("target_commitish") or "main")
        if sha is None:
            raise refusal(
                422, "Validation Failed", [{"resource": "Release", "code": "invalid", "field": "target_commitish"}]
            )
        repository.tags.setdefault(tag, sha)
        notes = "\n\n**Full Changelog**" if body.get("generate_release_notes") else ""
        fields = {key: body[key] for key in ("name", "draft", "prerelease", "target_commitish") if key in body}
        release = repository.publish(tag, **fields, body=f"{body.get('body') or ''}{notes}")
        for workflow in repository.triggered:
            repository.start(workflow, sha, "release", tag, 0)
        return Response(201, release)

    def _tag(self, repository: LoopbackRepository, _: Request, tag: str) -> Response:
        if tag not in repository.tags:
            raise refusal(404, "Not Found")
        return Response(200, {"ref": f"refs/tags/{tag}", "object": {"type": "commit", "sha": repository.tags[tag]}})

    def _commit(self, repository: LoopbackRepository, _: Request, ref: str) -> Response:
        sha = self._resolve(repository, ref)
        if sha is None:
            raise refusal(422, f"No commit found for SHA: {ref}")
        return Response(200, self._shown_commit(repository, sha))

    def _compare(self, repository: LoopbackRepository, request: Request, base: str, head: str) -> Response:
        first, last = self._resolve(repository, base), self._resolve(repository, head)
        if first is None or last is None:
            raise refusal(404, "Not Found")
        order = list(repository.commits)
        between = order[order.index(first) + 1 : order.index(last) + 1]
        status = "identical" if first == last else "ahead" if between else "behind"
        commits = [self._shown_commit(repository, sha) for sha in between]
        return self._page(
            request, commits, lambda some: {"status": status, "total_commits": len(commits), "commits": some}
        )

    def _contents(self, repository: LoopbackRepository, request: Request, path: str) -> Response:
        if path not in repository.files:
            raise refusal(404, "Not Found")
        if request.headers.get("Accept") != "application/vnd.github.raw+json":
            raise refusal(415, "only raw contents here")
        return Response(200, repository.files[path].encode())

    def _workflow_runs(self, repository: LoopbackRepository, request: Request, workflow: str) -> Response:
        if workflow not in repository.workflows:
            raise refusal(404, "Not Found")
        fits = {"head_sha": "head_sha", "branch": "head_branch", "event": "event"}
        unknown = set(request.query) - set(fits) - {"per_page", "page", "actor", "created"}
        if unknown:
            raise refusal(422, f"unknown: {unknown}")
        shown = []
        for run in repository.runs:
            if run["name"] != workflow or any(
                run[own] != request.query.get(name, run[own]) for name, own in fits.items()
            ):
                continue
            if run["actor"]["login"] != request.query.get("actor", run["actor"]["login"]):
                continue
            created = request.query.get("created", "")
            if created.startswith(">=") and run["created_at"] < created[2:]:
                continue
            if run["_hidden"]:
                run["_hidden"] -= 1
                continue
            shown.append(repository.look(run))
        return self._page(request, shown, lambda some: {"total_count": len(shown), "workflow_runs": some})

    def _workflow_run(self, repository: LoopbackRepository, _: Request, identifier: str) -> Response:
        for run in repository.runs:
            if run["id"] == int(identifier):
                return Response(200, repository.look(run))
        raise refusal(404, "Not Found")

    def _dispatch(self, repository: LoopbackRepository, request: Request, workflow: str) -> Response:
        body = request.body
        if workflow not in repository.workflows:
            raise refusal(404, "Not Found")
        if not isinstance(body, dict) or set(body) - {"ref", "inputs"} or not isinstance(body.get("ref"), str):
            raise refusal(422, "Invalid request")
        sha = self._resolve(repository, body["ref"])
        if sha is None or body["ref"] in repository.commits:
            raise refusal(422, f"No ref found for: {body['ref']}")
        run = repository.start(workflow, sha, "workflow_dispatch", body["ref"], repository.hidden)
        run["_inputs"] = body.get("inputs")
        return Response(204)

    def _resolve(self, repository: LoopbackRepository, ref: str) -> str | None:
        if ref == "main" and repository.commits:
            return repository.main
        return repository.tags.get(ref) or (ref if ref in repository.commits else None)

    def _shown_commit(self, repository: LoopbackRepository, sha: str) -> dict[str, Any]:
        url = f"https://github.example.org/{repository.name}/commit/{sha}"
        return {"sha": sha, "html_url": url, "commit": {"message": repository.commits[sha]}, "parents": []}

    def _page(self, request: Request, items: list[Any], shape: Callable[[list[Any]], Any]) -> Response:
        per_page, page = int(request.query.get("per_page", 30)), int(request.query.get("page", 1))
        if not 1 <= per_page <= 100:
            raise refusal(422, "per_page is out of range")
        shown = json.loads(json.dumps(items[(page - 1) * per_page : page * per_page]))
        headers = {}
        if page * per_page < len(items):
            query = urlencode({**request.query, "page": page + 1})
            last = urlencode({**request.query, "page": -(-len(items) // per_page)})
            headers["Link"] = (
                f'<{self.url}{request.path}?{query}>; rel="next", <{self.url}{request.path}?{last}>; rel="last"'
            )
        return Response(200, shape(shown), headers)


def refusal(status: int, message: str, errors: list[dict[str, str]] | None = None) -> Refused:
    body: dict[str, Any] = {"message": message, "documentation_url": "https://docs.github.com/rest"}
    if errors:
        body["errors"] = errors
    return Refused(Response(status, body))


@contextmanager
def loopback_github(prefix: str = "") -> Iterator[LoopbackGitHub]:
    """A GitHub with the two repositories of NMDC, both empty, for as long as the block lasts."""
    with LoopbackGitHub(prefix).running() as github:
        github.repository(SCHEMA)
        github.repository(RUNTIME)
        yield github
