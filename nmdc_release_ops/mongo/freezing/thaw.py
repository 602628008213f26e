"""Thawing the origin: after a release, after a freeze that failed, and after a crash."""

from dataclasses import dataclass

from pymongo import MongoClient
from pymongo.client_session import ClientSession

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freezing.demoted_accounts import DemotionFailed
from nmdc_release_ops.mongo.freezing.demotion import PutBack, put_back
from nmdc_release_ops.mongo.freezing.write_block import BlockFailed, allow_writes, block_writes
from nmdc_release_ops.mongo.server.clock import ClusterTimeUnavailable
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.mongo.state.block_intent import (
    find_intent,
    forget_intents_of_the_gone,
)
from nmdc_release_ops.mongo.state.journal import SwapUnderWay, is_swap_under_way, read_journal
from nmdc_release_ops.mongo.state.lease import (
    Lease,
    LeaseHeld,
    Strategy,
    beat,
    begin_thaw,
    current_lease,
    describe_holder,
    note_lifted,
    release_lease,
    take_lease,
)

DRAIN_SECONDS = 60


class LateThaw(MongoError):
    """A thaw that was held up lifted the freeze of another run, which holds the origin by now."""


def lift_leftover(client: MongoClient[Document], thawed_by: str) -> str | None:
    """Lift a block of ours that came after its lease was given back; return whose it was, None where there is none.

    Raises:
        SwapUnderWay, StillBlocked, LeaseHeld: as `thaw` and `take_lease` do.
    """
    intent = find_intent(client)
    if intent is None or not _is_blocked_unheld(client):
        return None
    release_id, run_id = intent
    # Under a lease, so that nobody freezes at the same time.
    take_lease(client, release_id, run_id, Strategy.WRITE_BLOCK)
    thaw(client, release_id, thawed_by)
    return release_id


def _is_blocked_unheld(client: MongoClient[Document]) -> bool:
    # The lease before and after: a release may take it, block, and give it back between any two looks.
    return current_lease(client) is None and bool(is_write_blocked(client)) and current_lease(client) is None


def _undo_late_freeze(client: MongoClient[Document], lease: Lease) -> None:
    """A thaw was quicker than the freeze that it undid, so that nobody would thaw any more."""
    try:
        again = take_lease(client, lease.release_id, lease.run_id, lease.strategy)
    except LeaseHeld:
        # Another release holds the origin, and thaws it itself.
        return
    _give_up(client, again)


@dataclass(frozen=True)
class Thaw:
    """What a thaw did.

    Attributes:
        lease: as it was.
        left: users and roles that somebody had changed in between, and what to do about them; a line each.
    """

    lease: Lease
    left: tuple[str, ...]


def thaw(client: MongoClient[Document], release_id: str, thawed_by: str, *, held_by: str | None = None) -> Thaw | None:
    """Allow writes again and give the lease back; return what that was, or None where the release held none.

    Begun in one transaction with the look at the journal: a swap cannot begin while an origin is being thawed, nor can an
    origin be thawed once a swap was begun.

    Args:
        thawed_by: for the record.
        held_by: the run that is known to be over; where another one has taken the lease over since, nothing is done.

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
            raise LeaseHeld(f"The origin is held by another release, and was left as it is. {describe_holder(lease)}")
        if held_by is not None and lease.run_id != held_by:
            return None
        journal = read_journal(client, release_id, session)
        if journal is not None and journal.is_under_way:
            raise SwapUnderWay(journal)
        return begin_thaw(client, lease, session)

    with client.start_session() as session:
        lease = session.with_transaction(begin)
    # Once more, in case that took so long that somebody took us for lost.
    if lease is None or not beat(client, lease):
        return None
    return Thaw(lease, _let_go(client, lease, thawed_by))


def _give_up(client: MongoClient[Document], lease: Lease) -> str:
    """Undo an attempt to freeze; return what state the origin is in.

    Where somebody lifted the freeze of a swap that stopped, the lease is kept: nobody else may come in between.
    """
    if is_swap_under_way(client, lease.release_id):
        return (
            "The swap is half done and people can write to it: somebody has lifted the freeze. The lease is kept. Make the "
            "freeze possible, and re-execute the run or launch `rollback` at once."
        )
    _let_go(client, lease, lease.run_id)
    return "The origin is not frozen."


def _let_go(client: MongoClient[Document], lease: Lease, thawed_by: str) -> tuple[str, ...]:
    """Allow writes again, and give the lease back.

    Raises:
        LateThaw: another run had taken the lease over meanwhile, and was frozen.
    """
    undone = PutBack(0, ())
    if lease.strategy is Strategy.WRITE_BLOCK:
        allow_writes(client)
        forget_intents_of_the_gone(client)
    elif lease.strategy is Strategy.DEMOTE_ROLES:
        try:
            undone = put_back(client, lease.release_id, lambda: beat(client, lease))
        except DemotionFailed:
            # Somebody else went on with it: then the lease is not ours any more either.
            if beat(client, lease):
                raise
    if not beat(client, lease):
        _refreeze_for_the_next(client, lease)
    release_lease(client, lease, thawed_by, put_back=undone.accounts, left=undone.left)
    return undone.left


def _refreeze_for_the_next(client: MongoClient[Document], late: Lease) -> None:
    """Whoever was suspended in the middle of a thaw may have lifted the freeze of the run that went on in its place.

    Raises:
        LateThaw: it did.
    """
    lease = current_lease(client)
    # What is noted first holds whatever becomes of the block: that run stops at its next look.
    if lease is None or lease.thawing or lease.strategy is not late.strategy or not note_lifted(client, lease):
        return
    outcome = "Users and roles may be what they were, and able to write"
    if lease.strategy is Strategy.WRITE_BLOCK:
        outcome = _block_again(client, lease)
    raise LateThaw(
        f"The thaw of run {late.run_id} was held up for so long that run {lease.run_id} of release {lease.release_id} took the "
        f"origin over, and the thaw then lifted the freeze of that run: people may have written. {outcome}. Run "
        f"{lease.run_id} stops before its next change; re-execute it from the step that fails, which freezes the origin anew "
        "and checks what was written."
    )


def _block_again(client: MongoClient[Document], lease: Lease) -> str:
    """Block writes for the one that holds the origin; return what came of it."""
    try:
        block_writes(client, DRAIN_SECONDS)
    except (BlockFailed, ClusterTimeUnavailable) as error:
        return f"Writes could not be blocked again: {str(error).rstrip('.')}"
    held = current_lease(client)
    if held is None or held.thawing:
        # Thawed in the meantime, and nobody would lift this block any more.
        _undo_late_freeze(client, lease)
        return "The origin is thawed by now"
    return "Writes are blocked again"
