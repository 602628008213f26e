"""`restore`: write the changed collections beside the live ones, verify them, and swap."""

from datetime import datetime
from typing import Any

import dagster as dg

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freezing.freeze import require_frozen
from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.server.clock import cluster_time
from nmdc_release_ops.mongo.state.journal import (
    AlreadySwapped,
    Journal,
    State,
    SwapUnderWay,
    journals_in_force,
    read_journal,
)
from nmdc_release_ops.mongo.swapping.displaced import require_placed
from nmdc_release_ops.mongo.swapping.swap import SwappedRelease, perform_swap, prepare_swap
from nmdc_release_ops.mongo.transfer.stage import Staged
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
from nmdc_release_ops.steps.shared.display import table
from nmdc_release_ops.steps.shared.failures import explain_failures
from nmdc_release_ops.steps.shared.holding import hold_frozen, refuse_rehearsal
from nmdc_release_ops.steps.shared.origin_state import origin_lookup
from nmdc_release_ops.steps.shared.swap_source import DumpedSource, PromotedSource


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
        explain_failures(origin_lookup(origin, context.run_id, plan.release_id)),
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
        if _find_begun_swap(connected, plan) is None:
            source.require_one_chain()
            source.prepare()
        hold_frozen(context, origin, connected, plan.release_id, plan.strategy, plan.drain_timeout)
        journal = _find_begun_swap(connected, plan)
        staged: list[Staged] = []
        if journal is None:
            source.require_one_chain()
            _warn_if_rolled_back(context, connected, plan)
            require_placed(connected.database)
            staged = source.stage()
            journal = _prepare_swap(context, plan, source, connected, staged)
        if journal.is_under_way:
            context.log.info(f"Swapping by {len(journal.moves)} moves: {source.changes.describe()}.")
        journal = perform_swap(connected.database, journal, context.run_id, log=context.log.warning)
        if journal.owed:
            context.log.warning(f"Swapped: the database conforms to schema {plan.to_version}. {journal.owed}")
        else:
            context.log.info(f"Swapped. The ledger says that the database conforms to schema {plan.to_version}.")
        if plan.catches_up:
            _thaw_at_once(context, connected, plan)
        asset = _materialize(plan, source)
    restoration = Restoration(
        made_from=source.digests,
        staged=staged,
        changes=source.changes,
        moves=[(move.source, move.target) for move in journal.moves if move.target is not None],
        swapped_at=_require_end(journal),
    )
    context.log_event(asset)
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
    else:
        context.log.info("Writes are allowed again.")


def _prepare_swap(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    source: DumpedSource | PromotedSource,
    origin: OriginConnection,
    staged: list[Staged],
) -> Journal:
    """Compare the frozen origin with the source once more, and write the journal of the swap."""
    require_frozen(origin.client, plan.release_id, context.run_id)
    moment = cluster_time(origin.client)
    source.refuse_if_changed()
    # Again: the comparison may take long, and a late thaw may lift the block meanwhile.
    require_frozen(origin.client, plan.release_id, context.run_id)
    return prepare_swap(
        origin.database,
        source.changes,
        SwappedRelease(
            release_id=plan.release_id,
            from_version=plan.from_version,
            to_version=plan.to_version,
            migrator_module=plan.last_migrator_module,
            candidate=plan.candidate,
            schema_source=plan.schema_source,
        ),
        context.run_id,
        staged=staged,
        managed=plan.managed,
        hashes_before=source.hashes_before,
        unchanged_since=moment,
    )


def _materialize(plan: ReleasePlan, source: DumpedSource | PromotedSource) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(
        ["nmdc", "database"],
        description=f"The origin, at schema {plan.to_version}",
        metadata={
            "schema version": plan.to_version,
            "before": plan.from_version,
            "documents": sum(source.documents.values()),
            "changes": source.changes.describe(),
            "changed": ", ".join(source.changes.changed) or "none",
            "release": plan.release_id,
            "schema source": plan.schema_source or "the package index",
        },
        tags={"schema_version": plan.to_version},
    )


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


def _find_begun_swap(origin: OriginConnection, plan: ReleasePlan) -> Journal | None:
    """Read the journal of a swap that can only be finished; None if the swap has not begun.

    Raises:
        SwapUnderWay: a rollback of it is under way.
        AlreadySwapped: a later release was swapped in since.
    """
    journal = read_journal(origin.client, plan.release_id)
    if journal is None or journal.state is State.ROLLED_BACK:
        return None
    if journal.state is State.ROLLING_BACK:
        raise SwapUnderWay(journal)
    if (
        journal.state is State.SWAPPED
        and (newest := journals_in_force(origin.client, journal.database)[0]).release_id != plan.release_id
    ):
        raise AlreadySwapped(
            f"Release {plan.release_id} was swapped in, and release {newest.release_id} since: the database is at schema "
            f"{newest.to_version}. Nothing was done. This run has nothing left to do: do not re-execute it."
        )
    return journal


def _warn_if_rolled_back(context: dg.OpExecutionContext, origin: OriginConnection, plan: ReleasePlan) -> None:
    journal = read_journal(origin.client, plan.release_id)
    if journal is not None and journal.rolled_back_at is not None:
        context.log.warning(
            f"Release {plan.release_id} was rolled back at {journal.rolled_back_at:%Y-%m-%d %H:%M:%S} UTC. This run swaps it in "
            "again. If you do not want that, terminate the run now."
        )


def _require_end(journal: Journal) -> datetime:
    if journal.swapped_at is None:
        raise AssertionError("a finished swap has the time of its end")
    return journal.swapped_at
