"""Thaws an origin that a run left frozen."""

from collections.abc import Callable
from contextlib import ExitStack

import dagster as dg

from nmdc_release_ops.folders import releases_folder
from nmdc_release_ops.mongo.origin_state import read_origin_state
from nmdc_release_ops.mongo.server.identity import identify_set
from nmdc_release_ops.mongo.state.lease import Lease
from nmdc_release_ops.resources.notices import NoticesResource
from nmdc_release_ops.resources.origin import OriginConnection, OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.status.metrics import write_metrics
from nmdc_release_ops.status.sentences import describe_origin
from nmdc_release_ops.steps.holding.thawing import lift_leftover_freeze, thaw_unless_swapping, write_owed_event
from nmdc_release_ops.steps.pages.release_pages import show_ended, show_left

WATCHDOG_SECONDS = 30


@dg.sensor(
    minimum_interval_seconds=WATCHDOG_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Thaws the origin within half a minute when a run ended and left it frozen. Leave it on: without it, releases "
    "refuse to freeze.",
)
def frozen_origin_watchdog(
    context: dg.SensorEvaluationContext, origin: OriginResource, notices: NoticesResource
) -> dg.SkipReason:
    """Thaws an origin whose run ended without doing so: it failed and its hook could not run, was cancelled or killed, or its
    machine was lost.

    After that it writes the page of a run that was cancelled or killed. If no release holds the origin, it writes into the ledger
    the event that the last one could not write.

    It also marks a run whose process is gone as failed, so that it can be re-executed; Dagster does not detect that itself.

    It never thaws while a swap is under way: then the tick fails, as an alarm, until the run is re-executed or rolled back. A
    run that this Dagster does not know may be running in another one: while its heartbeat is current, it is only reported.
    """
    with origin.connect() as connected, ExitStack() as stack:
        # At the end of the tick, however it ends.
        stack.callback(_write_pages, context, lambda home: _show_ended(context, connected, origin, home))
        stack.callback(_write_metrics, context, connected)
        state = read_origin_state(connected.client, connected.database.name)
        held = describe_origin(state, run_id="")
        lease = state.lease
        if lease is None:
            return dg.SkipReason(lift_leftover_freeze(connected) or write_owed_event(connected) or held)
        run = context.instance.get_run_by_id(lease.run_id)
        if run is not None and not run.is_finished and lease.is_abandoned:
            context.instance.report_run_failed(
                run,
                f"The run's {lease.holder} is gone: {_describe_end(lease)}. Re-execute the run from failure to continue.",
            )
            run = context.instance.get_run_by_id(lease.run_id) or run
        if run is None and not lease.is_abandoned:
            return dg.SkipReason(f"{held} This Dagster does not know the run, and its heartbeat is current.")
        if run is not None and not run.is_finished:
            return dg.SkipReason(f"{held} Its run is still in progress.")
        left_by = lease.run_id
        stack.callback(_write_pages, context, lambda home: show_left(context.instance, home, left_by, origin))
        outcome = thaw_unless_swapping(connected, lease, "frozen_origin_watchdog")
        # Before the callbacks: Dagster ends a tick that takes longer than a minute, and the next one finds nothing to report.
        return dg.SkipReason(_report(context, lease, run, outcome, notices))


def _report(
    context: dg.SensorEvaluationContext, lease: Lease, run: dg.DagsterRun | None, outcome: str, notices: NoticesResource
) -> str:
    """Write into the log of the run that it was thawed, and send a notice; return what the tick says."""
    ended = f"ended ({run.status.value.lower()})" if run else "is not known to this Dagster, its process is gone"
    message = f"Run {lease.run_id} {ended} and had left the origin frozen. {outcome}"
    if run is not None:
        context.instance.report_engine_event(f"frozen_origin_watchdog: {outcome}", run)
    problem = notices.send(message) if notices.are_wanted else None
    return f"{message} The notice was not sent: {problem}." if problem else message


def _write_metrics(context: dg.SensorEvaluationContext, origin: OriginConnection) -> None:
    """Monitoring sees with each tick that somebody watches. Whatever prevents that, the tick has done its work."""
    try:
        write_metrics(origin.database, ReleaseHomeResource().path, is_tick=True)
    except Exception as error:
        context.log.warning(f"The metrics were not written ({type(error).__name__}): {error}")


def _show_ended(
    context: dg.SensorEvaluationContext, connected: OriginConnection, origin: OriginResource, home: ReleaseHomeResource
) -> None:
    releases = releases_folder(home.path, identify_set(connected.client), connected.database.name)
    show_ended(context.instance, home, releases, origin, context.log)


def _write_pages(context: dg.SensorEvaluationContext, write: Callable[[ReleaseHomeResource], None]) -> None:
    """Nothing else writes the page of a run that was cancelled or killed. Whatever prevents that, the tick has done its work."""
    try:
        write(ReleaseHomeResource())
    except BlockingIOError:
        context.log.info("Another process is writing pages: this tick writes none.")
    except Exception as error:
        context.log.warning(f"The page of a run that ended was not written ({type(error).__name__}): {error}")


def _describe_end(lease: Lease) -> str:
    if lease.holder.is_local:
        return "it was killed"
    return f"it sent no heartbeat for {lease.silent.total_seconds():.0f} s"
