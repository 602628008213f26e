"""What happens to a frozen origin when a step fails, and thawing it by hand."""

import dagster as dg

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freeze import thaw
from nmdc_release_ops.mongo.lease import current_lease
from nmdc_release_ops.mongo.swap import is_swap_under_way
from nmdc_release_ops.resources import ConfigurationMissing, Origin, OriginResource
from nmdc_release_ops.steps.failures import told_plainly


class SwapUnderWay(MongoError):
    """Half a swap must not be seen by writers."""


@dg.failure_hook(required_resource_keys={"origin"})
def thaw_after_failure(context: dg.HookContext) -> None:
    """Thaw the origin at once when a step of the run that froze it fails, unless a swap is under way."""
    origin: OriginResource = context.resources.origin
    try:
        with origin.connect() as connected:
            lease = current_lease(connected.client)
            if lease is None or lease.run_id != context.run_id:
                context.log.info("The origin is not frozen by this run.")
                return
            context.log.warning(thaw_unless_swapping(connected, lease.release_id, context.run_id))
    except SwapUnderWay as refusal:
        context.log.error(str(refusal))
    except (MongoError, ConfigurationMissing) as error:
        context.log.error(
            f"The origin could not be thawed: {error} If this run froze it, it still is. As soon as it can be reached, "
            "launch the job `unfreeze`, or re-execute this run from the failed step."
        )


@dg.op(out=dg.Out(dg.Nothing))
def unfreeze_by_hand(context: dg.OpExecutionContext, origin: OriginResource) -> None:
    """Look who holds the origin, say so, and thaw it unless a swap is under way."""
    with told_plainly("Whether the origin is frozen could not be found out."), origin.connect() as connected:
        lease = current_lease(connected.client)
        if lease is None:
            context.log.info("No release holds the origin; there is nothing to undo.")
            return
        context.log.info(
            f"Release {lease.release_id} (run {lease.run_id}) has held the origin since {lease.taken_at:%H:%M:%S} UTC."
        )
        said = thaw_unless_swapping(connected, lease.release_id, context.run_id)
        context.log.info(said)


def thaw_unless_swapping(origin: Origin, release_id: str, run_id: str) -> str:
    """Thaw the origin; return what to tell the operator.

    Raises:
        SwapUnderWay: then the origin has to stay frozen.
    """
    if is_swap_under_way(origin.client, release_id):
        raise SwapUnderWay(
            f"The origin stays frozen on purpose: the swap of release {release_id} was begun and is not finished. "
            "Re-execute its run from `restore` to finish it."
        )
    thaw(origin.client, release_id, thawed_by=run_id)
    return f"The origin is thawed: writes are allowed again (release {release_id} had blocked them)."
