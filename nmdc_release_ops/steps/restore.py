"""`restore`: write what changed beside the live collections, prove it, and swap."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import ParamSpec

import dagster as dg

from nmdc_release_ops.lineage import made_from, require_lineage, require_same_data
from nmdc_release_ops.mongo.difference.changes import require_definitions
from nmdc_release_ops.mongo.freezing.freeze import require_frozen
from nmdc_release_ops.mongo.server.clock import cluster_time
from nmdc_release_ops.mongo.state.bookkeeping import require_conforming
from nmdc_release_ops.mongo.state.journal import (
    AlreadySwapped,
    Journal,
    State,
    SwapUnderWay,
    journals_in_force,
    read_journal,
)
from nmdc_release_ops.mongo.state.lease import require_lease
from nmdc_release_ops.mongo.swapping.displaced import drop_staged, require_placed
from nmdc_release_ops.mongo.swapping.released import require_in_force
from nmdc_release_ops.mongo.swapping.swap import SwappedRelease, perform_swap, prepare_swap
from nmdc_release_ops.mongo.swapping.unchanged import require_unchanged
from nmdc_release_ops.mongo.transfer import engine
from nmdc_release_ops.mongo.transfer.stage import Staged
from nmdc_release_ops.records.data_release import Archive, MigratedDatabase, ReleasePlan, Restoration, ValidationReport
from nmdc_release_ops.resources.origin import Origin, OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHome
from nmdc_release_ops.resources.transformer import TransformerResource
from nmdc_release_ops.steps.freeze import hold_frozen
from nmdc_release_ops.steps.shared.display import log_progress, table
from nmdc_release_ops.steps.shared.failures import explain_failures
from nmdc_release_ops.steps.shared.origin_state import origin_lookup

P = ParamSpec("P")


@dg.op(out=dg.Out(Restoration, description="What was staged, verified and swapped."))
def restore(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    archive: Archive,
    migrated: MigratedDatabase,
    validation: ValidationReport,
    origin: OriginResource,
    home: ReleaseHome,
    transformer: TransformerResource,
) -> Restoration:
    """Stage the changed collections beside the live ones, verify them, swap them in, and record the new version.

    Collections that the migration left untouched are not written at all.
    """
    with (
        explain_failures(origin_lookup(origin, context.run_id, plan.release_id)),
        origin.connect_planned(plan) as connected,
    ):
        if _begun_swap(connected, plan) is None:
            _require_one_chain(plan, archive, migrated, validation)
        hold_frozen(context, origin, connected, plan.release_id, plan.strategy, plan.drain_timeout)
        journal = _begun_swap(connected, plan)
        staged: list[Staged] = []
        if journal is None:
            _require_one_chain(plan, archive, migrated, validation)
            _warn_if_rolled_back(context, connected, plan)
            require_placed(connected.database)
            # Before staging, which takes long and drops what was staged before; and again after it.
            _refuse_if_changed(connected, plan, archive)
            with transformer.open(plan, migrated.database) as scratch:
                hold = partial(require_lease, connected.client, plan.release_id, context.run_id)
                hold()
                drop_staged(connected.database)
                progress = log_progress(context, "staged", sum(migrated.documents[n] for n in migrated.changes.staged))
                require_definitions(scratch.database, migrated.definitions, migrated.changes.staged)
                for name in migrated.changes.staged:
                    staged.append(
                        engine.stage(
                            plan.engine,
                            scratch,
                            connected,
                            name,
                            validation.hashes[name],
                            folder=home.release(plan),
                            report=_after(hold, progress),
                            log=_after(hold, context.log.info),
                        )
                    )
                    context.log.info(f"Staged {name}: {staged[-1].documents:,} documents, hash {staged[-1].hash}.")
                require_definitions(scratch.database, migrated.definitions, migrated.changes.staged)
            require_frozen(connected.client, plan.release_id, context.run_id)
            moment = cluster_time(connected.client)
            _refuse_if_changed(connected, plan, archive)
            # Again: comparing may take long, and a thaw that comes late may lift the block meanwhile.
            require_frozen(connected.client, plan.release_id, context.run_id)
            journal = prepare_swap(
                connected.database,
                migrated.changes,
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
                hashes_before={one.name: one.hash for one in archive.collections},
                unchanged_since=moment,
            )
        if journal.is_under_way:
            context.log.info(f"Swapping by {len(journal.moves)} moves: {migrated.changes.describe()}.")
        journal = perform_swap(connected.database, journal, context.run_id, log=context.log.warning)
        if journal.owed:
            context.log.warning(f"Swapped: the database conforms to schema {plan.to_version}. {journal.owed}")
        else:
            context.log.info(f"Swapped. The ledger says that the database conforms to schema {plan.to_version}.")
    restoration = Restoration(
        made_from=made_from(plan=plan, dump=archive, migrate=migrated, validate=validation),
        staged=staged,
        changes=migrated.changes,
        moves=[(move.source, move.target) for move in journal.moves if move.target is not None],
        swapped_at=_swapped_at(journal),
    )
    context.log_event(
        dg.AssetMaterialization(
            ["nmdc", "database"],
            description=f"The origin, at schema {plan.to_version}",
            metadata={
                "schema version": plan.to_version,
                "before": plan.from_version,
                "documents": sum(migrated.documents.values()),
                "changes": migrated.changes.describe(),
                "changed": ", ".join(migrated.changes.changed) or "none",
                "release": plan.release_id,
                "schema source": plan.schema_source or "the package index",
            },
            tags={"schema_version": plan.to_version},
        )
    )
    context.add_output_metadata(
        {
            "changes": migrated.changes.describe(),
            "staged": table(
                {"collection": one.name, "documents": one.documents, "indexes": one.indexes, "server's hash": one.hash}
                for one in staged
            ),
            "renamed": table({"from": source, "to": target} for source, target in restoration.moves),
            "untouched": ", ".join(migrated.changes.untouched) or "none",
        }
    )
    return restoration


def _begun_swap(origin: Origin, plan: ReleasePlan) -> Journal | None:
    """The journal of a swap that can only be finished; None where the swap may still begin.

    Raises:
        SwapUnderWay: undoing it was begun.
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
            f"{newest.to_version}. Nothing was done, and nothing of this run is left to do. Execute it no more."
        )
    return journal


