"""`freeze`: keep writes away from the origin; reads go on."""

import dagster as dg

from nmdc_release_ops.mongo.freeze import freeze as block_writes
from nmdc_release_ops.mongo.lease import Lease
from nmdc_release_ops.records import FreezeLease, ReleasePlan
from nmdc_release_ops.resources import Origin, OriginResource
from nmdc_release_ops.steps.failures import NOT_CHANGED, told_plainly


@dg.op(out=dg.Out(FreezeLease, description="Since when, and how, the origin is frozen."), tags={"kind": "nmdc"})
def freeze(context: dg.OpExecutionContext, plan: ReleasePlan, origin: OriginResource) -> FreezeLease:
    """Take the lease on the origin and block writes to it. From here until `unfreeze`, scientists can only read."""
    with told_plainly(NOT_CHANGED), origin.connect() as connected:
        lease = hold_frozen(context, connected, plan)
    context.add_output_metadata(
        {
            "strategy": lease.strategy.value,
            "frozen at": lease.frozen_at.isoformat(timespec="milliseconds"),
            "cluster time": f"{lease.cluster_time.seconds}:{lease.cluster_time.increment}",
        }
    )
    return lease


def hold_frozen(context: dg.OpExecutionContext, origin: Origin, plan: ReleasePlan) -> FreezeLease:
    """Make sure that the release holds the origin frozen: a failure before a re-execution has thawed it.

    Raises:
        LeaseHeld, AlreadyFrozen, FreezeFailed.
    """
    lease: Lease = block_writes(origin.client, plan.release_id, context.run_id, plan.strategy)
    if lease.frozen_at is None or lease.cluster_time is None:
        raise AssertionError("a lease of a frozen origin says since when")
    context.log.info(f"The origin is held since {lease.frozen_at:%H:%M:%S} UTC (writes kept out by: {lease.strategy}).")
    return FreezeLease(
        release_id=lease.release_id,
        strategy=lease.strategy,
        frozen_at=lease.frozen_at,
        cluster_time=lease.cluster_time,
    )
