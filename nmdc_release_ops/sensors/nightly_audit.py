"""`nightly_audit`: launches an audit each night."""

import dagster as dg

CRON = "0 3 * * *"


def build_nightly_audit(job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """Build the schedule `nightly_audit`."""
    return dg.ScheduleDefinition(
        name="nightly_audit",
        job=job,
        cron_schedule=CRON,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Launches `audit` at 3:00 UTC: it judges the database as it is, while people work, and sends a notice when "
        "it finds something new. NMDC_AUDIT_DOCUMENTS_PER_SECOND limits how fast it reads. Off until you turn it on.",
    )