def _warn_if_rolled_back(context: dg.OpExecutionContext, origin: Origin, plan: ReleasePlan) -> None:
    journal = read_journal(origin.client, plan.release_id)
    if journal is not None and journal.rolled_back_at is not None:
        context.log.warning(
            f"Release {plan.release_id} was rolled back at {journal.rolled_back_at:%Y-%m-%d %H:%M:%S} UTC. This run swaps it in "
            "again. If that is not wanted, terminate the run now."
        )


def _require_one_chain(
    plan: ReleasePlan, archive: Archive, migrated: MigratedDatabase, validation: ValidationReport
) -> None:
    """Check that exactly this archive was migrated, and exactly the result validated. Not needed once a swap was begun: the
    check was made before the journal was written, and the swap has to be finished in any case.

    Raises:
        LineageBroken, CollectionsDisagree.
    """
    require_lineage(plan=plan, dump=archive, migrate=migrated, validate=validation)
    require_same_data(archive, migrated, validation)


def _after(hold: Callable[[], None], report: Callable[P, None]) -> Callable[P, None]:
    """`report`, after a check that the lease is still ours: a run that was taken for lost must stop staging."""

    def hold_and_tell(*args: P.args, **kwargs: P.kwargs) -> None:
        hold()
        report(*args, **kwargs)

    return hold_and_tell


def _refuse_if_changed(origin: Origin, plan: ReleasePlan, archive: Archive) -> None:
    """Compare the origin with what was dumped: after a failure it was thawed, and people may have written.

    Raises:
        LedgerChanged: another release came in between.
        OriginChanged: naming the collections.
    """
    require_conforming(origin.database, plan.versions_before)
    require_in_force(origin.database, plan.in_force, plan.release_id)
    require_unchanged(origin.database, archive.collections, archive.cluster_time, plan.managed)


def _swapped_at(journal: Journal) -> datetime:
    if journal.swapped_at is None:
        raise AssertionError("a finished swap says when")
    return journal.swapped_at
