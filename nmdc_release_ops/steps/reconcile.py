"""`reconcile`: under the freeze, take into account what was written since the last round of `catch_up`."""

import time
from contextlib import ExitStack

import dagster as dg

from nmdc_release_ops.lineage import collect_digests, require_lineage
from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.server.clock import server_time
from nmdc_release_ops.mongo.server.connection import naming_failures
from nmdc_release_ops.mongo.state.journal import refuse_if_swapped
from nmdc_release_ops.mongo.state.lease import current_lease
from nmdc_release_ops.records.data_release import Archive, CaughtUp, FreezeLease, Reconciled, ReleasePlan, Round
from nmdc_release_ops.resources.kept_open import KeptOpenResource
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.schema import SchemaReleasesResource, SchemaWorkerResource
from nmdc_release_ops.resources.transformer import TransformerResource
from nmdc_release_ops.steps.promoting.catching_up import (
    WritesTooFast,
    catch_up_with_writers,
    describe_round,
    describe_rounds,
)
from nmdc_release_ops.steps.promoting.opening import open_promotion
from nmdc_release_ops.steps.promoting.promotion import Promotion
from nmdc_release_ops.steps.shared.expected_version import require_expected_version
from nmdc_release_ops.steps.shared.failures import explain_failures
from nmdc_release_ops.steps.shared.holding import hold_frozen
from nmdc_release_ops.steps.shared.origin_state import origin_lookup
from nmdc_release_ops.units import duration

FREEZES = 3
"""How often the origin is frozen before the promotion gives up."""


class _WouldTakeTooLong(Exception):
    """What is left of a round would block writes longer than is allowed."""


@dg.op(out=dg.Out(Reconciled, description="What is staged is what the release makes of the frozen origin."))
def reconcile(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    archive: Archive,
    caught_up: CaughtUp,
    frozen: FreezeLease,
    origin: OriginResource,
    home: ReleaseHomeResource,
    transformer: TransformerResource,
    schema: SchemaReleasesResource,
    worker: SchemaWorkerResource,
    kept_open: KeptOpenResource,
) -> Reconciled:
    """Take the last delta into account while nobody writes.

    Where that would block writes for longer than `max_frozen_seconds`, the origin is thawed, what was written is caught up with,
    and the origin frozen again, three times at most.
    """
    rounds: list[Round] = []
    with (
        explain_failures(origin_lookup(origin, context.run_id, plan.release_id)),
        naming_failures("origin"),
        ExitStack() as stack,
    ):
        require_lineage(plan=plan, catch_up=caught_up, freeze=frozen)
        kept = kept_open.take(plan.release_id)
        if kept is not None:
            promotion: Promotion = kept[0]
            stack.push(kept[1])
            refuse_if_swapped(promotion.origin.client, plan.release_id)
        else:
            opened = stack.enter_context(origin.connect_planned(plan))
            refuse_if_swapped(opened.client, plan.release_id)
            promotion = stack.enter_context(
                open_promotion(context, plan, archive, opened, home, transformer, schema, worker)
            )
        connected = promotion.origin
        if current_lease(connected.client) is None:
            # Only this step is re-executed, perhaps on another day: most of what was written since needs no freeze.
            require_expected_version(plan, connected)
            rounds += catch_up_with_writers(context, promotion, plan, None)
            worker.wait_until_ready()
        for attempt in range(1, FREEZES + 1):
            # If only this step is re-executed, the origin was thawed in between.
            lease = hold_frozen(context, origin, connected, plan.release_id, plan.strategy, plan.drain_timeout)
            try:
                rounds.append(_advance_frozen(context, promotion, plan, lease))
                context.log.info(describe_round(rounds[-1], len(rounds)))
                break
            except _WouldTakeTooLong as error:
                thaw(connected.client, plan.release_id, thawed_by=context.run_id)
                context.log.warning(f"{error} The origin is thawed: writes are allowed again.")
                if attempt == FREEZES:
                    raise WritesTooFast(
                        f"The origin was frozen {FREEZES} times, and each time what had been written since the last round would "
                        f"have blocked writes for longer than {plan.max_frozen_seconds} seconds (max_frozen_seconds). Nothing "
                        "was changed but staged collections. Re-execute the run from `catch_up` when less is written, or launch "
                        "`promote` with a larger max_frozen_seconds."
                    ) from None
                rounds += catch_up_with_writers(context, promotion, plan, None)
                worker.wait_until_ready()
        reconciled = promotion.describe_result(rounds, attempt)
    context.add_output_metadata(
        {
            "rounds": describe_rounds(rounds),
            "written since the last round": sum(rounds[-1].written.values()),
            "took (s)": round(rounds[-1].seconds, 3),
            "freezes": attempt,
            "changes": reconciled.changes.describe(),
        }
    )
    return reconciled.model_copy(
        update={"made_from": collect_digests(plan=plan, dump=archive, catch_up=caught_up, freeze=frozen)}
    )


def _advance_frozen(
    context: dg.OpExecutionContext, promotion: Promotion, plan: ReleasePlan, lease: FreezeLease
) -> Round:
    """Take the last delta into account.

    Raises:
        _WouldTakeTooLong: nothing was staged.
    """
    blocked = (server_time(promotion.origin.client) - lease.frozen_at).total_seconds()
    ends = time.monotonic() + plan.max_frozen_seconds - blocked

    def limit(seconds: float) -> None:
        if time.monotonic() + seconds > ends:
            raise _WouldTakeTooLong(
                f"What was written since the last round would block writes for longer than {plan.max_frozen_seconds} seconds: "
                f"the next part alone takes about {duration(seconds)}."
            )

    require_expected_version(plan, promotion.origin)
    promotion.refuse_staged_by_others()
    return promotion.advance(context, limit=limit)
