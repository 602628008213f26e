"""`freeze`: keep writes away from the origin; reads go on."""

import dagster as dg

from nmdc_release_ops.mongo.clock import now
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freeze import freeze as block_writes
from nmdc_release_ops.mongo.lease import Lease, Strategy
from nmdc_release_ops.records import FreezeLease, ReleasePlan
from nmdc_release_ops.resources import Origin, OriginResource
from nmdc_release_ops.steps.failures import NOT_CHANGED, told_plainly


class RunEnded(MongoError):
    """The run was cancelled or given up, and its process goes on."""


@dg.op(out=dg.Out(FreezeLease, description="Since when, and how, the origin is frozen."))
def freeze(context: dg.OpExecutionContext, plan: ReleasePlan, origin: OriginResource) -> FreezeLease:
    """Take the lease on the origin and block writes to it. From here until `unfreeze`, scientists can only read."""
    with told_plainly(NOT_CHANGED), origin.connect() as connected:
        lease = hold_frozen(context, origin, connected, plan.release_id, plan.strategy)
    context.add_output_metadata(
        {
            "strategy": lease.strategy.value,
            "frozen at": lease.frozen_at.isoformat(timespec="milliseconds"),
            "cluster time": f"{lease.cluster_time.seconds}:{lease.cluster_time.increment}",
        }
    )
    return lease


def hold_frozen(
    context: dg.OpExecutionContext, resource: OriginResource, origin: Origin, release_id: str, strategy: Strategy
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
    started = now()
    lease: Lease = block_writes(origin.client, release_id, context.run_id, strategy)
    resource.keep_beating(lease)
    if lease.frozen_at is None or lease.cluster_time is None:
        raise AssertionError("a lease of a frozen origin says since when")
    if lease.frozen_at >= started:
        context.log.info(_said(lease.strategy))
    return FreezeLease(
        release_id=lease.release_id,
        strategy=lease.strategy,
        frozen_at=lease.frozen_at,
        cluster_time=lease.cluster_time,
    )


def _said(strategy: Strategy) -> str:
    if strategy is Strategy.NONE:
        return "The lease is taken. Nobody is kept from writing: the origin has no authorization."
    return f"The origin is frozen ({strategy}): writes are refused, reads go on."
