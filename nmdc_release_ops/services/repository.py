"""A repository on GitHub: its releases, tags, commits, files and workflow runs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

from nmdc_release_ops.services.errors import GitHubAccessRefused, GitHubNotFound, ServiceAddressInvalid
from nmdc_release_ops.services.github import GitHub

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}", re.ASCII)
_WORKFLOW = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,150}\.ya?ml", re.ASCII)
MOST_COMMITS = 250

Text = Annotated[str, StringConstraints(max_length=1_000)]
Link = Annotated[str, StringConstraints(max_length=2_000, pattern=r"^https?://[^\s<>\"]+$")]
Sha = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("has no time zone")
    return moment


Moment = Annotated[datetime, AfterValidator(_aware)]


class _Payload(BaseModel):
    """Part of an answer: unknown fields are ignored, missing ones are errors."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class GitHubRelease(_Payload):
    """A release. GitHub lists drafts only for a token with write access."""

    id: int
    tag_name: Text
    name: Text | None = None
    body: str | None = None
    draft: bool
    prerelease: bool
    html_url: Link
    target_commitish: Text
    created_at: Moment
    published_at: Moment | None


class _Message(_Payload):
    message: str


class Commit(_Payload):
    """A commit, with its whole message."""

    sha: Sha
    html_url: Link
    commit: _Message

    @property
    def subject(self) -> str:
        """The message's first line."""
        return self.commit.message.partition("\n")[0][:200]


class _Actor(_Payload):
    login: Text


class WorkflowRun(_Payload):
    """A run of a GitHub Actions workflow.

    Attributes:
        status: "queued", "in_progress", "completed" and others.
        conclusion: "success", "failure", "cancelled" and others; None until it is completed.
        head_branch: branch or tag that it runs on.
    """

    id: int
    name: Text | None = None
    status: Text
    conclusion: Text | None
    event: Text
    head_branch: Text | None
    head_sha: Sha
    html_url: Link
    created_at: Moment
    actor: _Actor | None = None

    @property
    def is_completed(self) -> bool:
        return self.status == "completed"

    @property
    def succeeded(self) -> bool:
        return self.is_completed and self.conclusion == "success"

    def describe(self) -> str:
        """Its status, and its page."""
        return f"{self.conclusion or self.status.replace('_', ' ')}, {self.html_url}"


class _Runs(_Payload):
    workflow_runs: list[WorkflowRun]


class _Comparison(_Payload):
    status: Text
    total_commits: int
    commits: list[Commit]


class _Repository(_Payload):
    default_branch: Text


class _Object(_Payload):
    sha: Sha
    type: Text


class _Reference(_Payload):
    ref: Text
    object: _Object


class Listing(NamedTuple):
    """All releases, and the ETag to ask next time whether they changed."""

    releases: tuple[GitHubRelease, ...]
    etag: str | None


@dataclass(frozen=True)
class Comparison:
    """The commits between two commits.

    Attributes:
        status: "ahead", "behind", "diverged" or "identical".
        total: number of commits; `commits` contains at most the first 250.
    """

    status: str
    total: int
    commits: tuple[Commit, ...]


