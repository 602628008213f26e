"""`freeze`: block writes to the origin; reads continue."""

import dagster as dg

from nmdc_release_ops.lineage import collect_digests
from nmdc_release_ops.mongo.state.journal import refuse_if_swapped
from nmdc_release_ops.records.data_release import CaughtUp, FreezeLease, ReleasePlan
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.schema import SchemaReleasesResource, SchemaWorkerResource
from nmdc_release_ops.resources.transformer import TransformerResource
from nmdc_release_ops.steps.shared.failures import explain_failures
from nmdc_release_ops.steps.shared.holding import hold_frozen, refuse_rehearsal
from nmdc_release_ops.steps.shared.origin_state import origin_lookup
from nmdc_release_ops.steps.shared.preparation import start_workers


@dg.op(out=dg.Out(FreezeLease, description="Since when, and how, the origin is frozen."))
def freeze(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    origin: OriginResource,
    home: ReleaseHomeResource,
    transformer: TransformerResource,
    schema: SchemaReleasesResource,
    worker: SchemaWorkerResource,
    caught_up: CaughtUp | None = None,
) -> FreezeLease:
    """Take the lease on the origin and block writes to it. From here until `unfreeze`, scientists can only read.

    A promotion freezes when little is left to catch up with.

    A private transformer and the processes that migrate and validate are started first, so that nobody waits for them.
    """
    with (
        explain_failures(origin_lookup(origin, context.run_id, plan.release_id)),
        origin.connect_planned(plan) as connected,
    ):
        refuse_rehearsal(plan)
        # A release that has swapped has no reason to freeze again.
        refuse_if_swapped(connected.client, plan.release_id)
        # What re-executes a later step alone starts them itself.
        start_workers(plan, home, schema, worker)
        transformer.start(plan)
        worker.wait_until_ready()
        lease = hold_frozen(context, origin, connected, plan.release_id, plan.strategy, plan.drain_timeout)
    lease = lease.model_copy(
        update={"made_from": collect_digests(plan=plan, **({"catch_up": caught_up} if caught_up else {}))}
    )
    context.add_output_metadata(
        {
            "strategy": lease.strategy.value,
            "frozen at": lease.frozen_at.isoformat(timespec="milliseconds"),
            "cluster time": f"{lease.cluster_time.seconds}:{lease.cluster_time.increment}",
        }
    )
    return lease
