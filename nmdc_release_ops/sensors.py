"""What watches by itself."""

import dagster as dg

from nmdc_release_ops.mongo.lease import current_lease
from nmdc_release_ops.resources import OriginResource
from nmdc_release_ops.steps.thaw import thaw_unless_swapping

WATCHDOG_SECONDS = 30


@dg.sensor(minimum_interval_seconds=WATCHDOG_SECONDS, default_status=dg.DefaultSensorStatus.RUNNING)
def frozen_origin_watchdog(context: dg.SensorEvaluationContext, origin: OriginResource) -> dg.SkipReason:
    """Thaws an origin whose run has ended without doing so: failed where its hook could not run, cancelled, or killed.

    A run whose process is gone is also marked as failed, so that it can be re-executed; Dagster does not see that itself.

    Never while a swap is under way: then the tick fails, as an alarm, until the run is re-executed. A run that this
    Dagster does not know may be going on in another one; it is left alone and named.
    """
    with origin.connect() as connected:
        lease = current_lease(connected.client)
        if lease is None:
            return dg.SkipReason("No release holds the origin.")
        run = context.instance.get_run_by_id(lease.run_id)
        if run is None:
            return dg.SkipReason(
                f"Release {lease.release_id} holds the origin by run {lease.run_id} ({lease.holder}), which this Dagster does "
                "not know. If that run is over, launch the job `unfreeze`."
            )
        if not run.is_finished and lease.holder.is_gone():
            context.instance.report_run_failed(
                run, f"The run's {lease.holder} is gone: it was killed. Re-execute the run from failure to go on."
            )
            run = context.instance.get_run_by_id(lease.run_id) or run
        if not run.is_finished:
            return dg.SkipReason(f"Release {lease.release_id} holds the origin, and its run {run.run_id} goes on.")
        said = thaw_unless_swapping(connected, lease.release_id, "frozen_origin_watchdog")
    return dg.SkipReason(f"Run {run.run_id} ended ({run.status.value.lower()}) and had left the origin frozen. {said}")
