"""Sends a notice when a run fails."""

import dagster as dg

from nmdc_release_ops.resources.notices import NoticesResource
from nmdc_release_ops.steps.runs.run_facts import find_failure

NOTICE_SECONDS = 30
_NO_ERROR = "It ended without an error message; see the run's page. Re-execute it from failure."


@dg.run_failure_sensor(
    minimum_interval_seconds=NOTICE_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    monitor_all_code_locations=False,
    description="Sends a notice to NMDC_NOTICE_WEBHOOK when a run fails, also if it was killed: what happened, and what to do.",
)
def failure_notice(context: dg.RunFailureSensorContext, notices: NoticesResource) -> dg.SkipReason | None:
    """Sends a notice when a run fails, also if it was killed: what happened, and what to do."""
    if not notices.are_wanted:
        return dg.SkipReason("NMDC_NOTICE_WEBHOOK is not set.")
    run = context.dagster_run
    failure = find_failure(context.instance, run.run_id)
    says = f"Step {failure.step}: {failure.says}" if failure else _NO_ERROR
    problem = notices.send(f"{run.job_name} failed (run {run.run_id}). {says}")
    return dg.SkipReason(f"The notice was not sent: {problem}.") if problem else None
