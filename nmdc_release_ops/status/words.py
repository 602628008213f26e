"""Parts of the state of the origin as people read them."""

from nmdc_release_ops.mongo.state.journal import State
from nmdc_release_ops.mongo.state.step_report import Stage, StepReport
from nmdc_release_ops.pace import Pace
from nmdc_release_ops.status.report import Hold, PastRelease
from nmdc_release_ops.status.sentences import format_time
from nmdc_release_ops.units import duration


def describe_step(report: StepReport) -> str:
    """What a run is doing, or what became of it, in one line."""
    what = f"{report.job} {report.release_id}: `{report.step}` is {_STAGES[report.stage]}"
    if report.is_silent and report.seconds_silent is not None:
        what = (
            f"{report.job} {report.release_id}: `{report.step}` has not reported for {duration(report.seconds_silent)}"
        )
    if report.stage is Stage.WORKING and report.done is not None:
        what += f", {report.verb} {Pace(report.done, report.total, report.rate).describe(report.unit)}"
    if report.predicted_seconds is not None and report.blocked_seconds is None:
        what += f"; writes will be blocked for about {duration(report.predicted_seconds)}"
    if report.oplog_seconds_left is not None:
        what += f"; the oplog reaches {duration(report.oplog_seconds_left)} further back than needed"
    when = "" if report.updated_at is None else f" ({format_time(report.updated_at)})"
    return f"{what}{when}"


_STAGES = {Stage.WORKING: "at work", Stage.DONE: "done", Stage.FAILED: "over: it failed"}


def describe_hold(hold: Hold) -> str:
    """Which run holds the origin, and whether it is alive."""
    alive = "its process is gone" if hold.is_abandoned else f"heartbeat {duration(hold.seconds_silent)} ago"
    return f"run {hold.run_id}, {hold.holder}, {alive}"


def describe_release(release: PastRelease) -> str:
    """What became of a release, in one line."""
    what = f"{release.release_id}: {release.from_version} -> {release.to_version}, "
    if release.state is State.SWAPPED and release.swapped_at:
        what += f"swapped in {format_time(release.swapped_at)}"
    elif release.state is State.ROLLED_BACK and release.rolled_back_at:
        what += f"rolled back {format_time(release.rolled_back_at)}"
    else:
        what += f"half done ({release.state})"
    return f"{what}, writes blocked for {duration(release.blocked_seconds)}" if release.blocked_seconds else what
