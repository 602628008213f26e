"""`freeze`: block writes to the origin; reads continue."""

from collections.abc import Mapping
from functools import partial

import dagster as dg

from nmdc_release_ops.lineage import collect_digests
from nmdc_release_ops.mongo.state.journal import refuse_if_swapped
from nmdc_release_ops.records.data_release import CaughtUp, FreezeLease, ReleasePlan
from nmdc_release_ops.resources.kept_open import KeptOpenResource
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.schema import SchemaReleasesResource, SchemaWorkerResource
from nmdc_release_ops.resources.transformer import TransformerResource
from nmdc_release_ops.steps.promoting.under_freeze import finish_at_once
from nmdc_release_ops.steps.shared.display import table
from nmdc_release_ops.steps.shared.failures import explain_failures
from nmdc_release_ops.steps.shared.holding import hold_frozen, refuse_rehearsal
from nmdc_release_ops.steps.shared.last_step import executes
from nmdc_release_ops.steps.shared.origin_state import origin_lookup
from nmdc_release_ops.steps.shared.preparation import start_workers
from nmdc_release_ops.steps.shared.swapping import find_begun_swap


@dg.op(out=dg.Out(FreezeLease, description="Since when, and how, the origin is frozen."))
def freeze(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    origin: OriginResource,
    home: ReleaseHomeResource,
    transformer: TransformerResource,
    schema: SchemaReleasesResource,
    worker: SchemaWorkerResource,
    kept_open: KeptOpenResource,
    caught_up: CaughtUp | None = None,
) -> FreezeLease:
    """Take the lease on the origin and block writes to it. From here until `unfreeze`, scientists can only read.

    A promotion freezes when little is left to catch up with. It goes on at once with what `reconcile` and `restore` are for, and
    allows writes again, if the run executes them: from one step to the next, Dagster needs as long as for all of this.

    A private transformer and the processes that migrate and validate are started first, so that nobody waits for them.
    """
    parts: dict[str, float] = {}
    with (
        explain_failures(origin_lookup(origin, context.run_id, plan.release_id)),
        origin.connect_planned(plan) as connected,
    ):
        refuse_rehearsal(plan)
        if caught_up is None:
            # A release that has swapped has no reason to freeze again.
            refuse_if_swapped(connected.client, plan.release_id)
        elif find_begun_swap(connected, plan) is not None:
            context.log.info(
                "The swap was begun by an earlier execution of this step. The steps that follow finish it."
            )
        # What re-executes a later step alone starts them itself.
        start_workers(plan, home, schema, worker)
        transformer.start(plan)
        worker.wait_until_ready()
        hold = partial(hold_frozen, context, origin, connected, plan.release_id, plan.strategy, plan.drain_timeout)
        kept = kept_open.take(plan.release_id)
        if kept is not None and executes(context.instance, context.run_id, "reconcile", "restore"):
            promotion, closing = kept
            context.log.info("Writes are blocked until what was written last is staged and everything is swapped in.")
            lease, parts = finish_at_once(context, promotion, plan, hold)
            kept_open.keep(plan.release_id, promotion, closing)
        else:
            lease = hold(context.log.info)
            if kept is not None:
                kept_open.keep(plan.release_id, *kept)
    lease = lease.model_copy(
        update={"made_from": collect_digests(plan=plan, **({"catch_up": caught_up} if caught_up else {}))}
    )
    context.add_output_metadata(
        {
            "strategy": lease.strategy.value,
            "frozen at": lease.frozen_at.isoformat(timespec="milliseconds"),
            "cluster time": f"{lease.cluster_time.seconds}:{lease.cluster_time.increment}",
            **({"writes were blocked for": _timeline(parts)} if parts else {}),
        }
    )
    return lease


def _timeline(parts: Mapping[str, float]) -> dg.MetadataValue:
    return table({"part": part, "milliseconds": round(seconds * 1000)} for part, seconds in parts.items())
