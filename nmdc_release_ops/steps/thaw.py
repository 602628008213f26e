"""What happens to a frozen origin when a step fails, and thawing it by hand."""

import dagster as dg
from pymongo.errors import PyMongoError

from nmdc_release_ops.mongo.bookkeeping import settle
from nmdc_release_ops.mongo.demotion import put_back, read_header
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freeze import is_blocked_by_others, thaw
from nmdc_release_ops.mongo.holder import Holder
from nmdc_release_ops.mongo.journal import SwapUnderWay, newest_journal
from nmdc_release_ops.mongo.lease import Lease, current_lease
from nmdc_release_ops.resources import ConfigurationMissing, Origin, OriginResource
from nmdc_release_ops.steps.failures import runbook_entry, told_plainly


class ReleaseGoesOn(MongoError):
    """The origin is held by a release that works."""


@dg.failure_hook(required_resource_keys={"origin"})
def thaw_after_failure(context: dg.HookContext) -> None:
    """Thaw the origin at once when a step of the run that froze it fails, unless a swap is under way."""
    origin: OriginResource = context.resources.origin
    try:
        with origin.connect() as connected:
            lease = current_lease(connected.client)
            if lease is None or lease.run_id != context.run_id:
                context.log.info("The origin is not frozen by this run.")
                return
            context.log.warning(thaw_unless_swapping(connected, lease, context.run_id))
    except SwapUnderWay as refusal:
        context.log.error(f"{refusal} {runbook_entry(refusal)}")
    except (MongoError, PyMongoError, ConfigurationMissing) as error:
        context.log.error(
            f"The origin could not be thawed: {error} If this run froze it, it still is. The sensor frozen_origin_watchdog "
            "thaws it within half a minute of its being reachable again; so do the job `unfreeze`, and re-executing this run "
            "from the failed step."
        )


@dg.op(out=dg.Out(dg.Nothing))
def unfreeze_by_hand(context: dg.OpExecutionContext, origin: OriginResource) -> None:
    """Look who holds the origin, say so, and thaw it unless a swap is under way or the release goes on."""
    with told_plainly("The origin was left as it is."), origin.connect() as connected:
        lease = current_lease(connected.client)
        if lease is None:
            said = put_back_leftover(connected)
            context.log.info(said or _nobody(is_blocked_by_others(connected.client)))
            return
        run = context.instance.get_run_by_id(lease.run_id)
        context.log.info(
            f"Release {lease.release_id} (run {lease.run_id}, {lease.holder}) has held the origin since "
            f"{lease.taken_at:%Y-%m-%d %H:%M:%S} UTC. Its run is {run.status.value.lower() if run else 'unknown here'}."
        )
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
    """Put back what a release demoted whose lease somebody has removed; empty where there is nothing of the kind."""
    demoted = read_header(origin.client)
    if demoted is None or current_lease(origin.client) is not None:
        return ""
    undone = put_back(origin.client, demoted.release_id)
    said = f"Release {demoted.release_id} had made users and roles read-only, and holds no lease. They were put back."
    return "\n".join((said, *undone.left))


def pay_ledger(origin: Origin) -> str:
    """Write what the last release could not write into the ledger; return what to tell, empty where nothing was owed."""
    journal = newest_journal(origin.client, origin.database.name)
    if journal is None or journal.owed is None:
        return ""
    settled = settle(origin.database, journal)
    if settled.owed is None:
        return f"The ledger has been given what it lacked of release {journal.release_id}."
    return f"Release {journal.release_id} left the database at schema {journal.version}. {settled.owed}"


def _goes_on(lease: Lease) -> bool:
    return not lease.is_abandoned and lease.holder != Holder.this_process()


def _nobody(blocked_by_others: bool) -> str:
    if blocked_by_others:
        return (
            "No release holds the origin, yet writes to it are blocked: somebody else did that, and it is not ours to lift. "
            "Find out who, and lift it with setUserWriteBlockMode."
        )
    return "No release holds the origin, and writes to it are not blocked; there is nothing to undo."
