"""The job `unfreeze`: report who holds the origin, and thaw it if that is safe."""

import dagster as dg

from nmdc_release_ops.mongo.origin_state import read_origin_state
from nmdc_release_ops.mongo.state.holder import Holder
from nmdc_release_ops.mongo.state.lease import Lease
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.status.sentences import describe_origin
from nmdc_release_ops.steps.holding.origin_state import origin_lookup
from nmdc_release_ops.steps.holding.thawing import lift_leftover_freeze, thaw_unless_swapping
from nmdc_release_ops.steps.runs.run_tags import name_origin
from nmdc_release_ops.steps.shared.failures import StepError, explain_failures


class ReleaseStillRunning(StepError):
    """The origin is held by a release that is still running."""


@dg.op(out=dg.Out(dg.Nothing))
def unfreeze_by_hand(context: dg.OpExecutionContext, origin: OriginResource) -> None:
    """Log who holds the origin, and thaw it unless a swap is under way or the release is still running."""
    with explain_failures(origin_lookup(origin, context.run_id)), origin.connect() as connected:
        name_origin(context, connected)
        state = read_origin_state(connected.client, connected.database.name)
        context.log.info(describe_origin(state, context.run_id))
        lease = state.lease
        if lease is None:
            nothing = "" if state.is_write_blocked or state.is_swap_under_way else "There is nothing to undo."
            context.log.info(lift_leftover_freeze(connected) or nothing or "Nothing was undone.")
            return
        run = context.instance.get_run_by_id(lease.run_id)
        context.log.info(f"Its run is {run.status.value.lower() if run else 'not known to this Dagster'}.")
        if not (run and run.is_finished) and _is_running(lease):
            raise ReleaseStillRunning(
                f"Release {lease.release_id} is still running ({lease.holder}); it was left alone. To stop it, terminate run "
                f"{lease.run_id} on its page; the watchdog then thaws the origin within half a minute, or launch this job again."
            )
        context.log.info(thaw_unless_swapping(connected, lease, context.run_id))


def _is_running(lease: Lease) -> bool:
    return not lease.is_abandoned and lease.holder != Holder.this_process()
