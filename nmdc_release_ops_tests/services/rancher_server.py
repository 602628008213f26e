"""A Rancher on the loopback address: the redeploy call of its API v3, strict about it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from nmdc_release_ops_tests.services.loopback import LoopbackServer, Refused, Request, Response

TOKEN = "token-abcde:a-token-of-the-loopback-rancher"
CONTEXT = "c-abcde:p-fghij"
NAMESPACE = "nmdc"
DEPLOYMENTS = ("runtime-api", "dagster-dagit", "dagster-daemon")


class LoopbackRancher(LoopbackServer):
    """The service.

    Attributes:
        redeployed: names of the deployments, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.redeployed: list[str] = []

    def answer(self, request: Request) -> Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise _refusal(401, "Unauthorized", "must authenticate")
        found = re.fullmatch(r"/v3/project/([^/]+)/workloads/deployment:([^:/]+):([^:/]+)", request.path)
        if not found or found[1] != CONTEXT or found[2] != NAMESPACE or found[3] not in DEPLOYMENTS:
            raise _refusal(404, "NotFound", "not found")
        if request.method != "POST":
            raise _refusal(405, "MethodNotAllowed", "method not allowed")
        if request.query != {"action": "redeploy"}:
            raise _refusal(404, "NotFound", "no such action")
        self.redeployed.append(found[3])
        return Response(200, {"type": "deployment", "id": f"deployment:{found[2]}:{found[3]}"})


def _refusal(status: int, code: str, message: str) -> Refused:
    return Refused(Response(status, {"type": "error", "status": str(status), "code": code, "message": message}))


@contextmanager
def loopback_rancher() -> Iterator[LoopbackRancher]:
    with LoopbackRancher().running() as rancher:
        yield rancher
