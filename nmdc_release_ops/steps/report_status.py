"""The job `status`: what state the origin is in, and what to do about it. It only reads."""

import dagster as dg

from nmdc_release_ops.mongo.origin_state import OriginState, read_origin_state
from nmdc_release_ops.mongo.server.topology import describe_server
from nmdc_release_ops.mongo.state.history import History, read_history
from nmdc_release_ops.mongo.state.journal import State
from nmdc_release_ops.mongo.state.lease import Lease
from nmdc_release_ops.resources.origin import OriginConnection, OriginResource
from nmdc_release_ops.steps.shared.failures import explain_failures
from nmdc_release_ops.steps.shared.origin_state import describe_origin, origin_lookup
from nmdc_release_ops.steps.shared.run_tags import name_origin


@dg.op(out=dg.Out(dg.Nothing))
def report_status(context: dg.OpExecutionContext, origin: OriginResource) -> None:
    """Say which database this is and at which schema version, whether writes are blocked, by whom and since when, what the last
    release was and whether it can be rolled back, and what to do next.
    """
    with explain_failures(origin_lookup(origin, context.run_id)), origin.connect() as connected:
        state = read_origin_state(connected.client, connected.database.name)
        history = read_history(connected.database)
        report = {
            "database": _describe_database(context, connected),
            "schema version": history.version or "unknown: the ledger does not say",
            "writes": describe_origin(state, context.run_id),
            "last release": _describe_last(history),
            "run of the release that holds it": _describe_run(context.instance, state.lease),
            "next": _advise(context.instance, state),
        }
    shown = {what: text for what, text in report.items() if text}
    context.log.info("\n".join(f"{what}: {text}" for what, text in shown.items()))
    context.add_output_metadata(shown)


def _describe_database(context: dg.OpExecutionContext, origin: OriginConnection) -> str:
    server = describe_server(origin.client, origin.database.name)
    kind = f"replica set {server.name}" if server.name else server.kind.value
    return f"{name_origin(context, origin)} (MongoDB {server.version}, {kind})"


def _describe_last(history: History) -> str:
    """The last release that reached its swap, and how to undo it."""
    if not history.journals:
        return "none that this project made"
    last = history.journals[0]
    what = f"{last.release_id}, schema {last.from_version} -> {last.to_version}"
    if last.state is State.SWAPPED:
        return (
            f"{what}, swapped in at {last.swapped_at:%Y-%m-%d %H:%M:%S} UTC. Until the next release, the job `rollback` brings "
            f"back schema {last.from_version}."
        )
    if last.state is State.ROLLED_BACK:
        return f"{what}, rolled back at {last.rolled_back_at:%Y-%m-%d %H:%M:%S} UTC."
    return f"{what}, half done."


def _describe_run(instance: dg.DagsterInstance, lease: Lease | None) -> str:
    if lease is None:
        return ""
    run = instance.get_run_by_id(lease.run_id)
    return f"{lease.run_id} of {lease.holder}: {run.status.value.lower() if run else 'not known to this Dagster'}"


def _advise(instance: dg.DagsterInstance, state: OriginState) -> str:
    """The next action."""
    if state.lease is not None and not _is_over(instance, state.lease):
        return "Wait until the release is done."
    if state.is_swap_under_way:
        return "Finish or undo the swap, as said above. Read docs/runbook.md first."
    if state.lease is not None:
        return (
            "Its run is over: frozen_origin_watchdog thaws the origin within half a minute. So does the job `unfreeze`."
        )
    if state.leftovers:
        return "Launch the job `unfreeze`."
    return "Nothing has to be done." if not state.is_write_blocked else "Find out who blocked writes, as said above."


def _is_over(instance: dg.DagsterInstance, lease: Lease) -> bool:
    """Whether nobody is left who finishes what the lease is for."""
    run = instance.get_run_by_id(lease.run_id)
    return lease.is_abandoned or (run is not None and run.is_finished)
