"""Swapping in what is staged or is to be staged, for the steps that do it."""

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from nmdc_release_ops.mongo.freezing.freeze import require_frozen
from nmdc_release_ops.mongo.server.clock import cluster_time
from nmdc_release_ops.mongo.server.progress import Log
from nmdc_release_ops.mongo.state.journal import (
    AlreadySwapped,
    Journal,
    ReleaseRolledBack,
    State,
    SwapUnderWay,
    journals_in_force,
    read_journal,
)
from nmdc_release_ops.mongo.state.lease import current_lease
from nmdc_release_ops.mongo.swapping.displaced import require_placed
from nmdc_release_ops.mongo.swapping.swap import SwappedRelease, perform_swap, prepare_swap
from nmdc_release_ops.mongo.transfer.stage import Staged
from nmdc_release_ops.records.data_release import ReleasePlan
from nmdc_release_ops.resources.origin import OriginConnection
from nmdc_release_ops.steps.swapping.swap_source import DumpedSource, PromotedSource


@dataclass(frozen=True)
class Swapped:
    """A swap that is done.

    Attributes:
        staged: what was staged for it; empty if it was an earlier execution that did it.
    """

    journal: Journal
    staged: Sequence[Staged]


def find_begun_swap(origin: OriginConnection, plan: ReleasePlan) -> Journal | None:
    """Read the journal of a swap that can only be finished; None if the swap has not begun.

    Raises:
        SwapUnderWay: a rollback of it is under way.
        ReleaseRolledBack: it was rolled back.
        AlreadySwapped: a later release was swapped in since.
    """
    journal = read_journal(origin.client, plan.release_id)
    if journal is None:
        return None
    if journal.state is State.ROLLED_BACK:
        raise ReleaseRolledBack(journal)
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


def is_held_for(origin: OriginConnection, plan: ReleasePlan) -> bool:
    """Whether the release holds the origin, by whichever of its runs."""
    lease = current_lease(origin.client)
    return lease is not None and lease.release_id == plan.release_id


def swap_in(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    source: DumpedSource | PromotedSource,
    origin: OriginConnection,
    log: Log,
) -> Swapped:
    """Begin the swap on a frozen origin, unless it was begun; finish it, and record the version in the ledger.

    Args:
        context: of the step, for its warnings.
        log: receives what is done.

    Raises:
        As `DumpedSource.stage`, `prepare_swap` and `perform_swap`.
    """
    journal = find_begun_swap(origin, plan)
    staged: Sequence[Staged] = []
    if journal is None:
        source.require_one_chain()
        require_placed(origin.database)
        staged = source.stage()
        journal = _prepare_swap(context, plan, source, origin, staged)
    if journal.is_under_way:
        log(f"Swapping by {len(journal.moves)} moves: {source.changes.describe()}.")
    journal = perform_swap(origin.database, journal, context.run_id, log=context.log.warning)
    if journal.owed:
        context.log.warning(f"Swapped: the database conforms to schema {plan.to_version}. {journal.owed}")
    else:
        log(f"Swapped. The ledger says that the database conforms to schema {plan.to_version}.")
    return Swapped(journal, staged)


def _prepare_swap(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    source: DumpedSource | PromotedSource,
    origin: OriginConnection,
    staged: Sequence[Staged],
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
