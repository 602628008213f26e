"""Making the moves of a swap or of its rollback, whatever else happens to the collections at the same time.

Three things can interfere. Somebody who bypasses the freeze creates a collection under a name that a move needs: that
collection is moved aside and kept. A suspended holder makes a move after another run has taken over: the lease is checked
after each move, and a late move is undone. A process is killed: the UUIDs of the collections on the
origin show what is left to do.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from pymongo.database import Database
from pymongo.errors import OperationFailure

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freezing.freeze import require_frozen
from nmdc_release_ops.mongo.freezing.sessions import LOOKS, describe_lock_holders
from nmdc_release_ops.mongo.server.clock import now
from nmdc_release_ops.mongo.server.collections import collection_size, find_names, uuid_of
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.progress import Log, unlogged
from nmdc_release_ops.mongo.server.renaming import ASIDE, Busy, NameTaken, NotThere
from nmdc_release_ops.mongo.state.generations import name_of_next_intruder
from nmdc_release_ops.mongo.state.journal import (
    Intruder,
    Journal,
    Move,
    SwapBlocked,
    note_intruder,
    read_journal,
)
from nmdc_release_ops.mongo.state.lease import LeaseLost, require_lease
from nmdc_release_ops.mongo.swapping.displaced import put_back_if_late
from nmdc_release_ops.mongo.swapping.moves import TRIES, Make, make, rename_if_there

BUSY_SECONDS = 120
"""How long each rename waits for transactions and index builds of others."""
QUIET_SECONDS = 10
"""How long to wait for a moment without any open transaction before the first rename of a pair."""
_FIRST_PAUSE_SECONDS, _PAUSE_SECONDS = 0.005, 0.3
_LOGGED_AFTER_SECONDS = 0.5
"""A write that is just being refused looks like a transaction for a moment."""

FindMoves = Callable[[Mapping[UUID, str]], Sequence[Move]]
"""Returns the moves that are left, given the collections' names."""


class LateRename(MongoError):
    """A run renamed a collection after it had lost the lease and another run had taken over."""


def carry_out(
    origin: Database[Document],
    journal: Journal,
    run_id: str,
    find_moves: FindMoves,
    make_one: Make,
    *,
    check: Callable[[Move], None] = lambda _: None,
    note: Callable[[int], None] = lambda _: None,
    log: Log = unlogged,
) -> None:
    """Make moves until none is left. Checks the freeze at the end.

    Args:
        run_id: of the run that holds the lease.
        make_one: `make`.
        check: called before each move, but not between the two of a pair, and may raise to stop there.
        note: called after each move with the number of moves left.
        log: receives messages for the operator: which collections were moved aside.

    Raises:
        SwapBlocked: a name cannot be freed. What `find_moves` raises.
        FreezeFailed: somebody lifted the freeze.
        LeaseLost: another run has taken over.
        LateRename: another run has taken over, and this one made a move after that.
    """
    work = _Work(origin, journal, run_id, make_one, log)
    try:
        for _ in range(TRIES):
            moves = find_moves(find_names(origin))
            for number, move in enumerate(moves, start=1):
                # Between the two, readers do not find the collection: nothing but the lease is checked.
                if number > 1 and _are_pair(moves[number - 2], move):
                    work.make_second(moves[number - 2], move)
                else:
                    work.require_frozen()
                    check(move)
                    work.make_patiently(move, is_first=_begins_pair(moves, number))
                note(len(moves) - number)
            work.require_lease()
            work.require_frozen()
            if not moves:
                return
    except LeaseLost as lost:
        if late := [alarm for move in reversed(work.unconfirmed) if (alarm := put_back_if_late(origin, move))]:
            raise LateRename(" ".join(late)) from lost
        raise
    raise SwapBlocked(
        f"Somebody who bypasses the block keeps renaming collections of release {journal.release_id}. The origin stays frozen. "
        "Stop them, and re-execute the run from the failed step."
    )


def _are_pair(first: Move, second: Move) -> bool:
    """Whether one collection takes another one's place by these moves, so that its name is free in between."""
    return second.target == first.source


def _begins_pair(moves: Sequence[Move], number: int) -> bool:
    return number < len(moves) and _are_pair(moves[number - 1], moves[number])


