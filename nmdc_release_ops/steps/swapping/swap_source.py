"""What a release swaps in, and how it is known that the origin has not changed since: two ways."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import ParamSpec

import dagster as dg

from nmdc_release_ops.lineage import collect_digests, require_lineage, require_same_data
from nmdc_release_ops.mongo.difference.changes import require_definitions
from nmdc_release_ops.mongo.server.collections import collection_hashes, collection_size
from nmdc_release_ops.mongo.state.generations import STAGED
from nmdc_release_ops.mongo.state.lease import require_lease
from nmdc_release_ops.mongo.swapping.displaced import drop_staged
from nmdc_release_ops.mongo.swapping.unchanged import refuse_if_written_since, require_unchanged
from nmdc_release_ops.mongo.transfer import engine
from nmdc_release_ops.mongo.transfer.stage import Staged
from nmdc_release_ops.records.data_release import (
    Archive,
    Counted,
    MigratedDatabase,
    Reconciled,
    ReleasePlan,
    ValidationReport,
)
from nmdc_release_ops.resources.origin import OriginConnection
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.transformer import TransformerConnection, TransformerResource
from nmdc_release_ops.steps.holding.expected_version import require_expected_version
from nmdc_release_ops.steps.showing.display import log_progress

P = ParamSpec("P")


class DumpedSource:
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
        self.counted: Counted | None = Counted.of(migrated, validation)
        self.hashes_before: Mapping[str, str] | None = archive.hashes
        self.staged: list[Staged] = []
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


class PromotedSource:
    """The source of a promotion, which staged while people wrote."""

    def __init__(self, plan: ReleasePlan, reconciled: Reconciled, origin: OriginConnection) -> None:
        self._plan = plan
        self._reconciled = reconciled
        self._origin = origin
        self.changes = reconciled.changes
        self.staged = reconciled.staged
        self.counted = reconciled.counted
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
            self._reconciled.verified_at,
            {STAGED + one.name: self._reconciled.wrote.get(one.name, 0) for one in self._reconciled.staged},
        )

    def stage(self) -> list[Staged]:
        """They are."""
        return self.staged


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


def _check_then_report(check: Callable[[], None], report: Callable[P, None]) -> Callable[P, None]:
    """`report`, after a check that the lease is still ours: a run that was taken for lost must stop staging."""

    def check_and_report(*args: P.args, **kwargs: P.kwargs) -> None:
        check()
        report(*args, **kwargs)

    return check_and_report
