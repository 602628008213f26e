"""Comparing the collections of one promotion once more, after its swap."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import dagster as dg

from nmdc_release_ops.mongo.archive.manifest import ArchiveDamaged
from nmdc_release_ops.mongo.delta.delta import Contains
from nmdc_release_ops.mongo.delta.read import MomentGone
from nmdc_release_ops.mongo.delta.stream import OplogTooShort
from nmdc_release_ops.mongo.promoting.comparing import Compared, compare_documents, digest_documents
from nmdc_release_ops.mongo.promoting.since_swap import SinceSwap
from nmdc_release_ops.mongo.promoting.staged_documents import StagedDocuments
from nmdc_release_ops.mongo.server.clock import ClusterTime, now
from nmdc_release_ops.mongo.server.collections import find_names
from nmdc_release_ops.mongo.server.progress import Progress
from nmdc_release_ops.mongo.state.journal import Journal
from nmdc_release_ops.records.verification import ComparedCollection, Verification
from nmdc_release_ops.resources.origin import OriginConnection
from nmdc_release_ops.steps.promoting.pairs import Pair, list_pairs
from nmdc_release_ops.steps.promoting.state import STAGED_FILE, PromotionState
from nmdc_release_ops.steps.showing.display import log_progress

_REPORT_DOCUMENTS = 10_000


class ComparingAgain:
    """Compares the collections of one promotion.

    Attributes:
        differing: how collections differ, by their names on the origin.
    """

    def __init__(
        self,
        context: dg.OpExecutionContext,
        origin: OriginConnection,
        folder: Path,
        state: PromotionState,
        journal: Journal,
        moment: ClusterTime,
    ) -> None:
        """Args:
        folder: of the promotion.
        state: after the last round.
        journal: of the swap.
        moment: of the swap.
        """
        self._context = context
        self._origin = origin
        self._folder = folder
        self._state = state
        self._journal = journal
        self._moment = moment
        self._bytes = 0
        self._not_compared: list[str] = []
        self.differing: dict[str, Compared] = {}

    def compare_all(self) -> Verification:
        """Compare every collection; what differs is in `differing`. Errors as `verify_promotion`."""
        started = time.monotonic()
        found: dict[bool, list[ComparedCollection]] = {True: [], False: []}
        with StagedDocuments(self._folder / STAGED_FILE) as staged:
            pairs = list_pairs(self._state, self._folder, staged, self._journal)
            self._report = log_progress(self._context, "compared", sum(pair.documents for pair in pairs))
            in_use = [pair.place for pair in pairs if pair.is_in_use]
            with SinceSwap(self._origin.database, self._moment, in_use, self._folder / "since-swap.sqlite") as since:
                for pair in pairs:
                    if (compared := self._compare(pair, since)) is not None:
                        found[pair.is_result].append(compared)
        return Verification(
            at=now(),
            swap=self._moment,
            result=found[True],
            source=found[False],
            bytes=self._bytes,
            seconds=round(time.monotonic() - started, 3),
            not_compared=self._not_compared,
        )

    def _compare(self, pair: Pair, since: SinceSwap) -> ComparedCollection | None:
        """None if the collection differs, or could not be compared: `differing` and `_not_compared` say how and why."""
        place, uuid = pair.place, self._find_uuid(pair)
        if uuid is None:
            self._leave_out(f"{place} was not compared: somebody dropped, renamed or replaced it since the swap.")
            return None
        try:
            compared, at_the_swap = self._compare_at_some_time(pair, since)
            is_replaced = compared.differing and (
                self._find_uuid(pair) != uuid or (pair.is_in_use and not at_the_swap and since.is_redefined(place))
            )
        except OplogTooShort:
            self._leave_out(
                f"{place} does not hold what it held at the swap, and whether people wrote all of that since cannot be told any "
                "more: the oplog does not reach back to the swap."
            )
            return None
        except ArchiveDamaged:
            self._leave_out(
                f"{place} was not compared: the file that the migrators ran on, in {self._folder / self._state.folder}, is "
                "missing or damaged."
            )
            return None
        if is_replaced:
            self._leave_out(f"{place} was not compared: somebody dropped, renamed or replaced it since the swap.")
            return None
        if compared.differing:
            self.differing[place] = compared
            return None
        return ComparedCollection(
            collection=place, documents=compared.documents, at_the_swap=at_the_swap, left_out=compared.left_out
        )

    def _compare_at_some_time(self, pair: Pair, since: SinceSwap) -> tuple[Compared, bool]:
        """How a collection differs, and whether it was read as it was at the swap."""
        if not pair.is_in_use:
            return self._compare_documents(pair, since.read_now, lambda: _nothing_written), False
        try:
            return self._compare_documents(pair, since.read_then, lambda: _nothing_written), True
        except MomentGone as gone:
            self._context.log.info(
                f"{gone} So it is read as it is now, and what was written since the swap is left out."
            )
            return self._compare_documents(pair, since.read_now, lambda: since.find_written(pair.place)), False

    def _compare_documents(
        self, pair: Pair, read: Callable[[str], Iterator[bytes]], written_since: Callable[[], Contains]
    ) -> Compared:
        return compare_documents(
            pair.wanted,
            lambda: digest_documents(self._count(pair, read(pair.place))),
            self._folder / "compared.sqlite",
            written_since,
        )

    def _count(self, pair: Pair, documents: Iterator[bytes]) -> Iterator[bytes]:
        for number, document in enumerate(documents, 1):
            self._bytes += len(document)
            if number % _REPORT_DOCUMENTS == 0:
                self._report(Progress(pair.place, number, max(number, pair.documents)))
            yield document

    def _find_uuid(self, pair: Pair) -> UUID | None:
        """Of the collection, if it is still where the swap put it."""
        found = next((uuid for uuid, name in find_names(self._origin.database).items() if name == pair.place), None)
        return None if pair.uuid not in (None, found) else found

    def _leave_out(self, line: str) -> None:
        self._not_compared.append(line)


def _nothing_written(key: bytes) -> bool:
    return False
