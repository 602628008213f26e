"""Thaws an origin that a run left frozen."""

import dagster as dg

from nmdc_release_ops.mongo.origin_state import read_origin_state
from nmdc_release_ops.mongo.state.lease import Lease
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.steps.shared.origin_state import describe_origin
from nmdc_release_ops.steps.shared.thawing import pay_ledger, put_back_leftover, thaw_unless_swapping

WATCHDOG_SECONDS = 30


@dg.sensor(minimum_interval_seconds=WATCHDOG_SECONDS, default_status=dg.DefaultSensorStatus.RUNNING)
def frozen_origin_watchdog(context: dg.SensorEvaluationContext, origin: OriginResource) -> dg.SkipReason:
    """Thaws an origin whose run has ended without doing so: failed where its hook could not run, cancelled, killed, or on a
    machine that was lost.

    If no release holds the origin, it writes into the ledger what the last one could not.

    A run whose process is gone is also marked as failed, so that it can be re-executed; Dagster does not see that itself.

    Never while a swap is under way: then the tick fails, as an alarm, until the run is re-executed or rolled back. A run that
    this Dagster does not know may be going on in another one; as long as its heartbeat is heard it is left alone and named.
    """
    with origin.connect() as connected:
        state = read_origin_state(connected.client, connected.database.name)
        held = describe_origin(state, run_id="")
        lease = state.lease
        if lease is None:
            return dg.SkipReason(put_back_leftover(connected) or pay_ledger(connected) or held)
        run = context.instance.get_run_by_id(lease.run_id)
        if run is not None and not run.is_finished and lease.is_abandoned:
            context.instance.report_run_failed(
                run,
                f"The run's {lease.holder} is gone: {_how_it_went(lease)}. Re-execute the run from failure to go on.",
            )
            run = context.instance.get_run_by_id(lease.run_id) or run
        if run is None and not lease.is_abandoned:
            return dg.SkipReason(f"{held} This Dagster does not know the run, and its heartbeat is current.")
        if run is not None and not run.is_finished:
            return dg.SkipReason(f"{held} Its run is still in progress.")
        said = thaw_unless_swapping(connected, lease, "frozen_origin_watchdog")
    ended = f"ended ({run.status.value.lower()})" if run else "is not known here and its process is gone"
    return dg.SkipReason(f"Run {lease.run_id} {ended} and had left the origin frozen. {said}")


def _how_it_went(lease: Lease) -> str:
    if lease.holder.is_local:
        return "it was killed"
    return f"it has not been heard of for {lease.silent.total_seconds():.0f} s"