class _Work:
    """The moves that one process makes under its lease.

    Attributes:
        unconfirmed: renames since the lease was last confirmed; they may be late.
    """

    def __init__(self, origin: Database[Document], journal: Journal, run_id: str, make_one: Make, log: Log) -> None:
        self._origin = origin
        self._journal = journal
        self._run_id = run_id
        self._make_one = make_one
        self._log = log
        self._own = {move.uuid for move in journal.moves}
        self.unconfirmed: list[Move] = []

    def require_lease(self) -> None:
        require_lease(self._origin.client, self._journal.release_id, self._run_id)
        self.unconfirmed.clear()

    def require_frozen(self) -> None:
        require_frozen(self._origin.client, self._journal.release_id, self._run_id)

    def make_patiently(self, move: Move, *, is_first: bool = False) -> None:
        """Make a move, waiting for transactions and index builds of others for up to `BUSY_SECONDS`.

        Args:
            is_first: whether its name is free until the next move. A transaction that reads a free name locks it until the
                transaction ends. So this waits up to `QUIET_SECONDS` for a moment without open transactions, and then renames
                in any case.

        Raises:
            SwapBlocked: naming what was in the way. The move was not made.
            LeaseLost.
        """
        started, is_logged, pause = time.monotonic(), False, _FIRST_PAUSE_SECONDS
        while True:
            try:
                is_to_be_quiet = is_first and time.monotonic() < started + QUIET_SECONDS
                if is_to_be_quiet and (open_ones := self._list_transactions()):
                    raise Busy(f"transactions are open: {'; '.join(open_ones)}")
                self.make_with_room(move)
                return
            except Busy as busy:
                if time.monotonic() > started + BUSY_SECONDS:
                    raise self._explain_block(move, busy) from busy
                if not is_logged and time.monotonic() > started + _LOGGED_AFTER_SECONDS:
                    self._log(
                        f"{move.source} cannot be renamed yet: {busy}. Retrying for up to {BUSY_SECONDS:g} seconds."
                    )
                    is_logged = True
                time.sleep(pause)
                pause = min(2 * pause, _PAUSE_SECONDS)

    def make_second(self, first: Move, second: Move) -> None:
        """Make the second move of a pair. Readers do not find the collection until then: if the move has to wait, the first
        one is undone, where that is possible at once, and both are made again.

        Raises:
            SwapBlocked, LeaseLost: as `make_patiently`.
        """
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self.make_with_room(second)
                return
            except Busy as busy:
                is_undone = self._undo(first)
                if time.monotonic() > deadline:
                    raise self._explain_block(second, busy) from busy
                if is_undone:
                    time.sleep(_PAUSE_SECONDS)
                    self.require_frozen()
                    self.make_patiently(first, is_first=True)

    def _undo(self, first: Move) -> bool:
        back = Move(uuid=first.uuid, source=str(first.target), target=first.source)
        self.require_lease()
        self.unconfirmed.append(back)
        try:
            make(self._origin, back)
        except (Busy, NameTaken, NotThere):
            return False
        return True

    def _list_transactions(self) -> list[str]:
        try:
            # One look can miss a transaction that is just changing from idle to active.
            found = [
                line for _ in range(LOOKS) for line in describe_lock_holders(self._origin.client, seconds=math.inf)
            ]
            return list(dict.fromkeys(found))
        except OperationFailure:
            # Without the privilege to list transactions, only the time limit of each rename protects readers.
            return []

    def _explain_block(self, move: Move, busy: Busy) -> SwapBlocked:
        holders = "; ".join(self._list_transactions()) or "none that can be seen"
        return SwapBlocked(
            f"{move.source} could not be renamed to {move.target} within {BUSY_SECONDS:g} seconds: {busy}. Open transactions: "
            f"{holders}. The origin stays frozen. End them (killSessions, killOp), or wait until they or the index build are "
            "over, and re-execute the run from the failed step, or launch `rollback`."
        )

    def make_with_room(self, move: Move) -> None:
        """Make a move, after freeing its name if it is taken. The caller checks whether the move was made.

        Raises:
            SwapBlocked, LeaseLost, Busy.
        """
        for _ in range(TRIES):
            self.require_lease()
            self.unconfirmed.append(move)
            try:
                self._make_one(self._origin, move)
                return
            except NotThere:
                return
            except NameTaken:
                self._make_room(str(move.target))
        raise SwapBlocked(
            f"Somebody who bypasses the block keeps creating a collection {move.target}, whose name is needed. The origin stays "
            "frozen. Stop them, and re-execute the run from the failed step."
        )

    def _make_room(self, name: str) -> None:
        found = next(iter(self._origin.list_collections(filter={"name": name})), None)
        if found is None:
            return
        uuid = uuid_of(found)
        if uuid is None:
            raise SwapBlocked(
                f"Somebody created a {found['type']} under the name {name}, which cannot be renamed. The origin stays frozen. "
                "Save what it holds, drop it, and re-execute the run from the failed step."
            )
        self.require_lease()
        if uuid in self._own:
            # A collection of this swap under the wrong name: its own move finds it again.
            self.unconfirmed.append(Move(uuid=uuid, source=name, target=ASIDE + uuid.hex))
            rename_if_there(self._origin, uuid, name, ASIDE + uuid.hex)
        else:
            self._move_aside(uuid, name)

    def _move_aside(self, uuid: UUID, name: str) -> None:
        """Rename the collection that somebody created under `name`; the journal records it first."""
        current = read_journal(self._origin.client, self._journal.release_id) or self._journal
        names = [*find_names(self._origin).values(), *(intruder.kept_as for intruder in current.intruders)]
        intruder = Intruder(uuid=uuid, name=name, kept_as=name_of_next_intruder(name, names), found_at=now())
        note_intruder(self._origin.client, self._journal, intruder)
        if rename_if_there(self._origin, uuid, name, intruder.kept_as):
            documents = collection_size(self._origin, intruder.kept_as).documents
            self._log(
                f"A collection {name} is not part of the release, and its name was needed. It was moved aside to "
                f"{intruder.kept_as}, with {documents:,} documents. If it was created while the origin was frozen, somebody "
                "bypasses the block. Decide whether to keep its documents; no release drops it."
            )
