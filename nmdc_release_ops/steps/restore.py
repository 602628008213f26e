"""`restore`: write the changed collections beside the live ones, verify them, and swap."""

from datetime import datetime
from typing import Any

import dagster as dg

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.state.journal import Journal
from nmdc_release_ops.mongo.state.lease import freezes_of
from nmdc_release_ops.records.data_release import (
    Archive,
    MigratedDatabase,
    Reconciled,
    ReleasePlan,
    Restoration,
    ValidationReport,
)
from nmdc_release_ops.resources.origin import OriginConnection, OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.transformer import TransformerResource
from nmdc_release_ops.steps.holding.holding import hold_frozen, refuse_rehearsal
from nmdc_release_ops.steps.holding.thawing import work_on_origin
from nmdc_release_ops.steps.runs.last_step import executes
from nmdc_release_ops.steps.shared.recording import record_release
from nmdc_release_ops.steps.showing.display import table
from nmdc_release_ops.steps.showing.reporting import reporting
from nmdc_release_ops.steps.swapping.swap_source import DumpedSource, PromotedSource
from nmdc_release_ops.steps.swapping.swapping import find_begun_swap, is_held_for, swap_in


@dg.op(out=dg.Out(Restoration, description="What was staged, verified and swapped."))
def restore(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    origin: OriginResource,
    home: ReleaseHomeResource,
    transformer: TransformerResource,
    archive: Archive | None = None,
    migrated: MigratedDatabase | None = None,
    validation: ValidationReport | None = None,
    reconciled: Reconciled | None = None,
) -> Restoration:
    """Stage the changed collections beside the live ones, verify them, swap them in, and record the new version.

    Untouched collections are not written at all. In a promotion everything is staged already.
    """
    with (
        reporting(context, plan, origin, home),
        work_on_origin(context, origin, plan.release_id),
        origin.connect_planned(plan) as connected,
    ):
        refuse_rehearsal(plan)
        source: PromotedSource | DumpedSource
        if reconciled is not None:
            source = PromotedSource(plan, reconciled, connected)
        elif archive is not None and migrated is not None and validation is not None:
            source = DumpedSource(context, plan, archive, migrated, validation, connected, home, transformer)
        else:
            raise AssertionError(
                "a job connects either what was dumped, migrated and validated, or what was reconciled"
            )
        begun = find_begun_swap(connected, plan)
        if begun is None:
            source.require_one_chain()
            source.prepare()
        # What was swapped in at once and thawed, in the step `freeze` of a promotion, needs no other freeze.
        if begun is None or begun.is_under_way or not plan.catches_up or is_held_for(connected, plan):
            hold_frozen(context, origin, connected, plan.release_id, plan.strategy, plan.drain_timeout)
        swapped = swap_in(context, plan, source, connected, context.log.info)
        if plan.catches_up:
            _thaw_at_once(context, connected, plan)
        restoration = Restoration(
            made_from=source.digests,
            staged=[one for one in swapped.staged or source.staged if swapped.journal.hashes.get(one.name) == one.hash],
            changes=source.changes,
            moves=[(move.source, move.target) for move in swapped.journal.moves if move.target is not None],
            swapped_at=_require_end(swapped.journal),
            documents=sum(source.documents.values()),
            counted=source.counted,
        )
        if not executes(context.instance, context.run_id, "unfreeze"):
            # `unfreeze` records it otherwise, when it is known how long writes were blocked.
            record_release(context, plan, restoration, freezes_of(connected.client, plan.release_id), connected)
    context.add_output_metadata(_describe(restoration))
    return restoration


def _thaw_at_once(context: dg.OpExecutionContext, origin: OriginConnection, plan: ReleasePlan) -> None:
    """Allow writes now: of the second for which a promotion blocks them, what Dagster does between two steps would be a large
    part. `unfreeze` does it where this fails.
    """
    try:
        thaw(origin.client, plan.release_id, thawed_by=context.run_id, held_by=context.run_id)
    except MongoError as error:
        context.log.warning(f"{error} The step `unfreeze` tries again.")
        return
    if is_held_for(origin, plan):
        context.log.warning(
            "Another run of the release holds the origin now. The step `unfreeze` thaws it, or that run does."
        )
    else:
        context.log.info("Writes are allowed again.")


def _describe(restoration: Restoration) -> dict[str, Any]:
    """The restoration as the run page shows it."""
    return {
        "changes": restoration.changes.describe(),
        "staged": table(
            {"collection": one.name, "documents": one.documents, "indexes": one.indexes, "server's hash": one.hash}
            for one in restoration.staged
        ),
        "renamed": table({"from": source, "to": target} for source, target in restoration.moves),
        "untouched": ", ".join(restoration.changes.untouched) or "none",
    }


def _require_end(journal: Journal) -> datetime:
    if journal.swapped_at is None:
        raise AssertionError("a finished swap has the time of its end")
    return journal.swapped_at
