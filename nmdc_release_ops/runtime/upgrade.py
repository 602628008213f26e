"""Waiting until the Runtime that answers is the one for a version of the schema."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from nmdc_release_ops.schema.version import InvalidSchemaVersion, SchemaVersion
from nmdc_release_ops.services.errors import RuntimeNewer, RuntimeNotUpgraded
from nmdc_release_ops.services.running_runtime import RunningRuntime
from nmdc_release_ops.services.transport import AnswerUnusable, NoAnswer
from nmdc_release_ops.services.workflows import Log

IN_A_ROW = 3
"""So many answers have to agree: while its processes are replaced, old and new ones answer in turn."""
# As a Python package spells a pre-release: "11.26.0rc1".
_PRERELEASE = re.compile(r"([0-9]+(?:\.[0-9]+){0,2})(a|b|rc)([0-9]+)", re.ASCII)


@dataclass(frozen=True)
class Waiting:
    """How long something is waited for, in seconds.

    Attributes:
        poll: between two requests.
        end: time limit.
    """

    poll: float
    end: float


@dataclass(frozen=True)
class Running:
    """The Runtime that answers.

    Attributes:
        says: what it says of itself, "runs on schema 11.25.0".
        requests: that it took.
        doubt: what cannot be told of it, a sentence; "" if it is the right one.
    """

    says: str
    requests: int
    doubt: str = ""


def wait_for_version(
    runtime: RunningRuntime, wanted: SchemaVersion | None, waiting: Waiting, log: Log, meanwhile: Callable[[], None]
) -> Running:
    """Wait until the Runtime says that it runs on a version of the schema.

    While it is deployed, it may be out of reach, answer with errors, or with its earlier version.

    Args:
        wanted: None for a release candidate, whose package has a version that is made from commits and tells nothing: then any
            answer will do, and is doubted.
        meanwhile: called before each request.

    Raises:
        RuntimeNotUpgraded: it did not within the time limit.
        RuntimeNewer: it runs on a newer version.
    """
    deadline = time.monotonic() + waiting.end
    agreeing = requests = 0
    logged = ""
    while True:
        meanwhile()
        requests += 1
        found, says, is_answer = _ask(runtime)
        if wanted is None and is_answer:
            return Running(
                says,
                requests,
                f"A release candidate was released, so it is not known whether the Runtime, which {says}, fits.",
            )
        if wanted is not None and found is not None and found > wanted:
            raise RuntimeNewer(
                f"The Runtime ({runtime.address}) runs on schema {found}, and the database conforms to {wanted}. Deploy the "
                f"Runtime for {wanted}, or release schema {found}."
            )
        agreeing = agreeing + 1 if found is not None and found == wanted else 0
        if says != logged:
            logged = says
            log(f"The Runtime {says}.")
        if agreeing == IN_A_ROW:
            return Running(says, requests)
        if time.monotonic() > deadline:
            fits = "anything" if wanted is None else f"that it runs on schema {wanted}"
            raise RuntimeNotUpgraded(
                f"The Runtime ({runtime.address}) did not say within {waiting.end / 60:.3g} minutes {fits}. The last time, "
                f"it {says}. Deploy the Runtime that fits the database, or correct NMDC_RUNTIME_URL."
            )
        time.sleep(waiting.poll)


def _ask(runtime: RunningRuntime) -> tuple[SchemaVersion | None, str, bool]:
    """The version that it says, None if it says none; the same for people, after "the Runtime"; and whether it said any."""
    try:
        said = runtime.read_version()
    except NoAnswer as error:
        return None, f"does not answer: {error}", False
    except AnswerUnusable as error:
        return None, f"{error}", False
    try:
        return _parse(said), f"runs on schema {said}", True
    except InvalidSchemaVersion:
        return None, f"runs on schema {said}, which is not the version of a release", True


def _parse(said: str) -> SchemaVersion:
    """Raises:
    InvalidSchemaVersion.
    """
    prerelease = _PRERELEASE.fullmatch(said)
    return SchemaVersion.parse("{}-{}.{}".format(*prerelease.groups()) if prerelease else said)
