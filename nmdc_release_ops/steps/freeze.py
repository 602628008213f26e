"""`freeze`: keep writes away from the origin; reads go on."""

import dagster as dg
from pydantic import Field

from nmdc_release_ops.lineage import made_from
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freezing.choose import CONFIGURABLE, Choice, NotFreezable, choose_strategy, strategy_of
from nmdc_release_ops.mongo.freezing.freeze import freeze as keep_writes_out
from nmdc_release_ops.mongo.freezing.strategy import DRAIN_SECONDS
from nmdc_release_ops.mongo.server.topology import Server
from nmdc_release_ops.mongo.state.journal import refuse_if_swapped
from nmdc_release_ops.mongo.state.lease import Lease, Strategy, current_lease
from nmdc_release_ops.records.data_release import FreezeLease, ReleasePlan
from nmdc_release_ops.resources.origin import Origin, OriginResource
from nmdc_release_ops.steps.shared.failures import PlanRefused, explain_failures
from nmdc_release_ops.steps.shared.origin_state import origin_lookup

AUTOMATIC = "automatic"


class FreezeConfig(dg.Config):
    """What an operator may say about freezing; nothing has to be said."""

    strategy: str = Field(
        default=AUTOMATIC,
        pattern=f"^({'|'.join((AUTOMATIC, *CONFIGURABLE))})$",
        description="How writes are kept out: `write_block`, `demote_roles`, or `automatic` for the first that is possible.",
    )
    drain_timeout: int = Field(
        default=DRAIN_SECONDS,
        ge=1,
        le=3600,
        description="Seconds that freezing waits for open transactions and for writes that have begun.",
    )


class RunEnded(MongoError):
    """The run was cancelled or given up, and its process goes on."""


@dg.op(out=dg.Out(FreezeLease, description="Since when, and how, the origin is frozen."))
def freeze(context: dg.OpExecutionContext, plan: ReleasePlan, origin: OriginResource) -> FreezeLease:
    """Take the lease on the origin and block writes to it. From here until `unfreeze`, scientists can only read."""
    with (
        explain_failures(origin_lookup(origin, context.run_id, plan.release_id)),
        origin.connect_planned(plan) as connected,
    ):
        # A release that has swapped has nothing left to freeze for.
        refuse_if_swapped(connected.client, plan.release_id)
        lease = hold_frozen(context, origin, connected, plan.release_id, plan.strategy, plan.drain_timeout)
    lease = lease.model_copy(update={"made_from": made_from(plan=plan)})
    context.add_output_metadata(
        {
            "strategy": lease.strategy.value,
            "frozen at": lease.frozen_at.isoformat(timespec="milliseconds"),
            "cluster time": f"{lease.cluster_time.seconds}:{lease.cluster_time.increment}",
        }
    )
    return lease


def choose_freezing(origin: Origin, server: Server, problems: list[str], wanted: str) -> Choice:
    """How the origin is to be frozen.

    Args:
        problems: what stands in the way of a release besides.
        wanted: as the configuration has it.

    Raises:
        PlanRefused: naming all that stands in the way.
    """
    strategy = None if wanted == AUTOMATIC else Strategy(wanted)
    try:
        choice = choose_strategy(origin.client, server, origin.database.name, strategy)
    except NotFreezable as refusal:
        raise PlanRefused([*problems, *refusal.problems]) from refusal
    if problems:
        raise PlanRefused(problems)
    return choice


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
    if not strategy_of(strategy).blocks_writes:
        return "The lease is taken. Nobody is prevented from writing: the origin has no authorization."
    return f"The origin is frozen ({strategy}): writes are refused, reads go on."
