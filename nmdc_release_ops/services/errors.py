"""The family of errors that concern a service elsewhere: GitHub, Rancher."""


class ServiceError(Exception):
    """Something about a service elsewhere that an operator has to know.

    Its text says which call was made, what came back, what it means and what to do next. Whoever calls the library
    knows, and adds, what state the origin is in.
    """


class ServiceAddressInvalid(ServiceError):
    """An address, or the name of a repository, workflow or deployment, that cannot be one."""


class GitHubUnreachable(ServiceError):
    """GitHub did not answer, or answered that it cannot (5xx)."""


class GitHubAccessRefused(ServiceError):
    """GitHub does not know the token, or does not allow its owner what was asked for (401, 403)."""


class GitHubNotFound(ServiceError):
    """GitHub has no such thing, or hides it from the token's owner (404)."""


class GitHubRateLimited(ServiceError):
    """Too many requests, and it takes longer than we wait until more are allowed."""


class GitHubRejected(ServiceError):
    """GitHub understood the request and does not do it (422 and others).

    Attributes:
        codes: GitHub's own words for what is wrong, such as "already_exists".
    """

    def __init__(self, text: str, codes: frozenset[str] = frozenset()) -> None:
        self.codes = codes
        super().__init__(text)


class GitHubAnswerUnreadable(ServiceError):
    """What came back is not what GitHub documents: no JSON, fields missing, too large, or pointing elsewhere."""


class RancherUnreachable(ServiceError):
    """Rancher did not answer, or answered that it cannot (5xx)."""


class RancherRefused(ServiceError):
    """Rancher does not do what was asked for: the token, the context, the namespace or the name is wrong."""


class RuntimeReleaseRefused(ServiceError):
    """The Runtime is not released: tests, version, tag or commits are not as they have to be."""


class WorkflowNotSeen(ServiceError):
    """A workflow's run did not appear, or did not end, in the time that it was given."""


class WorkflowFailed(ServiceError):
    """A workflow's run ended otherwise than with success."""


class DeploymentFailed(ServiceError):
    """Something of the Runtime was not deployed."""
