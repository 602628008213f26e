"""`restore`: write what changed beside the live collections, prove it, and swap."""

from collections.abc import Callable
from functools import partial
from typing import ParamSpec

import dagster as dg

from nmdc_release_ops.mongo import engine
from nmdc_release_ops.mongo.collections import comparable_indexes, list_collections
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freeze import require_frozen
from nmdc_release_ops.mongo.journal import Journal, State, SwapUnderWay, read_journal
from nmdc_release_ops.mongo.lease import require_lease
from nmdc_release_ops.mongo.ledger import require_recorded
from nmdc_release_ops.mongo.staging import STAGED, Staged, drop_generation
from nmdc_release_ops.mongo.swap import perform_swap, prepare_swap
from nmdc_release_ops.mongo.unchanged import changed_since
from nmdc_release_ops.records import Archive, MigratedDatabase, ReleasePlan, Restoration, ValidationReport
from nmdc_release_ops.resources import Origin, OriginResource, ReleaseHome, TransformerResource
from nmdc_release_ops.steps.display import log_progress, table
from nmdc_release_ops.steps.failures import told_plainly
from nmdc_release_ops.steps.freeze import hold_frozen

P = ParamSpec("P")

UNDER_WAY = (
    "If the log says that the swap was begun, the origin stays frozen on purpose: re-execute the run from `restore` to "
    "finish it. Otherwise no data of the origin was changed, and the run thaws it now."
)


class OriginChanged(MongoError):
    """The origin is not what was dumped."""


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
    with told_plainly(UNDER_WAY), origin.connect() as connected:
        hold_frozen(context, origin, connected, plan.release_id, plan.strategy, plan.drain_timeout)
        journal = read_journal(connected.client, plan.release_id)
        if journal is not None and journal.state is State.ROLLING_BACK:
            raise SwapUnderWay(journal)
        staged: list[Staged] = []
        if journal is None or journal.state is State.ROLLED_BACK:
            # Before staging, which takes long and drops what was staged before; and again after it.
            _refuse_if_changed(connected, plan, archive)
            with transformer.open(home.transformer(plan.release_id)) as scratch:
                hold = partial(require_lease, connected.client, plan.release_id, context.run_id)
                hold()
                drop_generation(connected.database, STAGED)
                progress = log_progress(context, "staged", sum(migrated.documents[n] for n in migrated.changes.staged))
                for name in migrated.changes.staged:
                    staged.append(
                        engine.stage(
                            plan.engine,
                            scratch,
                            connected,
                            name,
                            validation.hashes[name],
                            folder=home.release(plan.release_id),
                            report=_after(hold, progress),
                            tell=_after(hold, context.log.info),
                        )
                    )
                    context.log.info(f"Staged {name}: {staged[-1].documents:,} documents, hash {staged[-1].hash}.")
            require_frozen(connected.client, plan.release_id, context.run_id)
            _refuse_if_changed(connected, plan, archive)
            journal = prepare_swap(
                connected.database,
                migrated.changes,
                release_id=plan.release_id,
                run_id=context.run_id,
                from_version=plan.from_version,
                to_version=plan.to_version,
                migrator_module=plan.last_migrator_module,
                staged=staged,
                candidate=plan.candidate,
                schema_source=plan.schema_source,
            )
        if journal.is_under_way:
            context.log.info(f"Swapping by {len(journal.moves)} moves: {migrated.changes.describe()}.")
        journal = perform_swap(connected.database, journal, context.run_id)
        context.log.info(f"Swapped. The ledger says that the database conforms to schema {plan.to_version}.")
    restoration = _restoration(journal, staged, migrated)
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


def _after(hold: Callable[[], None], told: Callable[P, None]) -> Callable[P, None]:
    """`told`, but first make sure that the origin is still ours: a run that was taken for lost must not go on staging."""

    def hold_and_tell(*args: P.args, **kwargs: P.kwargs) -> None:
        hold()
        told(*args, **kwargs)

    return hold_and_tell


def _refuse_if_changed(origin: Origin, plan: ReleasePlan, archive: Archive) -> None:
    """Compare the origin with what was dumped: after a failure it was thawed, and people may have written.

    Raises:
        LedgerChanged: another release came in between.
        OriginChanged: naming the collections.
    """
    require_recorded(origin.database, plan.versions_before)
    live = list_collections(origin.database, {*plan.managed, *archive.hashes})
    described = {archived.name: archived.describe() for archived in archive.collections}
    changed = {
        name
        for name, then in described.items()
        if name not in live
        or dict(live[name].options) != dict(then.options)
        or comparable_indexes(live[name].indexes) != comparable_indexes(then.indexes)
    }
    changed |= live.keys() - described.keys()
    changed |= set(changed_since(origin.database, archive.cluster_time, archive.hashes))
    if changed:
        raise OriginChanged(
            f"{', '.join(sorted(changed))} of the origin changed since it was dumped, so that swapping would lose what was "
            "written. Re-execute this run from `dump`, or launch a new release."
        )


def _restoration(journal: Journal, staged: list[Staged], migrated: MigratedDatabase) -> Restoration:
    if journal.swapped_at is None:
        raise AssertionError("a finished swap says when")
    return Restoration(
        staged=staged,
        changes=migrated.changes,
        moves=[(move.source, move.target) for move in journal.moves if move.target is not None],
        swapped_at=journal.swapped_at,
    )
