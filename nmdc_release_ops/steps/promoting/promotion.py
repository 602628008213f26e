"""A promotion: round by round, what is staged is brought up to the origin, and validated before it is staged.

A round that is interrupted begins again: what is staged was validated, and what was written since the last complete round is
still in the delta.
"""

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import dagster as dg

from nmdc_release_ops.files import lock
from nmdc_release_ops.mongo.archive.manifest import Manifest
from nmdc_release_ops.mongo.delta.account import MANY_EVENTS, count_writes
from nmdc_release_ops.mongo.delta.delta import Delta
from nmdc_release_ops.mongo.delta.follow import Follower
from nmdc_release_ops.mongo.delta.moment import present_moment
from nmdc_release_ops.mongo.delta.read import MomentGone
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.promoting.identities import Identities
from nmdc_release_ops.mongo.promoting.stage_changes import require_same, verify_staged
from nmdc_release_ops.mongo.promoting.staged_documents import StagedDocuments
from nmdc_release_ops.mongo.server.clock import cluster_time
from nmdc_release_ops.mongo.server.progress import silent
from nmdc_release_ops.mongo.state.generations import STAGED
from nmdc_release_ops.mongo.swapping.displaced import drop_staged
from nmdc_release_ops.mongo.swapping.unchanged import find_redefined
from nmdc_release_ops.mongo.transfer.stage import StagingFailed
from nmdc_release_ops.records.data_release import Reconciled, Round
from nmdc_release_ops.resources.origin import OriginConnection
from nmdc_release_ops.steps.preparing.preparation import start_workers
from nmdc_release_ops.steps.promoting.means import Limit, Means, Rehearsed, Stopwatch
from nmdc_release_ops.steps.promoting.round import RoundWork
from nmdc_release_ops.steps.promoting.state import STAGED_FILE, STATE, PromotionState
from nmdc_release_ops.steps.promoting.stores import Stores
from nmdc_release_ops.steps.promoting.validating import DeltaValidation
from nmdc_release_ops.steps.showing.display import log_progress

SWAP_SECONDS = 0.5
"""What freezing, swapping and thawing take besides a round, approximately."""
ATTEMPTS = 3
"""How often a round is begun again because the server does not show its moment any more."""


class CollectionsRedefined(MongoError):
    """Collections of the origin were created, dropped, renamed or got other options or indexes since the rehearsal."""


class RehearsalNeeded(MongoError):
    """A promotion cannot go on with what it has."""


class PromotionInUse(MongoError):
    """Another process works on the same promotion."""


