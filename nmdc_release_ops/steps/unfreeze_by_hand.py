"""The job `unfreeze`: report who holds the origin, and thaw it where that is safe."""

import dagster as dg

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.origin_state import read_origin_state
from nmdc_release_ops.mongo.state.holder import Holder
from nmdc_release_ops.mongo.state.lease import Lease
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.steps.shared.failures import explain_failures
from nmdc_release_ops.steps.shared.origin_state import describe_origin, origin_lookup
from nmdc_release_ops.steps.shared.thawing import put_back_leftover, thaw_unless_swapping


class ReleaseGoesOn(MongoError):
    """The origin is held by a release that works."""


@dg.op(out=dg.Out(dg.Nothing))
def unfreeze_by_hand(context: dg.OpExecutionContext, origin: OriginResource) -> None:
    """Log who holds the origin, and thaw it unless a swap is under way or the release is still running."""
    with explain_failures(origin_lookup(origin, context.run_id)), origin.connect() as connected:
        state = read_origin_state(connected.client, connected.database.name)
        context.log.info(describe_origin(state, context.run_id))
        lease = state.lease
        if lease is None:
            nothing = "" if state.is_write_blocked or state.is_swap_under_way else "There is nothing to undo."
            context.log.info(put_back_leftover(connected) or nothing or "Nothing was undone.")
            return
        run = context.instance.get_run_by_id(lease.run_id)
        context.log.info(f"Its run is {run.status.value.lower() if run else 'unknown here'}.")
        if not (run and run.is_finished) and _goes_on(lease):
            raise ReleaseGoesOn(
                f"Release {lease.release_id} goes on, by {lease.holder}, and was left alone. To stop it, terminate run "
                f"{lease.run_id} on its page; the origin is thawed within half a minute then, or by this job."
            )
        context.log.info(thaw_unless_swapping(connected, lease, context.run_id))


def _goes_on(lease: Lease) -> bool:
    return not lease.is_abandoned and lease.holder != Holder.this_process()
