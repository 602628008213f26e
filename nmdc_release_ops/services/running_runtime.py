"""The Runtime as it runs: which version of the schema it uses."""

import json

from nmdc_release_ops.services.error_messages import printable
from nmdc_release_ops.services.github import check_address
from nmdc_release_ops.services.transport import AnswerUnusable, Timeouts, Transport

_TIMEOUTS = Timeouts(connect=5, read=10, answer=15, retries=0, whole=15)
_SCHEMA = "nmdc-schema"
_LONGEST_VERSION = 64


class RunningRuntime:
    """The Runtime's API, which is asked without a token.

    Args:
        address: "https://api.microbiomedata.org".

    Raises:
        ServiceAddressInvalid.
    """

    def __init__(self, address: str, timeouts: Timeouts = _TIMEOUTS) -> None:
        self.address = check_address(address, "NMDC_RUNTIME_URL", carries_token=False)
        self._transport = Transport(None, timeouts)

    def read_version(self) -> str:
        """What `GET /version` says of the package `nmdc-schema`, as the Runtime spells it.

        Raises:
            NoAnswer: nothing answers.
            AnswerUnusable: something else than a Runtime answers. A Runtime that is being replaced does both for a while.
        """
        try:
            answer = self._transport.send("GET", f"{self.address}/version", repeatable=False)
        except AnswerUnusable as error:
            raise AnswerUnusable(f"gives an answer that cannot be used: {error}") from None
        if answer.is_redirect:
            target = printable(answer.headers.get("Location", "").partition("?")[0])
            raise AnswerUnusable(f"redirects ({answer.status}) to {target or 'nowhere'}, which is not followed")
        if answer.status != 200:
            raise AnswerUnusable(f"answers {answer.status}")
        try:
            said = json.loads(answer.body)
        except (ValueError, RecursionError):
            raise AnswerUnusable("answers with something that is not JSON") from None
        version = said.get(_SCHEMA) if isinstance(said, dict) else None
        if not isinstance(version, str) or not 0 < len(version) <= _LONGEST_VERSION:
            raise AnswerUnusable(f"does not name the version of {_SCHEMA} in its answer")
        return printable(version)