class Promotion:
    """Use it as a context manager.

    Attributes:
        state: after the last complete round; None before the first.
    """

    def __init__(self, means: Means, manifest: Manifest, archive: Path) -> None:
        """Args:
        manifest: of the archive that was rehearsed.
        archive: its folder.
        """
        self._means = means
        self._database = means.origin.database
        self._manifest = manifest
        self._archive = archive
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        """Open the files, and the change stream where it was left.

        Raises:
            PromotionInUse, LeaseHeld, OplogTooShort, StreamRefused, FileNotWritten.
        """
        folder = self._means.folder
        with ExitStack() as stack:
            try:
                stack.enter_context(lock(folder, wait=False))
            except BlockingIOError:
                raise PromotionInUse(
                    f"Another run of release {self._means.plan.release_id} is still working: its process has not ended. This "
                    "run did nothing. Re-execute it when the other one is over."
                ) from None
            folder.mkdir(mode=0o700, exist_ok=True)
            self.state = PromotionState.read(folder)
            if self.state is not None and not self._is_held_by_transformer(self.state):
                # Without it, documents that refer to what is gone would not be found.
                self.state = None
            if self.state is None:
                self._forget()
            pending = stack.enter_context(Delta(folder / "pending.sqlite"))
            self._follower = stack.enter_context(
                Follower(self._database, self._means.plan.managed, pending, self._manifest.cluster_time.next())
            )
            self.stores = Stores(
                pending,
                stack.enter_context(Delta(folder / "since-rehearsal.sqlite")),
                stack.enter_context(StagedDocuments(folder / STAGED_FILE)),
                stack.enter_context(Identities(folder / "identities.sqlite")),
                DeltaValidation(self._means),
            )
            self.stores.settle(self.state.until if self.state else None)
            self._closing = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    @property
    def origin(self) -> OriginConnection:
        return self._means.origin

    def _is_held_by_transformer(self, state: PromotionState) -> bool:
        """Whether the transformer still has what was migrated last: later rounds look into it."""
        return state.database in self._means.scratch.database.client.list_database_names()

    def start_workers(self) -> None:
        """Start the processes that a round needs, unless they wait already.

        Raises:
            As `steps.preparing.preparation.start_workers`.
        """
        start_workers(self._means.plan, self._means.home, self._means.schema, self._means.worker)

    def start_over(self) -> None:
        """Make the next execution of `catch_up` begin with the first round."""
        (self._means.folder / STATE).unlink(missing_ok=True)

    def _forget(self) -> None:
        """Remove what an interrupted first round left.

        Raises:
            LeaseHeld: another release holds the origin, and stages.
        """
        self._means.refuse_if_held()
        shutil.rmtree(self._means.folder)
        self._means.folder.mkdir(mode=0o700)
        drop_staged(self._database)

    def advance(
        self, context: dg.OpExecutionContext, rehearsed: Rehearsed | None = None, limit: Limit = lambda _seconds: None
    ) -> Round:
        """Bring what is staged up to the present moment of the origin.

        Args:
            context: of the step, for its log.
            rehearsed: needed for the first round.
            limit: raises when the round, or what is left of it, would take too long. Then nothing was staged.

        Raises:
            CollectionsRedefined, RehearsalNeeded, MomentGone, StagingFailed, OplogTooShort, FileNotWritten, DocumentsInvalid,
            and those of `run_migrators`.
        """
        for attempt in range(ATTEMPTS):
            try:
                return self._advance(context, rehearsed, limit)
            except MomentGone as error:
                if error.redefined or attempt == ATTEMPTS - 1:
                    raise
                context.log.info(f"{error} The round begins again.")
        raise AssertionError("the last attempt returns or raises")

    def _advance(self, context: dg.OpExecutionContext, rehearsed: Rehearsed | None, limit: Limit) -> Round:
        watch = Stopwatch()
        moment = present_moment(self._means.origin.client)
        self._follower.read_until(moment)
        self._refuse_redefined()
        watch.note("follow")
        if self.state is None and rehearsed is None:
            raise RehearsalNeeded(
                "Nothing is staged yet, or what is staged was found to be wrong. The origin's live collections are unchanged. "
                "Re-execute the run from `catch_up`."
            )
        work = RoundWork(
            context, self._means, self.stores, self._manifest, self._archive, self.state, rehearsed, moment
        )
        try:
            state = work.carry_out(limit, watch)
        except BaseException:
            self.stores.settle(None)
            raise
        state.write(self._means.folder)
        self.state = state
        self.stores.settle(state.until)
        self.stores.pending.move_into(self.stores.rehearsed)
        work.remove_what_is_over(state)
        return state.rounds[-1]

    def verify_staged(self, context: dg.OpExecutionContext | None = None) -> None:
        """Read every staged document, and compare it with what was migrated and validated.

        Args:
            context: of the step, for its log; None for no progress.

        Raises:
            StagingFailed: the next execution of `catch_up` stages from the beginning.
        """
        if self.state is None:
            return
        moment = cluster_time(self._means.origin.client).next()
        total = sum(one.documents for one in self.state.staged)
        report = log_progress(context, "compared", total) if context else silent
        try:
            require_same(self._database, self.state.staged)
            for one in self.state.staged:
                verify_staged(self._database, one.name, self.stores.staged, report=report)
        except StagingFailed:
            self.start_over()
            raise
        self.state = self.state.model_copy(update={"verified_at": moment, "wrote": {}})
        self.state.write(self._means.folder)

    def refuse_staged_by_others(self) -> None:
        """Make sure that nobody wrote to staged collections since they were staged; in milliseconds where nobody did.

        Raises:
            StagingFailed: see `verify_staged`.
        """
        if self.state is None:
            return
        expected = {STAGED + one.name: self.state.wrote.get(one.name, 0) for one in self.state.staged}
        since = dict.fromkeys(expected, self.state.verified_at)
        account = count_writes(self._database, since, MANY_EVENTS)
        if account is None or not account.is_exactly(expected):
            self.verify_staged()

    def predict_seconds(self) -> float:
        """How long a last round and the swap will block writes, if people write as they did before the last round."""
        rounds = self.state.rounds if self.state else []
        return (rounds[-1].seconds if rounds else 0) + SWAP_SECONDS

    def describe(self) -> str:
        """One line for people."""
        if self.state is None:
            return "Nothing is staged."
        documents = sum(one.documents for one in self.state.staged)
        return f"{len(self.state.staged)} collections with {documents:,} documents are staged."

    def describe_result(self, rounds: list[Round], freezes: int) -> Reconciled:
        """See `PromotionState.describe_result`."""
        if self.state is None:
            raise AssertionError("a round was completed")
        return self.state.describe_result(rounds, freezes)

    def _refuse_redefined(self) -> None:
        archived = {one.name for one in self._manifest.collections}
        changed = {name: sorted(how) for name, how in self.stores.pending.redefined.items()}
        # A server before 6.0 reports less in its change stream.
        changed |= {name: ["it is new"] for name in self.stores.pending.counts if name not in archived}
        changed |= find_redefined(self._database, self._manifest.collections, self._means.plan.managed)
        if changed:
            details = "; ".join(f"{name}: {', '.join(found)}" for name, found in sorted(changed.items()))
            raise CollectionsRedefined(
                f"Collections of the origin were created, dropped, renamed, or got other options or indexes since the rehearsal "
                f"({details}). A promotion takes only documents into account. The origin's live collections are unchanged. "
                "Launch a new rehearsal, or an online_release."
            )
