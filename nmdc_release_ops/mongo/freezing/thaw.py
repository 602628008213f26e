"""Thawing the origin: after a release, after a freeze that failed, and after a crash."""

from pymongo import MongoClient
from pymongo.client_session import ClientSession

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freezing.choose import STRATEGIES, strategy_of
from nmdc_release_ops.mongo.freezing.strategy import DRAIN_SECONDS, FreezeStrategy, Leftover, NotEngaged, PutBack
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.state.journal import SwapUnderWay, is_swap_under_way, read_journal
from nmdc_release_ops.mongo.state.lease import (
    Lease,
    LeaseHeld,
    beat,
    begin_thaw,
    current_lease,
    describe_holder,
    note_lifted,
    release_lease,
    take_lease,
)


class LateThaw(MongoError):
    """A delayed thaw lifted the freeze of another run, which had taken the lease over."""


def thaw(
    client: MongoClient[Document], release_id: str, thawed_by: str, *, held_by: str | None = None
) -> PutBack | None:
    """Allow writes again and give the lease back; None where the release held none.

    The thaw begins in the transaction that reads the journal: a swap cannot begin while an origin is being thawed, nor can an
    origin be thawed once a swap has begun.

    Args:
        thawed_by: for the record.
        held_by: the run that is known to be over. If another one has taken the lease over since, nothing is done.

    Raises:
        SwapUnderWay: a swap is half done; the origin stays frozen.
        LeaseHeld: another release holds the origin.
        PutBackFailed: users and roles could not be put back completely; the lease is kept for the next attempt.
        StillBlocked: the server still blocks writes; the lease is kept for the next attempt.
    """

    def begin(session: ClientSession) -> Lease | None:
        lease = current_lease(client, session)
        if lease is None:
            return None
        if lease.release_id != release_id:
            raise LeaseHeld(f"Another release holds the origin. Nothing was changed. {describe_holder(lease)}")
        if held_by is not None and lease.run_id != held_by:
            return None
        journal = read_journal(client, release_id, session)
        if journal is not None and journal.is_under_way:
            raise SwapUnderWay(journal)
        return begin_thaw(client, lease, session)

    with client.start_session() as session:
        lease = session.with_transaction(begin)
    # Checked again, in case that took so long that another run took this process for lost.
    if lease is None or not beat(client, lease):
        return None
    return _lift_and_release(client, lease, thawed_by)


def undo_attempt(client: MongoClient[Document], lease: Lease) -> str:
    """Undo an attempt to freeze; return the state of the origin, a sentence.

    Where somebody lifted the freeze of a swap that stopped, the lease is kept: nobody else may come in between.
    """
    if is_swap_under_way(client, lease.release_id):
        return (
            "The swap is half done, and users can write to the origin: somebody lifted the freeze. The lease is kept. Correct "
            "the cause, and re-execute the run or launch `rollback` at once."
        )
    _lift_and_release(client, lease, lease.run_id)
    return "The origin is not frozen."


def undo_late_freeze(client: MongoClient[Document], lease: Lease) -> None:
    """Undo a freeze that came after its thaw, so that nobody would thaw it any more."""
    try:
        again = take_lease(client, lease.release_id, lease.run_id, lease.strategy)
    except LeaseHeld:
        # Another release holds the origin, and thaws it itself.
        return
    undo_attempt(client, again)


def find_leftovers(client: MongoClient[Document]) -> tuple[Leftover, ...]:
    """Freezes of this project that are in force although no release holds the lease."""
    return tuple(leftover for strategy in STRATEGIES if (leftover := strategy.find_leftover(client)) is not None)


def undo_leftover(client: MongoClient[Document], undone_by: str) -> tuple[Leftover, PutBack] | None:
    """Lift the first freeze that outlived its lease; None where there is none.

    Args:
        undone_by: for the record.

    Raises:
        SwapUnderWay, StillBlocked, PutBackFailed, LeaseHeld: as `thaw` and `take_lease` do.
    """
    for strategy in STRATEGIES:
        leftover = strategy.find_leftover(client)
        if leftover is not None:
            return leftover, _undo(client, strategy, leftover, undone_by)
    return None


def _undo(client: MongoClient[Document], strategy: FreezeStrategy, leftover: Leftover, undone_by: str) -> PutBack:
    def thaw_under_lease() -> PutBack:
        # So that nobody freezes at the same time.
        take_lease(client, leftover.release_id, leftover.run_id, strategy.name)
        return thaw(client, leftover.release_id, undone_by) or PutBack()

    return strategy.undo_leftover(client, leftover, thaw_under_lease)


def _lift_and_release(client: MongoClient[Document], lease: Lease, thawed_by: str) -> PutBack:
    """Allow writes again, and give the lease back.

    Raises:
        LateThaw: another run had taken the lease over meanwhile, and was frozen.
    """
    restored = strategy_of(lease.strategy).lift(client, lease)
    if not beat(client, lease):
        _freeze_again_for_next(client, lease)
    release_lease(client, lease, thawed_by, put_back=restored.accounts, left=restored.left)
    return restored


def _freeze_again_for_next(client: MongoClient[Document], late: Lease) -> None:
    """A process that was suspended in the middle of a thaw may have lifted the freeze of the run that continued in its place.

    Raises:
        LateThaw: it did.
    """
    lease = current_lease(client)
    # Noted first: then that run stops at its next check, whether the origin can be frozen again or not.
    if lease is None or lease.thawing or lease.strategy is not late.strategy or not note_lifted(client, lease):
        return
    outcome = _engage_again(client, lease)
    raise LateThaw(
        f"The thaw of run {late.run_id} was delayed. Meanwhile run {lease.run_id} of release {lease.release_id} took the "
        f"origin over and froze it, and then the thaw lifted that freeze: users may have written. {outcome}. Run "
        f"{lease.run_id} stops before its next change; re-execute it from the step that fails, which freezes the origin again "
        "and checks what was written."
    )


def _engage_again(client: MongoClient[Document], lease: Lease) -> str:
    """Block writes for the run that holds the origin; return the state of the origin, a clause."""
    try:
        if not strategy_of(lease.strategy).engage_again(client, DRAIN_SECONDS):
            return "Users may still be able to write"
    except NotEngaged as failure:
        return f"Writes could not be blocked again: {failure.cause.rstrip('.')}"
    held = current_lease(client)
    if held is None or held.thawing:
        # Thawed in the meantime, and nobody would lift this block any more.
        undo_late_freeze(client, lease)
        return "The origin has been thawed since"
    return "Writes are blocked again"
