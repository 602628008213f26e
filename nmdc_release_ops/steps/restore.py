"""`restore`: write the changed collections beside the live ones, verify them, and swap."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, ParamSpec

import dagster as dg

from nmdc_release_ops.lineage import collect_digests, require_lineage, require_same_data
from nmdc_release_ops.mongo.difference.changes import require_definitions
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freezing.freeze import require_frozen
from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.server.clock import cluster_time
from nmdc_release_ops.mongo.server.collections import collection_hashes, collection_size
from nmdc_release_ops.mongo.state.generations import STAGED
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
from nmdc_release_ops.mongo.swapping.swap import SwappedRelease, perform_swap, prepare_swap
from nmdc_release_ops.mongo.swapping.unchanged import refuse_if_written_since, require_unchanged
from nmdc_release_ops.mongo.transfer import engine
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
from nmdc_release_ops.resources.transformer import TransformerConnection, TransformerResource
from nmdc_release_ops.steps.shared.display import log_progress, table
from nmdc_release_ops.steps.shared.expected_version import require_expected_version
from nmdc_release_ops.steps.shared.failures import explain_failures
from nmdc_release_ops.steps.shared.holding import hold_frozen, refuse_rehearsal
from nmdc_release_ops.steps.shared.origin_state import origin_lookup

P = ParamSpec("P")


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
        source: _Promoted | _Dumped
        if reconciled is not None:
            source = _Promoted(context, plan, reconciled, connected)
        elif archive is not None and migrated is not None and validation is not None:
            source = _Dumped(context, plan, archive, migrated, validation, connected, home, transformer)
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
        thaw(origin.client, plan.release_id, thawed_by=context.run_id)
    except MongoError as error:
        context.log.warning(f"{error} The step `unfreeze` tries again.")
    else:
        context.log.info("Writes are allowed again.")


class _Dumped:
    """The source of a release that froze the origin before it dumped it."""

    def __init__(
        self,
        context: dg.OpExecutionContext,
        plan: ReleasePlan,
        archive: Archive,
        migrated: MigratedDatabase,
        validation: ValidationReport,
        origin: OriginConnection,
        home: ReleaseHomeResource,
        transformer: TransformerResource,
    ) -> None:
        self._context = context
        self._plan = plan
        self._archive = archive
        self._migrated = migrated
        self._validation = validation
        self._origin = origin
        self._home = home
        self._transformer = transformer
        self.changes = migrated.changes
        self.documents = migrated.documents
        self.hashes_before: Mapping[str, str] | None = archive.hashes
        self.digests = collect_digests(plan=plan, dump=archive, migrate=migrated, validate=validation)

    def require_one_chain(self) -> None:
        """Check that exactly this archive was migrated, and exactly the result validated. Not needed once a swap has begun: the
        check was made before the journal was written, and the swap has to be finished in any case.

        Raises:
            LineageBroken, CollectionsDisagree.
        """
        archive, migrated, validation = self._archive, self._migrated, self._validation
        require_lineage(plan=self._plan, dump=archive, migrate=migrated, validate=validation)
        require_same_data(archive, migrated, validation)

    def prepare(self) -> None:
        """Do what needs no frozen origin."""
        self._transformer.start(self._plan)

    def refuse_if_changed(self) -> None:
        """Compare the origin with the dump: after a failure it was thawed, and users may have written.

        Raises:
            LedgerChanged: there was another release in between.
            OriginChanged: naming the collections.
        """
        require_expected_version(self._plan, self._origin)
        archive = self._archive
        require_unchanged(self._origin.database, archive.collections, archive.cluster_time, self._plan.managed)

    def stage(self) -> list[Staged]:
        """Stage the changed collections; see `_stage`."""
        # Before staging, which takes long and drops the earlier staged collections; and again after it.
        self.refuse_if_changed()
        with self._transformer.open(self._plan, self._migrated.database) as scratch:
            return _stage(
                self._context, self._plan, self._migrated, self._validation, scratch, self._origin, self._home
            )


class _Promoted:
    """The source of a promotion, which staged while people wrote."""

    def __init__(
        self, context: dg.OpExecutionContext, plan: ReleasePlan, reconciled: Reconciled, origin: OriginConnection
    ) -> None:
        self._context = context
        self._plan = plan
        self._reconciled = reconciled
        self._origin = origin
        self.changes = reconciled.changes
        self.digests = collect_digests(plan=plan, reconcile=reconciled)

    @property
    def documents(self) -> Mapping[str, int]:
        """How many documents each collection has now, approximately."""
        return {name: collection_size(self._origin.database, name).documents for name in self.changes.names_after}

    @property
    def hashes_before(self) -> Mapping[str, str]:
        """Those that are not known are asked for: the origin is frozen."""
        known = self._reconciled.hashes_before
        swapped_out = {*self.changes.changed, *self.changes.deleted, *(rename.old for rename in self.changes.renamed)}
        return {**known, **collection_hashes(self._origin.database, swapped_out - known.keys())}

    def require_one_chain(self) -> None:
        """Raises:
        LineageBroken
        """
        require_lineage(plan=self._plan, reconcile=self._reconciled)

    def prepare(self) -> None:
        """Nothing is needed but the origin."""

    def refuse_if_changed(self) -> None:
        """Make sure that nobody wrote since the origin was reconciled: after a failure it was thawed.

        Raises:
            LedgerChanged: there was another release in between.
            OriginChanged: naming the collections.
        """
        require_expected_version(self._plan, self._origin)
        refuse_if_written_since(
            self._origin.database,
            self._reconciled.until.next(),
            {*self._plan.managed, *self.changes.names_after},
            self._reconciled.staged_at,
            {STAGED + one.name for one in self._reconciled.staged},
        )

    def stage(self) -> list[Staged]:
        """They are."""
        return self._reconciled.staged


def _stage(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    migrated: MigratedDatabase,
    validation: ValidationReport,
    scratch: TransformerConnection,
    origin: OriginConnection,
    home: ReleaseHomeResource,
) -> list[Staged]:
    """Stage the changed collections, and check the lease all the while.

    Raises:
        LeaseLost: another run took over, or the origin was thawed.
        StagingFailed, TransformerChanged, ToolFailed.
    """
    check = partial(require_lease, origin.client, plan.release_id, context.run_id)
    check()
    drop_staged(origin.database)
    names = migrated.changes.staged
    progress = log_progress(context, "staged", sum(migrated.documents[name] for name in names))
    require_definitions(scratch.database, migrated.definitions, names)
    staged: list[Staged] = []
    for name in names:
        one = engine.stage(
            plan.engine,
            scratch,
            origin,
            name,
            validation.hashes[name],
            folder=home.release(plan),
            report=_check_then_report(check, progress),
            log=_check_then_report(check, context.log.info),
        )
        context.log.info(f"Staged {name}: {one.documents:,} documents, hash {one.hash}.")
        staged.append(one)
    require_definitions(scratch.database, migrated.definitions, names)
    return staged


def _prepare_swap(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    source: _Dumped | _Promoted,
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


def _materialize(plan: ReleasePlan, source: _Dumped | _Promoted) -> dg.AssetMaterialization:
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


def _check_then_report(check: Callable[[], None], report: Callable[P, None]) -> Callable[P, None]:
    """`report`, after a check that the lease is still ours: a run that was taken for lost must stop staging."""

    def check_and_report(*args: P.args, **kwargs: P.kwargs) -> None:
        check()
        report(*args, **kwargs)

    return check_and_report


def _require_end(journal: Journal) -> datetime:
    if journal.swapped_at is None:
        raise AssertionError("a finished swap has the time of its end")
    return journal.swapped_at
