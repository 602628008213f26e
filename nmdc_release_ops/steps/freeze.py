"""`freeze`: block writes to the origin; reads continue."""

from collections.abc import Callable, Mapping
from functools import partial

import dagster as dg

from nmdc_release_ops.lineage import collect_digests
from nmdc_release_ops.mongo.server.clock import cluster_time
from nmdc_release_ops.mongo.server.progress import Log
from nmdc_release_ops.mongo.state.journal import Journal, refuse_if_swapped
from nmdc_release_ops.mongo.state.lease import freezes_of
from nmdc_release_ops.planning.blocked_time import predict_blocked
from nmdc_release_ops.records.data_release import CaughtUp, FreezeLease, ReleasePlan
from nmdc_release_ops.resources.kept_open import KeptOpenResource
from nmdc_release_ops.resources.origin import OriginConnection, OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.schema import SchemaReleasesResource, SchemaWorkerResource
from nmdc_release_ops.resources.transformer import TransformerResource
from nmdc_release_ops.steps.holding.holding import hold_frozen, refuse_rehearsal
from nmdc_release_ops.steps.holding.thawing import work_on_origin
from nmdc_release_ops.steps.preparing.preparation import start_workers
from nmdc_release_ops.steps.promoting.under_freeze import finish_at_once
from nmdc_release_ops.steps.runs.last_step import executes
from nmdc_release_ops.steps.showing.display import table
from nmdc_release_ops.steps.showing.reporting import note, reporting
from nmdc_release_ops.steps.swapping.swapping import find_begun_swap, is_held_for


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
        reporting(context, plan, origin, home),
        work_on_origin(context, origin, plan.release_id),
        origin.connect_planned(plan) as connected,
    ):
        refuse_rehearsal(plan)
        hold = partial(hold_frozen, context, origin, connected, plan.release_id, plan.strategy, plan.drain_timeout)
        begun = find_begun_swap(connected, plan) if caught_up is not None else None
        if begun is not None:
            lease = _freeze_again(context, connected, plan, begun, hold)
        else:
            # A release that has swapped has no reason to freeze again.
            refuse_if_swapped(connected.client, plan.release_id)
            if not plan.catches_up:
                predicted = predict_blocked(connected.database, plan.origin, home.path, plan.documents)
                note(context.run_id, predicted_seconds=predicted.release.seconds)
            # What re-executes a later step alone starts them itself.
            start_workers(plan, home, schema, worker)
            transformer.start(plan)
            worker.wait_until_ready()
            kept = kept_open.take(plan.release_id)
            if kept is not None:
                # Closed at the end of the run, or by the step that takes it.
                kept_open.keep(plan.release_id, *kept)
            if kept is not None and executes(context.instance, context.run_id, "reconcile", "restore"):
                context.log.info("Blocking writes until what was written last is staged and everything is swapped in.")
                lease, parts = finish_at_once(context, kept[0], plan, hold)
            else:
                lease = hold(context.log.info)
    lease = lease.model_copy(
        update={"made_from": collect_digests(plan=plan, **({"catch_up": caught_up} if caught_up else {}))}
    )
    context.add_output_metadata(
        {
            "strategy": lease.strategy.value,
            "frozen at": lease.frozen_at.isoformat(timespec="milliseconds"),
            "cluster time": f"{lease.cluster_time.seconds}:{lease.cluster_time.increment}",
            **({"parts": _timeline(parts)} if parts else {}),
        }
    )
    return lease


def _timeline(parts: Mapping[str, float]) -> dg.MetadataValue:
    return table({"part": part, "milliseconds": round(seconds * 1000)} for part, seconds in parts.items())


def _freeze_again(
    context: dg.OpExecutionContext,
    origin: OriginConnection,
    plan: ReleasePlan,
    journal: Journal,
    hold: Callable[[Log], FreezeLease],
) -> FreezeLease:
    """The freeze of a swap that an earlier execution of this step began; only a half-done one still needs it."""
    freezes = freezes_of(origin.client, plan.release_id)
    if journal.is_under_way or is_held_for(origin, plan) or not freezes:
        context.log.info("The swap was begun by an earlier execution of this step. The steps that follow finish it.")
        return hold(context.log.info)
    context.log.info("The swap was made by an earlier execution of this step. The steps that follow record it.")
    return FreezeLease(
        release_id=plan.release_id,
        strategy=freezes[-1].strategy,
        frozen_at=freezes[-1].frozen_at,
        cluster_time=journal.unchanged_since or cluster_time(origin.client),
        is_over=True,
    )
