"""`unfreeze`: allow writes again."""

import dagster as dg

from nmdc_release_ops.lineage import collect_digests, require_lineage
from nmdc_release_ops.mongo.freezing.freeze import AlreadyFrozen
from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.freezing.write_block import is_blocked_by_others
from nmdc_release_ops.mongo.state.lease import freezes_of
from nmdc_release_ops.records.data_release import FreezeWindow, ReleasePlan, Restoration
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.schema import SchemaReleasesResource
from nmdc_release_ops.resources.transformer import TransformerResource
from nmdc_release_ops.steps.holding.thawing import work_on_origin
from nmdc_release_ops.steps.pages.release_pages import summarize_end
from nmdc_release_ops.steps.preparing.pruning import remove_what_is_superseded
from nmdc_release_ops.steps.promoting.verifying import describe_verification, verify_promotion
from nmdc_release_ops.steps.runs.run_tags import tag_run
from nmdc_release_ops.steps.shared.recording import record_checks_of_release, record_release
from nmdc_release_ops.steps.showing.display import table
from nmdc_release_ops.steps.showing.reporting import note, reporting
from nmdc_release_ops.units import duration


# Dagster requires different names for ops and jobs, and there is a job `unfreeze`: in the graph of `data_release` this op
# has the alias `unfreeze`.
@dg.op(name="unfreeze_after_release", out=dg.Out(FreezeWindow, description="How long writes were blocked."))
def unfreeze(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    restoration: Restoration,
    origin: OriginResource,
    home: ReleaseHomeResource,
    schema: SchemaReleasesResource,
    transformer: TransformerResource,
) -> FreezeWindow:
    """Allow writes and release the lease. After a promotion, compare everything once more while people write.

    Also removes the transformer's files, archives that are no longer needed, and unused schema environments.
    """
    with (
        reporting(context, plan, origin, home),
        work_on_origin(context, origin, plan.release_id),
        origin.connect_planned(plan) as connected,
    ):
        require_lineage(plan=plan, restore=restoration)
        thaw(connected.client, plan.release_id, thawed_by=context.run_id)
        if is_blocked_by_others(connected.client):
            raise AlreadyFrozen(
                "Writes are still blocked, but not by this release, which no longer holds the lease. Find out who blocked them, "
                "and lift the block with setUserWriteBlockMode."
            )
        window = FreezeWindow(
            made_from=collect_digests(plan=plan, restore=restoration),
            freezes=freezes_of(connected.client, plan.release_id),
        )
        _log_window(context, window)
        record_release(context, plan, restoration, window.freezes, connected)
        note(context.run_id, blocked_seconds=window.seconds)
        if plan.catches_up:
            verification = verify_promotion(context, plan, connected, home)
            window = window.model_copy(update={"verification": verification})
        record_checks_of_release(context, plan, restoration, connected)
    remove_what_is_superseded(context, plan, origin, home, transformer, schema)
    context.add_output_metadata(
        {
            **summarize_end(context, home, unfreeze=window),
            "writes blocked for": duration(window.seconds),
            "seconds blocked": round(window.seconds, 3),
            "users and roles put back": window.put_back,
            "changed by others meanwhile, and left": "\n".join(window.left) or "nothing",
            "freezes": table(
                {
                    "frozen at": freeze.frozen_at.isoformat(timespec="seconds"),
                    "thawed at": freeze.thawed_at.isoformat(timespec="seconds"),
                    "for": duration(freeze.seconds),
                    "strategy": freeze.strategy.value,
                }
                for freeze in window.freezes
            ),
            **(describe_verification(window.verification) if window.verification else {}),
        }
    )
    return window


def _log_window(context: dg.OpExecutionContext, window: FreezeWindow) -> None:
    context.log.info(f"Writes are allowed again. They were blocked for {duration(window.seconds)}.")
    tag_run(context, writes_blocked=duration(window.seconds))
    if window.put_back:
        context.log.info(f"{window.put_back} users and roles were put back to their state before the freeze.")
    for line in window.left:
        context.log.warning(line)
