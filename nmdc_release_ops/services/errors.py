"""The errors of other services: GitHub, Rancher, the Runtime and its Dagster."""


class ServiceError(Exception):
    """A problem with another service that an operator has to know about.

    The text says which call was made, what the answer was, what it means and what to do next. The caller adds the
    state of the origin.
    """


class ServiceAddressInvalid(ServiceError):
    """The address, or the name of a repository, workflow or deployment, is malformed."""


class GitHubUnreachable(ServiceError):
    """GitHub did not answer, or answered with a server error (5xx)."""


class GitHubAccessRefused(ServiceError):
    """GitHub does not accept the token, or the token lacks a permission (401, 403)."""


class GitHubNotFound(ServiceError):
    """GitHub does not have it, or hides it from the token's owner (404)."""


class GitHubRateLimited(ServiceError):
    """The rate limit is reached, and lasts longer than we wait."""


class GitHubRejected(ServiceError):
    """GitHub refused the request (422 and others).

    Attributes:
        codes: GitHub's error codes, such as "already_exists".
    """

    def __init__(self, text: str, codes: frozenset[str] = frozenset()) -> None:
        self.codes = codes
        super().__init__(text)


class GitHubAnswerUnreadable(ServiceError):
    """The answer is not what GitHub documents: not JSON, fields missing, too large, or with links to another server."""


class RancherUnreachable(ServiceError):
    """Rancher did not answer, or answered with a server error (5xx)."""


class RancherRefused(ServiceError):
    """Rancher refused the request: the token, the context, the namespace or the name is wrong."""


class RuntimeReleaseRefused(ServiceError):
    """The Runtime was not released: its tests, version, tag or commits do not allow it."""


class WorkflowNotSeen(ServiceError):
    """The run of a workflow did not appear, or did not end, in time."""


class WorkflowFailed(ServiceError):
    """The run of a workflow did not succeed."""


class DeploymentFailed(ServiceError):
    """At least one part of the Runtime was not deployed."""


class RuntimeNotUpgraded(ServiceError):
    """The Runtime did not say within the time limit that it runs on the released version of the schema."""


class RuntimeNewer(ServiceError):
    """The Runtime runs on a newer version of the schema than the database conforms to."""


class DagsterUnreachable(ServiceError):
    """The Runtime's Dagster did not answer, or answered with a server error (5xx)."""


class DagsterRefused(ServiceError):
    """The Runtime's Dagster refused a request, or has no such job, or several.

    Attributes:
        by_status: whether nothing but a status of HTTP says so (404, a login): it may be that of a proxy, while the webserver is
            replaced.
    """

    def __init__(self, text: str, *, by_status: bool = False) -> None:
        self.by_status = by_status
        super().__init__(text)


class DagsterAnswerUnreadable(ServiceError):
    """An answer is not that of a Dagster webserver."""


class AlldocsNotRebuilt(ServiceError):
    """The Runtime's run that rebuilds `alldocs` failed, was cancelled, or did not end in time."""
