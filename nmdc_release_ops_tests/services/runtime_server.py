"""The Runtime on the loopback address: what `GET /version` answers, also while it is being replaced."""

from collections.abc import Iterator
from contextlib import contextmanager

from nmdc_release_ops_tests.services.loopback import LoopbackServer, Refused, Request, Response


class LoopbackRuntime(LoopbackServer):
    """The service.

    Attributes:
        versions: of the schema, that it says one after the other; the last one for ever.
    """

    def __init__(self, *versions: str) -> None:
        super().__init__()
        self.versions = list(versions)

    def answer(self, request: Request) -> Response:
        if (request.method, request.path) != ("GET", "/version"):
            raise Refused(Response(404, {"detail": "Not Found"}))
        version = self.versions.pop(0) if len(self.versions) > 1 else self.versions[0]
        # As nmdc_runtime/api/main.py answers.
        return Response(200, {"nmdc-runtime": "2.11.0", "fastapi": "0.115.6", "nmdc-schema": version})


@contextmanager
def loopback_runtime(*versions: str) -> Iterator[LoopbackRuntime]:
    with LoopbackRuntime(*versions).running() as runtime:
        yield runtime
