"""Notices about the progress of a release. They can be late or lost, and never fail a release."""

import dagster as dg

from nmdc_release_ops.records.data_release import FreezeLease, FreezeWindow, Purpose, ReleasePlan, ValidationReport
from nmdc_release_ops.records.follow_up import FollowedUp
from nmdc_release_ops.resources.notices import NoticesResource
from nmdc_release_ops.units import duration, size

_PLANNED = {
    Purpose.RELEASE: ("release", "The origin is frozen next."),
    Purpose.REHEARSAL: ("rehearsal", "Nobody is kept from writing."),
    Purpose.PROMOTION: (
        "promotion",
        "Writes are blocked for a moment, when what was written since the rehearsal is staged.",
    ),
    Purpose.ONLINE_RELEASE: (
        "online release",
        "Writes are blocked for a moment, when everything is migrated and staged.",
    ),
}


@dg.success_hook(required_resource_keys={"notices"})
def send_notice(context: dg.HookContext) -> None:
    """Send a notice when a release or a rehearsal is planned and done, and when the origin is frozen."""
    notices: NoticesResource = context.resources.notices
    text = _describe_progress(context) if notices.are_wanted else None
    if text is None:
        return
    problem = notices.send(f"{text} (run {context.run_id})")
    if problem:
        context.log.warning(f"A notice was not sent: {problem}. The release continues.")


def _describe_progress(context: dg.HookContext) -> str | None:
    # `choose` has several outputs; people want to know of its plan.
    record = context.op_output_values.get("result") or context.op_output_values.get("plan")
    if isinstance(record, ReleasePlan):
        warnings = f" Warnings: {' '.join(record.warnings)}" if record.warnings else ""
        what, next_step = _PLANNED[record.purpose]
        return (
            f"NMDC {what} planned: schema {record.from_version} -> {record.to_version}, {len(record.migrators)} migrators, "
            f"{record.documents:,} documents, {size(record.bytes)}. {next_step}{warnings}"
        )
    if isinstance(record, ValidationReport) and record.conclusion:
        return record.conclusion
    if isinstance(record, FreezeLease) and record.is_over:
        return None
    if isinstance(record, FreezeLease):
        return f"The NMDC database is frozen for release {record.release_id}: users can read it, but not write to it."
    if isinstance(record, FreezeWindow):
        name = record.freezes[-1].release_id if record.freezes else "the release"
        verified = f" {record.verification.describe()}" if record.verification else ""
        return (
            f"The NMDC database can be written to again; writes were blocked for {duration(record.seconds)}. "
            f"Release {name} succeeded.{verified}"
        )
    if isinstance(record, FollowedUp):
        return f"After the release of the NMDC database: {record.describe()}"
    if context.step_key == "deploy":
        return "The NMDC Runtime was deployed."
    if context.step_key == "roll_back":
        return "The last release of the NMDC database was rolled back, and the database can be written to."
    return None
