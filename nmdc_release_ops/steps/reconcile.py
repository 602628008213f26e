"""`reconcile`: under the freeze, take into account what was written since the last round of `catch_up`."""

from contextlib import ExitStack
from pathlib import Path

import dagster as dg

from nmdc_release_ops.lineage import collect_digests, require_lineage
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.server.connection import naming_failures
from nmdc_release_ops.mongo.state.journal import AlreadySwapped, Journal, SwapUnderWay
from nmdc_release_ops.mongo.state.lease import current_lease, freezes_of
from nmdc_release_ops.records.data_release import Archive, CaughtUp, FreezeLease, Reconciled, ReleasePlan, Round
from nmdc_release_ops.resources.kept_open import KeptOpenResource
from nmdc_release_ops.resources.origin import OriginConnection, OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.schema import SchemaReleasesResource, SchemaWorkerResource
from nmdc_release_ops.resources.transformer import TransformerResource
from nmdc_release_ops.steps.holding.expected_version import require_expected_version
from nmdc_release_ops.steps.holding.holding import hold_frozen
from nmdc_release_ops.steps.holding.thawing import work_on_origin
from nmdc_release_ops.steps.promoting.catching_up import (
    WritesTooFast,
    catch_up_with_writers,
    describe_round,
    describe_rounds,
)
from nmdc_release_ops.steps.promoting.opening import open_promotion
from nmdc_release_ops.steps.promoting.promotion import Promotion
from nmdc_release_ops.steps.promoting.state import PromotionState
from nmdc_release_ops.steps.promoting.under_freeze import WouldTakeTooLong, take_last_round
from nmdc_release_ops.steps.swapping.swapping import find_begun_swap

FREEZES = 3
"""How often the origin is frozen before the promotion gives up."""


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
    with (
        work_on_origin(context, origin, plan.release_id),
        naming_failures("origin"),
        ExitStack() as stack,
    ):
        require_lineage(plan=plan, catch_up=caught_up, freeze=frozen)
        kept = kept_open.take(plan.release_id)
        if kept is not None:
            stack.push(kept[1])
        connected = kept[0].origin if kept else stack.enter_context(origin.connect_planned(plan))
        reconciled = _find_swapped(connected, plan, home)
        if reconciled is None:
            if kept is None:
                _thaw_to_catch_up(context, connected, plan)
            promotion = (
                kept[0]
                if kept
                else stack.enter_context(
                    open_promotion(context, plan, archive, connected, home, transformer, schema, worker)
                )
            )
            reconciled = _reconcile(context, plan, promotion, origin, worker)
    rounds = reconciled.rounds
    context.add_output_metadata(
        {
            "rounds": describe_rounds(rounds),
            "written since the last round": sum(rounds[-1].written.values()),
            "took (s)": round(rounds[-1].seconds, 3),
            "freezes": reconciled.freezes,
            "changes": reconciled.changes.describe(),
        }
    )
    return reconciled.model_copy(
        update={
            "made_from": collect_digests(plan=plan, dump=archive, catch_up=caught_up, freeze=frozen),
            "counted": caught_up.counted and caught_up.counted.with_rounds(rounds),
        }
    )


def _thaw_to_catch_up(context: dg.OpExecutionContext, origin: OriginConnection, plan: ReleasePlan) -> None:
    """Where `freeze` was executed again without `catch_up`, perhaps on another day, what was written since is read and migrated
    while people write; nothing was taken into account yet that a thaw could spoil.
    """
    lease = current_lease(origin.client)
    if lease is None or lease.release_id != plan.release_id:
        return
    if lease.run_id == context.run_id or lease.is_abandoned:
        thaw(origin.client, plan.release_id, thawed_by=context.run_id, held_by=lease.run_id)
        context.log.info("Writes are allowed again until what was written since is caught up with.")


def _find_swapped(origin: OriginConnection, plan: ReleasePlan, home: ReleaseHomeResource) -> Reconciled | None:
    """What the step `freeze` took into account before it began the swap; None where it did not.

    Raises:
        SwapUnderWay, AlreadySwapped, ReleaseRolledBack: see `find_begun_swap`.
    """
    journal = find_begun_swap(origin, plan)
    if journal is None:
        return None
    state = PromotionState.read(home.promotion(plan))
    if state is None:
        raise _explain_lost_record(journal, home.promotion(plan))
    return state.describe_result(state.rounds[-1:], freezes=max(1, len(freezes_of(origin.client, plan.release_id))))


def _explain_lost_record(journal: Journal, folder: Path) -> MongoError:
    """What to do where the swap was begun and nobody can say any more what was taken into account before it."""
    if journal.is_under_way:
        return SwapUnderWay(journal)
    return AlreadySwapped(
        f"Release {journal.release_id} was swapped in at {journal.swapped_at:%Y-%m-%d %H:%M:%S} UTC: the database is at schema "
        f"{journal.to_version}. What the promotion kept in {folder} is gone, so nothing more can be recorded or compared. If "
        "writes are still blocked (the job `status` says so), launch the job `unfreeze`. If the Runtime is to be deployed, do it "
        "by hand. Do not re-execute this run again."
    )


def _reconcile(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    promotion: Promotion,
    origin: OriginResource,
    worker: SchemaWorkerResource,
) -> Reconciled:
    """Freeze, and take what was written since the last round into account, three times at most.

    Raises:
        WritesTooFast. As `hold_frozen` and `take_last_round`.
    """
    rounds: list[Round] = []
    connected = promotion.origin
    if current_lease(connected.client) is None:
        # This step is re-executed, perhaps on another day, or `freeze` could not go on and thawed: most of what was written
        # since needs no freeze.
        require_expected_version(plan, connected)
        rounds += _catch_up(context, promotion, plan, worker)
    for attempt in range(1, FREEZES + 1):
        # If only this step is re-executed, the origin was thawed in between.
        lease = hold_frozen(context, origin, connected, plan.release_id, plan.strategy, plan.drain_timeout)
        try:
            rounds.append(take_last_round(context, promotion, plan, lease))
            context.log.info(describe_round(rounds[-1], len(rounds)))
            break
        except WouldTakeTooLong as error:
            thaw(connected.client, plan.release_id, thawed_by=context.run_id)
            context.log.warning(f"{error} The origin is thawed: writes are allowed again.")
            if attempt == FREEZES:
                raise WritesTooFast(
                    f"The origin was frozen {FREEZES} times, and each time what had been written since the last round would "
                    f"have blocked writes for longer than {plan.max_frozen_seconds} seconds (max_frozen_seconds). Nothing "
                    "was changed but staged collections. Re-execute the run from `catch_up` when less is written, or launch "
                    "`promote` with a larger max_frozen_seconds."
                ) from None
            rounds += _catch_up(context, promotion, plan, worker)
    return promotion.describe_result(rounds, attempt)


def _catch_up(
    context: dg.OpExecutionContext, promotion: Promotion, plan: ReleasePlan, worker: SchemaWorkerResource
) -> list[Round]:
    """Rounds while people write, and everything else that the next freeze does not have to wait for."""
    rounds = catch_up_with_writers(context, promotion, plan, None)
    promotion.verify_staged()
    worker.wait_until_ready()
    return rounds
