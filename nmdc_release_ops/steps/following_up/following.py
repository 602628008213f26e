"""The follow-up of a release: the Runtime's version, what was written since the swap, and `alldocs`."""

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from nmdc_release_ops.files import writing
from nmdc_release_ops.mongo.server.clock import now
from nmdc_release_ops.mongo.state.journal import read_journal
from nmdc_release_ops.records.follow_up import FollowedUp
from nmdc_release_ops.resources.release_home import FOLLOW_UP
from nmdc_release_ops.resources.runtime import DeploymentResource
from nmdc_release_ops.runtime.alldocs import rebuild_alldocs
from nmdc_release_ops.runtime.upgrade import Waiting, wait_for_version
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops.services.errors import ServiceError
from nmdc_release_ops.services.remote_dagster import RemoteDagster
from nmdc_release_ops.steps.following_up.in_force import FollowUpMadeWay, InForce
from nmdc_release_ops.steps.following_up.judging import Judged, Judging, Means, tabulate_written
from nmdc_release_ops.steps.shared.failures import StepError

_CORRECT = (
    "Most likely the Runtime of before wrote it. Correct these documents in the origin, and re-execute the run from `follow_up`: "
    "it judges again everything that was written since the swap."
)


class WrittenInvalid(StepError):
    """What was written after the swap does not conform to the schema that was released."""


@dataclass(frozen=True)
class Followed:
    """What was found, and how the run page shows it."""

    record: FollowedUp
    shown: Mapping[str, Any]


def follow_release(
    context: dg.OpExecutionContext,
    means: Means,
    in_force: InForce,
    deployment: DeploymentResource,
    runtime: Waiting,
    alldocs: Waiting,
) -> Followed:
    """Wait for the Runtime, judge what was written, and have `alldocs` rebuilt.

    `alldocs` is rebuilt also where something that was written is invalid, so that one does not wait for the other.

    Args:
        context: of the step, for its log.
        in_force: asked before each request, and before what was found is reported.
        runtime: how long its version is waited for.
        alldocs: how long its run is.

    Raises:
        RuntimeNotUpgraded, RuntimeNewer, WrittenInvalid, DatabaseNotReleased, FollowUpMadeWay, and others that are foreseen.
    """
    plan, log = means.plan, context.log.info
    running_runtime, dagster = deployment.runtime(), deployment.runtime_dagster()
    journal = read_journal(means.origin.client, plan.release_id)
    started = time.monotonic()
    with writing(means.home.release(plan)):
        folder = tempfile.TemporaryDirectory(prefix=FOLLOW_UP, dir=means.home.release(plan))
    check = partial(in_force.check, means.origin)
    with folder as path, Judging(context, means, journal, Path(path)) as judging:

        def meanwhile() -> None:
            check()
            judging.follow()

        # The version of a candidate's package is made from commits.
        wanted = None if plan.candidate else SchemaVersion.parse(plan.to_version)
        running = wait_for_version(running_runtime, wanted, runtime, log, meanwhile)
        waited = time.monotonic() - started
        judged = _judge(judging, check)
    page, failure = _rebuild_alldocs(dagster, plan.release_id, alldocs, context, check)
    if judged.fault:
        raise WrittenInvalid(
            _explain(judged, failure), {"written since the swap": tabulate_written(judged.written), **judged.shown}
        )
    if failure is not None:
        raise failure
    record = FollowedUp(
        runtime=running.says,
        requests=running.requests,
        waited=round(waited, 3),
        at=now(),
        written=judged.written,
        verdict=judged.verdict,
        tolerated=judged.tolerated,
        not_judged=[one for one in (running.doubt, *judged.not_judged) if one],
        alldocs=page,
    )
    for line in record.not_judged:
        context.log.warning(line)
    log(record.describe())
    return Followed(
        record,
        {
            "follow-up": record.describe(),
            "written since the swap": tabulate_written(judged.written),
            "not known": "\n".join(record.not_judged) or "nothing",
            **({"alldocs": dg.MetadataValue.url(page)} if page else {}),
            **judged.shown,
        },
    )


def _judge(judging: Judging, check: Callable[[], None]) -> Judged:
    """Data that were rolled back meanwhile are not blamed on anybody."""
    try:
        judged = judging.judge()
    except Exception:
        check()
        raise
    check()
    return judged


def _rebuild_alldocs(
    dagster: RemoteDagster | None,
    release_id: str,
    waiting: Waiting,
    context: dg.OpExecutionContext,
    check: Callable[[], None],
) -> tuple[str, ServiceError | FollowUpMadeWay | None]:
    """The page of its run, and why it failed.

    Raises:
        DatabaseNotReleased
    """
    if dagster is None:
        return "", None
    try:
        return rebuild_alldocs(dagster, release_id, waiting, context.log.info, check), None
    except (ServiceError, FollowUpMadeWay) as error:
        context.log.error(f"{error}")
        return "", error


def _explain(judged: Judged, failure: Exception | None) -> str:
    besides = f"\nBesides, alldocs was not rebuilt. {failure}" if failure else ""
    unknown = "".join(f"\n{line}" for line in judged.not_judged)
    return f"What was written since the swap is invalid: {judged.fault}{unknown}\n{_CORRECT}{besides}"
