"""The job `status`: what state the origin is in, and what to do about it. It only reads."""

import dagster as dg

from nmdc_release_ops.mongo.state.journal import State
from nmdc_release_ops.mongo.state.lease import Lease
from nmdc_release_ops.mongo.state.step_report import Stage
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.status.newest import begin_to_find_newest
from nmdc_release_ops.status.report import StatusReport, read_status
from nmdc_release_ops.status.sentences import format_time
from nmdc_release_ops.status.words import describe_step
from nmdc_release_ops.steps.holding.origin_state import origin_lookup
from nmdc_release_ops.steps.runs.run_tags import name_origin
from nmdc_release_ops.steps.shared.failures import explain_failures


@dg.op(out=dg.Out(dg.Nothing))
def report_status(context: dg.OpExecutionContext, origin: OriginResource, home: ReleaseHomeResource) -> None:
    """Say which database this is and at which schema version, whether writes are blocked, by whom and since when, what the last
    release was and whether it can be rolled back, and what to do next. The command `nmdc-release status` says the same.
    """
    with explain_failures(origin_lookup(origin, context.run_id)), origin.connect() as connected:
        name_origin(context, connected)
        newest = begin_to_find_newest(home.path)
        status = read_status(
            connected.database,
            connected.uri,
            home.path,
            newest.result(),
            run_id=context.run_id,
            is_over=lambda lease: _is_over(context.instance, lease),
        )
    report = {
        "database": f"{status.origin} ({status.server})",
        "schema version": status.schema_version or "unknown: the ledger does not say",
        "newest schema release": status.newest_schema_release or "unknown: the package index does not say",
        "writes": status.writes,
        "last release": _describe_last(status),
        "rehearsal": status.promotion.says,
        "run of the release that holds it": _describe_run(context.instance, status),
        "working": "\n".join(describe_step(one) for one in status.working if one.stage is not Stage.DONE),
        "warnings": "\n".join(status.warnings),
        "next": status.next.says,
    }
    shown = {what: text for what, text in report.items() if text}
    context.log.info("\n".join(f"{what}: {text}" for what, text in shown.items()))
    context.add_output_metadata(shown)


def _describe_last(status: StatusReport) -> str:
    """The last release that reached its swap, and how to undo it."""
    if not status.releases:
        return "none that this project made"
    last = status.releases[0]
    what = f"{last.release_id}, schema {last.from_version} -> {last.to_version}"
    if last.state is State.SWAPPED and last.swapped_at:
        return f"{what}, swapped in at {format_time(last.swapped_at)}. {status.rollback.says}"
    if last.state is State.ROLLED_BACK and last.rolled_back_at:
        return f"{what}, rolled back at {format_time(last.rolled_back_at)}."
    return f"{what}, half done."


def _describe_run(instance: dg.DagsterInstance, status: StatusReport) -> str:
    if status.hold is None:
        return ""
    run = instance.get_run_by_id(status.hold.run_id)
    found = run.status.value.lower() if run else "not known to this Dagster"
    return f"{status.hold.run_id} of {status.hold.holder}: {found}"


def _is_over(instance: dg.DagsterInstance, lease: Lease) -> bool:
    """Whether nobody is left who finishes what the lease is for."""
    run = instance.get_run_by_id(lease.run_id)
    return lease.is_abandoned or (run is not None and run.is_finished)
