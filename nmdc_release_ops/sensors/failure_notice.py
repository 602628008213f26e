"""Sends a notice when a run fails."""

import dagster as dg

from nmdc_release_ops.resources.notices import NoticesResource

NOTICE_SECONDS = 30


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
    problem = notices.send(f"{run.job_name} failed (run {run.run_id}). {_describe_failure(context)}")
    return dg.SkipReason(f"The notice was not sent: {problem}.") if problem else None


def _describe_failure(context: dg.RunFailureSensorContext) -> str:
    """Only text that was written for operators: any other error may contain secrets."""
    for event in context.get_step_failure_events():
        failure = event.step_failure_data.user_failure_data
        if failure is not None and failure.description:
            return f"Step {event.step_key}: {failure.description}"
        return f"Step {event.step_key}: an unforeseen error; see the run's page, and docs/runbook.md."
    return "It ended without an error message; see the run's page. Re-execute it from failure."
