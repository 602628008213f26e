"""A chat's incoming webhook on the loopback address, as Slack documents it."""

from collections.abc import Iterator
from contextlib import contextmanager

from nmdc_release_ops_tests.services.loopback import LoopbackServer, Request, Response

SECRET = "a-secret-of-the-webhook"


class LoopbackWebhook(LoopbackServer):
    """The service.

    Attributes:
        texts: that arrived, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    @property
    def address(self) -> str:
        return f"{self.url}/services/{SECRET}"

    def answer(self, request: Request) -> Response:
        if (request.method, request.path) != ("POST", f"/services/{SECRET}"):
            return Response(404, b"no_service")
        if not isinstance(request.body, dict) or set(request.body) != {"text"}:
            return Response(400, b"invalid_payload")
        self.texts.append(request.body["text"])
        return Response(200, b"ok")


@contextmanager
def loopback_webhook() -> Iterator[LoopbackWebhook]:
    with LoopbackWebhook().running() as webhook:
        yield webhook