class Repository:
    """A repository, by its name "owner/name".

    Every method raises what `GitHub.get` does.

    Raises:
        ServiceAddressInvalid: the name is malformed.
    """

    def __init__(self, github: GitHub, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise ServiceAddressInvalid(
                f'{name[:120]!r} is not a repository. A repository looks like "microbiomedata/nmdc-schema".'
            )
        self.github = github
        self.name = name
        self._path = f"/repos/{name}"

    def default_branch(self) -> str:
        return self.github.get(self._path, _Repository).default_branch

    def releases(self, etag: str | None = None) -> Listing | None:
        """Every release, including drafts and pre-releases; None if nothing has changed since `etag`."""
        releases: list[GitHubRelease] = []
        first_etag = None
        asked = False
        for page, page_etag in self.github.pages(f"{self._path}/releases", list[GitHubRelease], etag=etag):
            first_etag = first_etag if asked else page_etag
            asked = True
            releases += page
        return Listing(tuple(releases), first_etag) if asked else None

    def release_of(self, tag: str) -> GitHubRelease | None:
        """The published release of a tag."""
        try:
            return self.github.get(f"{self._path}/releases/tags/{quote(tag, safe='')}", GitHubRelease)
        except GitHubNotFound:
            return None

    def create_release(self, *, tag: str, commit: str, title: str, body: str, prerelease: bool) -> GitHubRelease:
        """Publish a release with a new tag at `commit`; GitHub's generated notes come after `body`."""
        release, _ = self.github.post(
            f"{self._path}/releases",
            {
                "tag_name": tag,
                "target_commitish": commit,
                "name": title,
                "body": body,
                "draft": False,
                "prerelease": prerelease,
                "generate_release_notes": True,
            },
            GitHubRelease,
        )
        if release is None:
            raise AssertionError("a shape was given")
        return release

    def tag_exists(self, tag: str) -> bool:
        try:
            self.github.get(f"{self._path}/git/ref/tags/{quote(tag, safe='')}", _Reference)
        except GitHubNotFound:
            return False
        return True

    def commit(self, ref: str) -> Commit:
        """The commit that a branch, tag or SHA points to."""
        return self.github.get(f"{self._path}/commits/{quote(ref, safe='')}", Commit)

    def compare(self, base: str, head: str) -> Comparison:
        """The commits that are in `head` and not in `base`, oldest first."""
        path = f"{self._path}/compare/{quote(base, safe='')}...{quote(head, safe='')}"
        commits: list[Commit] = []
        status, total = "identical", 0
        for page, _ in self.github.pages(path, _Comparison):
            status, total = page.status, page.total_commits
            commits += page.commits
            if len(commits) >= MOST_COMMITS:
                break
        return Comparison(status, total, tuple(commits[:MOST_COMMITS]))

    def file(self, path: str, ref: str) -> str | None:
        """The text of a file; None if the file does not exist."""
        try:
            return self.github.get_text(f"{self._path}/contents/{quote(path)}", {"ref": ref})
        except GitHubNotFound:
            return None

    def workflow_runs(self, workflow: str, **filters: str) -> list[WorkflowRun]:
        """Runs of a workflow, newest first, at most a hundred.

        Args:
            workflow: name of its file, "python-app.yml".
            filters: GitHub's: head_sha, branch, event, actor, created.
        """
        path = f"{self._path}/actions/workflows/{require_workflow_file(workflow)}/runs"
        runs = self.github.get(path, _Runs, {"per_page": 100, **filters}).workflow_runs
        return sorted(runs, key=lambda run: run.id, reverse=True)

    def workflow_run(self, identifier: int) -> WorkflowRun:
        return self.github.get(f"{self._path}/actions/runs/{identifier}", WorkflowRun)

    def dispatch(self, workflow: str, ref: str, inputs: Mapping[str, Any]) -> datetime:
        """Start a run of a workflow on a branch or tag; return GitHub's time. GitHub does not say which run it started."""
        path = f"{self._path}/actions/workflows/{require_workflow_file(workflow)}/dispatches"
        _, moment = self.github.post(path, {"ref": ref, "inputs": dict(inputs)}, None)
        return moment

    def login(self) -> str | None:
        """The name of the token's owner; None for an app's token, which has no owner."""
        try:
            return self.github.get("/user", _Actor).login
        except (GitHubAccessRefused, GitHubNotFound):
            return None


def require_workflow_file(name: str) -> str:
    """`name`, if it can be the name of a workflow's file.

    Raises:
        ServiceAddressInvalid.
    """
    if not _WORKFLOW.fullmatch(name):
        raise ServiceAddressInvalid(f'{name[:120]!r} is not a workflow. Give the name of its file: "python-app.yml".')
    return name
