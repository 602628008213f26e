"""Holding the origin frozen: how it is frozen, and that this release is the one that holds it."""

import dagster as dg
from pydantic import Field

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freezing.freeze import DRAIN_SECONDS
from nmdc_release_ops.mongo.freezing.freeze import freeze as keep_writes_out
from nmdc_release_ops.mongo.state.lease import Lease, Strategy, current_lease
from nmdc_release_ops.records.data_release import FreezeLease
from nmdc_release_ops.resources.origin import Origin, OriginResource

AUTOMATIC = "automatic"


class FreezeConfig(dg.Config):
    """What an operator may say about freezing; nothing has to be said."""

    strategy: str = Field(
        default=AUTOMATIC,
        pattern=f"^({AUTOMATIC}|{Strategy.WRITE_BLOCK}|{Strategy.DEMOTE_ROLES})$",
        description="How writes are kept out: `write_block`, `demote_roles`, or `automatic` for the first that is possible.",
    )
    drain_timeout: int = Field(
        default=DRAIN_SECONDS,
        ge=1,
        le=3600,
        description="Seconds that freezing waits for open transactions and for writes that have begun.",
    )

    @property
    def wanted_strategy(self) -> Strategy | None:
        """None for the first strategy that is possible."""
        return None if self.strategy == AUTOMATIC else Strategy(self.strategy)


class RunEnded(MongoError):
    """The run was cancelled or given up, and its process goes on."""


def hold_frozen(
    context: dg.OpExecutionContext,
    resource: OriginResource,
    origin: Origin,
    release_id: str,
    strategy: Strategy,
    drain_timeout: float,
) -> FreezeLease:
    """Make sure that the release holds the origin frozen: a failure before a re-execution has thawed it.

    Raises:
        LeaseHeld, AlreadyFrozen, FreezeFailed.
        RunEnded: Dagster was told that the run is over, so nobody would thaw after it.
    """
    run = context.instance.get_run_by_id(context.run_id)
    if run is not None and run.is_finished:
        raise RunEnded(
            f"Run {context.run_id} is {run.status.value.lower()}, so it does not freeze the origin any more."
        )
    before = current_lease(origin.client)
    lease: Lease = keep_writes_out(
        origin.client,
        release_id,
        context.run_id,
        strategy,
        database=origin.database.name,
        drain_timeout=drain_timeout,
        when_taken=resource.keep_beating,
    )
    if lease.frozen_at is None or lease.cluster_time is None:
        raise AssertionError("a lease of a frozen origin says since when")
    if before is None or before.frozen_at != lease.frozen_at:
        context.log.info(_said(lease.strategy))
    return FreezeLease(
        release_id=lease.release_id,
        strategy=lease.strategy,
        frozen_at=lease.frozen_at,
        cluster_time=lease.cluster_time,
    )


def _said(strategy: Strategy) -> str:
    if strategy is Strategy.NONE:
        return "The lease is taken. Nobody is prevented from writing: the origin has no authorization."
    return f"The origin is frozen ({strategy}): writes are refused, reads go on."
