"""What happens to a frozen origin when a step fails or a run ends without `unfreeze`, and thawing it by hand."""

import dagster as dg
from pymongo.errors import PyMongoError

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freezing.thaw import thaw, undo_leftover
from nmdc_release_ops.mongo.origin_state import read_origin_state
from nmdc_release_ops.mongo.state.bookkeeping import is_superseded, settle
from nmdc_release_ops.mongo.state.holder import Holder
from nmdc_release_ops.mongo.state.journal import SwapUnderWay, newest_journal
from nmdc_release_ops.mongo.state.lease import Lease, current_lease
from nmdc_release_ops.resources.environment import ConfigurationMissing
from nmdc_release_ops.resources.origin import Origin, OriginResource
from nmdc_release_ops.steps.shared.failures import explain_failures, runbook_entry
from nmdc_release_ops.steps.shared.last_step import read_steps
from nmdc_release_ops.steps.shared.origin_state import describe_origin, describe_own_lease, origin_lookup


class ReleaseGoesOn(MongoError):
    """The origin is held by a release that works."""


@dg.failure_hook(required_resource_keys={"origin"})
def thaw_after_failure(context: dg.HookContext) -> None:
    """Thaw the origin at once when a step of the run that froze it fails, unless a swap is under way."""
    if not _thaw_own(context):
        context.log.info("The origin is not frozen by this run.")


@dg.success_hook(required_resource_keys={"origin"})
def thaw_after_last_step(context: dg.HookContext) -> None:
    """Thaw the origin when the last of the steps that a run executes has succeeded and `unfreeze` is not among them."""
    steps = read_steps(context.instance, context.run_id, context.step_key)
    if not steps.left:
        _thaw_own(context, f"This run ends without the steps that were not selected: {', '.join(steps.not_selected)}. ")


def _thaw_own(context: dg.HookContext, why: str = "") -> bool:
    """Thaw the origin if this run holds it, and log the outcome. False if this run does not hold it.

    Args:
        why: text to put before the message.
    """
    origin: OriginResource = context.resources.origin
    try:
        with origin.connect() as connected:
            lease = current_lease(connected.client)
            if lease is None or lease.run_id != context.run_id:
                return False
            context.log.warning(why + thaw_unless_swapping(connected, lease, context.run_id))
    except SwapUnderWay as refusal:
        context.log.error(f"{refusal} {runbook_entry(refusal)}")
    except (MongoError, PyMongoError, ConfigurationMissing) as error:
        context.log.error(f"{why}The origin could not be thawed: {error} {describe_own_lease(context.run_id)}")
    return True


@dg.op(out=dg.Out(dg.Nothing))
def unfreeze_by_hand(context: dg.OpExecutionContext, origin: OriginResource) -> None:
    """Log who holds the origin, and thaw it unless a swap is under way or the release is still running."""
    with explain_failures(origin_lookup(origin, context.run_id)), origin.connect() as connected:
        state = read_origin_state(connected.client, connected.database.name)
        context.log.info(describe_origin(state, context.run_id))
        lease = state.lease
        if lease is None:
            nothing = "" if state.is_write_blocked or state.is_swap_under_way else "There is nothing to undo."
            context.log.info(put_back_leftover(connected) or nothing or "Nothing was undone.")
            return
        run = context.instance.get_run_by_id(lease.run_id)
        context.log.info(f"Its run is {run.status.value.lower() if run else 'unknown here'}.")
        if not (run and run.is_finished) and _goes_on(lease):
            raise ReleaseGoesOn(
                f"Release {lease.release_id} goes on, by {lease.holder}, and was left alone. To stop it, terminate run "
                f"{lease.run_id} on its page; the origin is thawed within half a minute then, or by this job."
            )
        context.log.info(thaw_unless_swapping(connected, lease, context.run_id))


def thaw_unless_swapping(origin: Origin, lease: Lease, run_id: str) -> str:
    """Thaw the origin; return what to tell the operator.

    Args:
        lease: as it was when it was found that its run is over.

    Raises:
        SwapUnderWay: then the origin has to stay frozen.
    """
    thawed = thaw(origin.client, lease.release_id, thawed_by=run_id, held_by=lease.run_id)
    if thawed is None:
        return (
            "The lease changed hands just now: somebody else thawed the origin, or a re-executed run goes on with it."
        )
    said = f"The origin is thawed: writes are allowed again (release {lease.release_id} had blocked them)."
    return "\n".join((said, *thawed.left))


def put_back_leftover(origin: Origin) -> str:
    """Undo the freeze of a release that holds no lease any more; empty where there is nothing of the kind."""
    undone = undo_leftover(origin.client, "leftover")
    if undone is None:
        return ""
    leftover, restored = undone
    return "\n".join((f"Release {leftover.release_id} {leftover.effect}. {leftover.outcome}", *restored.left))


def pay_ledger(origin: Origin) -> str:
    """Write what the last release could not write into the ledger; return a message, empty where nothing was owed."""
    journal = newest_journal(origin.client, origin.database.name)
    if journal is None or journal.owed is None:
        return ""
    event = journal.owed.event
    superseded = is_superseded(origin.database, journal)
    settled = settle(origin.database, journal)
    if settled.owed is None and superseded:
        return (
            f"The ledger lacks the event {event} of release {journal.release_id}, and does not get it any more: somebody has "
            "recorded another migration since."
        )
    if settled.owed is None:
        return f"The missing event of release {journal.release_id} was written into the ledger."
    return f"Release {journal.release_id} brought the database to schema {journal.version}. {settled.owed}"


def _goes_on(lease: Lease) -> bool:
    return not lease.is_abandoned and lease.holder != Holder.this_process()
