"""Holding the origin frozen for a release, in each step that needs it."""

import dagster as dg
from pydantic import Field

from nmdc_release_ops.mongo.freezing.choose import CONFIGURABLE, strategy_of
from nmdc_release_ops.mongo.freezing.freeze import freeze as freeze_origin
from nmdc_release_ops.mongo.freezing.strategy import DRAIN_SECONDS
from nmdc_release_ops.mongo.server.progress import Log
from nmdc_release_ops.mongo.state.lease import Lease, Strategy, current_lease
from nmdc_release_ops.records.data_release import MAX_FROZEN_SECONDS, FreezeLease, ReleasePlan
from nmdc_release_ops.resources.origin import OriginConnection, OriginResource
from nmdc_release_ops.steps.holding.watchdog import warn_without_watchdog
from nmdc_release_ops.steps.shared.failures import StepError

AUTOMATIC = "automatic"


class FreezeConfig(dg.Config):
    """Options of freezing; all have defaults."""

    strategy: str = Field(
        default=AUTOMATIC,
        pattern=f"^({'|'.join((AUTOMATIC, *CONFIGURABLE))})$",
        description="How writes are blocked: `write_block`, `demote_roles`, or `automatic` for the first that is possible.",
    )
    drain_timeout: int = Field(
        default=DRAIN_SECONDS,
        ge=1,
        le=3600,
        description="Seconds that freezing waits for open transactions and writes to end.",
    )

    @property
    def wanted_strategy(self) -> Strategy | None:
        """None for the first strategy that is possible."""
        return None if self.strategy == AUTOMATIC else Strategy(self.strategy)


class ReleaseConfig(FreezeConfig):
    """What a release and a promotion are asked alike; all have defaults."""

    max_frozen_seconds: int = Field(
        default=MAX_FROZEN_SECONDS,
        ge=1,
        description="Only of `promote` and `online_release`: how long writes may be blocked. What would take longer is done "
        "before.",
    )
    keep_archives: int = Field(
        default=5,
        ge=1,
        description="How many archives of swapped-in releases to keep. One that is still needed is never removed.",
    )
    allow_without_watchdog: bool = Field(
        default=False,
        description="Continue although nobody would thaw the origin if the run is killed: frozen_origin_watchdog is off, or "
        "Dagster's daemon does not run.",
    )


class OnlyRehearsed(StepError):
    """A step that changes the origin was executed with the plan of a rehearsal."""


def refuse_rehearsal(plan: ReleasePlan) -> None:
    """Make sure that a plan was made for a release.

    Raises:
        OnlyRehearsed: it was made for a rehearsal, which does not freeze and changes nothing.
    """
    if plan.is_rehearsal:
        raise OnlyRehearsed(
            f"{plan.release_id} is a rehearsal: its plan is not carried out. This step did nothing. Launch the job promote."
        )


class RunEnded(StepError):
    """The run was cancelled, or marked as failed, while its process was still running."""


def hold_frozen(
    context: dg.OpExecutionContext,
    resource: OriginResource,
    origin: OriginConnection,
    release_id: str,
    strategy: Strategy,
    drain_timeout: float,
    log: Log | None = None,
) -> FreezeLease:
    """Freeze the origin for the release, unless it already holds it frozen: after a failure it was thawed.

    If nobody would thaw it after this run is killed, the run's log says so.

    Args:
        log: receives that it was frozen; by default the run's log.

    Raises:
        LeaseHeld, AlreadyFrozen, FreezeFailed.
        RunEnded: the run is over for Dagster, so no hook would thaw the origin.
    """
    run = context.instance.get_run_by_id(context.run_id)
    if run is not None and run.is_finished:
        raise RunEnded(f"Run {context.run_id} is {run.status.value.lower()}, so it does not freeze the origin.")
    before = current_lease(origin.client)
    if before is None or before.run_id != context.run_id:
        warn_without_watchdog(context)
    lease: Lease = freeze_origin(
        origin.client,
        release_id,
        context.run_id,
        strategy,
        database=origin.database.name,
        drain_timeout=drain_timeout,
        when_taken=resource.keep_beating,
    )
    if lease.frozen_at is None or lease.cluster_time is None:
        raise AssertionError("the lease of a frozen origin has the time of the freeze")
    if before is None or before.frozen_at != lease.frozen_at:
        (log or context.log.info)(_describe_freeze(lease.strategy))
    return FreezeLease(
        release_id=lease.release_id,
        strategy=lease.strategy,
        frozen_at=lease.frozen_at,
        cluster_time=lease.cluster_time,
    )


def _describe_freeze(strategy: Strategy) -> str:
    if not strategy_of(strategy).blocks_writes:
        return "The lease is taken, but nobody is prevented from writing: the origin does not require authentication."
    return f"The origin is frozen ({strategy}): writes are refused, reads continue."
