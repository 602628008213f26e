"""What the steps of a release of the Runtime hand to each other."""

from nmdc_release_ops.records.record import Record


class RuntimeReleasePlan(Record):
    """Which release of the Runtime is to be made.

    Attributes:
        release_id: the same for every attempt at this release.
        commit: SHA that is released.
        last_tag: of the release before, None where there is none.
        commits: first lines of what is new since then, oldest first; the first 250.
        total_commits: how many there are.
        dry_run: nothing is written.
    """

    release_id: str
    repository: str
    commit: str
    branch: str
    last_tag: str | None
    tag: str
    title: str
    prerelease: bool
    commits: list[str]
    total_commits: int
    dry_run: bool


class TestedCommit(Record):
    """The Runtime's tests passed on the commit.

    Attributes:
        url: of the workflow's run; empty in a dry run that would have started one.
    """

    __test__ = False

    workflow: str
    url: str


class RuntimeRelease(Record):
    """A release of the Runtime on GitHub.

    Attributes:
        url: its page; empty where `dry_run`.
    """

    repository: str
    tag: str
    commit: str
    url: str
    dry_run: bool


class FollowedWorkflows(Record):
    """What became of the workflows that a release started: a page by workflow."""

    tag: str
    runs: dict[str, str]
    dry_run: bool
