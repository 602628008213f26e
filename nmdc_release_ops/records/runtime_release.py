"""What the steps of a Runtime release hand to each other."""

from nmdc_release_ops.records.record import Record


class RuntimeReleasePlan(Record):
    """Which release of the Runtime is to be made.

    Attributes:
        release_id: the same for every attempt at this release.
        commit: SHA that is released.
        last_tag: of the previous release; None if there is none.
        commits: subjects of the commits since then, oldest first; at most 250.
        total_commits: how many there are.
        dry_run: whether nothing is written.
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
    """The workflows that a release started, all successful; the page of each run by workflow."""

    tag: str
    runs: dict[str, str]
    dry_run: bool
