"""Thawing the origin when a step fails or a run ends without `unfreeze`, and cleaning up after an earlier release."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import pymongo
from pymongo.errors import PyMongoError

from nmdc_release_ops.foreseen import runbook_entry
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freezing.thaw import thaw, undo_leftover
from nmdc_release_ops.mongo.state.bookkeeping import is_superseded, settle
from nmdc_release_ops.mongo.state.journal import SwapUnderWay, newest_journal
from nmdc_release_ops.mongo.state.lease import Lease, current_lease
from nmdc_release_ops.pages.summary import Outcome
from nmdc_release_ops.resources.environment import ConfigurationMissing
from nmdc_release_ops.resources.origin import OriginConnection, OriginResource
from nmdc_release_ops.steps.holding.origin_state import describe_own_lease, origin_lookup
from nmdc_release_ops.steps.pages.release_pages import show_end, show_progress
from nmdc_release_ops.steps.runs.last_step import read_steps
from nmdc_release_ops.steps.shared.failures import explain_failures
from nmdc_release_ops.steps.showing.reporting import report_failure

CANCELLED_SECONDS = 5.0
"""How long a cancelled run tries to thaw the origin."""


@contextmanager
def work_on_origin(context: dg.OpExecutionContext, origin: OriginResource, release_id: str | None) -> Iterator[None]:
    """What all steps have in common that may hold the origin frozen.

    Foreseen errors are explained with the state of the origin. A run that is cancelled in the block thaws the origin at once,
    unless a swap is under way: Dagster calls no hook then.

    Raises:
        dagster.Failure: see `explain_failures`.
    """
    with explain_failures(origin_lookup(origin, context.run_id, release_id)):
        try:
            yield
        except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
            # Whoever cancels waits for it. What takes longer, the watchdog does.
            with pymongo.timeout(CANCELLED_SECONDS):
                _thaw_own(origin, context.run_id, context.log, "The run was cancelled. ")
            raise


@dg.failure_hook(required_resource_keys={"origin", "home"})
def thaw_after_failure(context: dg.HookContext) -> None:
    """Thaw the origin at once when a step of the run that froze it fails, unless a swap is under way; then report it, and write
    its page.
    """
    if not _thaw_own(context.resources.origin, context.run_id, context.log):
        context.log.info("The origin is not frozen by this run.")
    report_failure(context, context.resources.origin, context.resources.home)
    show_end(context, Outcome.FAILED, context.resources.origin)


@dg.success_hook(required_resource_keys={"origin", "home"})
def thaw_after_last_step(context: dg.HookContext) -> None:
    """Thaw the origin when the last of the steps that a run executes has succeeded and `unfreeze` is not among them; then write
    the release's page.
    """
    steps = read_steps(context.instance, context.run_id, context.step_key)
    if not steps.left:
        why = f"This run ends without the steps that were not selected: {', '.join(steps.not_selected)}. "
        _thaw_own(context.resources.origin, context.run_id, context.log, why)
    show_progress(context, context.resources.origin)


def _thaw_own(origin: OriginResource, run_id: str, log: dg.DagsterLogManager, why: str = "") -> bool:
    """Thaw the origin if this run holds it, and log the outcome. False if this run does not hold it.

    Args:
        why: text to put before the message.
    """
    try:
        with origin.connect() as connected:
            lease = current_lease(connected.client)
            if lease is None or lease.run_id != run_id:
                return False
            log.warning(why + thaw_unless_swapping(connected, lease, run_id))
    except SwapUnderWay as refusal:
        log.error(f"{why}{refusal} {runbook_entry(refusal)}")
    except (MongoError, PyMongoError, ConfigurationMissing) as error:
        log.error(f"{why}The origin could not be thawed: {error} {describe_own_lease(run_id)}")
    return True


def thaw_unless_swapping(origin: OriginConnection, lease: Lease, run_id: str) -> str:
    """Thaw the origin; return a message for the operator.

    Args:
        lease: as it was read when its run was found to be over.

    Raises:
        SwapUnderWay: the origin has to stay frozen.
    """
    thawed = thaw(origin.client, lease.release_id, thawed_by=run_id, held_by=lease.run_id)
    if thawed is None:
        return "The lease has just changed: somebody else thawed the origin, or a re-executed run took it over."
    message = f"The origin is thawed: writes are allowed again (release {lease.release_id} had blocked them)."
    return "\n".join((message, *thawed.left))


def lift_leftover_freeze(origin: OriginConnection) -> str:
    """Undo the freeze of a release that no longer holds the lease; return a message, empty if there was no such freeze."""
    undone = undo_leftover(origin.client, "leftover")
    if undone is None:
        return ""
    leftover, restored = undone
    return "\n".join((f"Release {leftover.release_id} {leftover.effect}. {leftover.outcome}", *restored.left))


def write_owed_event(origin: OriginConnection) -> str:
    """Write the event that the last release could not write into the ledger; return a message, empty if none was missing."""
    journal = newest_journal(origin.client, origin.database.name)
    if journal is None or journal.owed is None:
        return ""
    event = journal.owed.event
    superseded = is_superseded(origin.database, journal)
    settled = settle(origin.database, journal)
    if settled.owed is None and superseded:
        return (
            f"The event {event} of release {journal.release_id} is missing from the ledger and is dropped: somebody has recorded "
            "another migration since."
        )
    if settled.owed is None:
        return f"The missing event of release {journal.release_id} was written into the ledger."
    return f"Release {journal.release_id} brought the database to schema {journal.version}. {settled.owed}"
