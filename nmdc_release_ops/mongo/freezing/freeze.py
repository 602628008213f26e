"""Freezing and thawing the origin."""

from collections.abc import Callable
from dataclasses import dataclass

from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freezing.accounts import AccountsHidden
from nmdc_release_ops.mongo.freezing.demote_roles import (
    DemotionFailed,
    PutBack,
    demote,
    is_in_force,
    put_back,
    who_can_write,
)
from nmdc_release_ops.mongo.freezing.readonly import RoleMissing
from nmdc_release_ops.mongo.freezing.write_block import BlockFailed, allow_writes, block_writes
from nmdc_release_ops.mongo.server.clock import ClusterTimeUnavailable, cluster_time
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.mongo.state.block_intent import (
    find_intent,
    forget_intent,
    forget_intents_of_the_gone,
    note_intent,
)
from nmdc_release_ops.mongo.state.journal import SwapUnderWay, is_swap_under_way, read_journal
from nmdc_release_ops.mongo.state.lease import (
    Lease,
    LeaseHeld,
    LeaseLost,
    Strategy,
    beat,
    begin_thaw,
    current_lease,
    describe_holder,
    note_lifted,
    record_frozen,
    release_lease,
    require_lease,
    take_lease,
)

DRAIN_SECONDS = 60


class AlreadyFrozen(MongoError):
    """Somebody else's write block is on; it is not ours to lift."""


class FreezeFailed(MongoError):
    """Writes could not be blocked, and are not."""


class LateThaw(MongoError):
    """A thaw that was held up lifted the freeze of another run, which holds the origin by now."""


def freeze(
    client: MongoClient[Document],
    release_id: str,
    run_id: str,
    strategy: Strategy = Strategy.WRITE_BLOCK,
    *,
    database: str = "",
    drain_timeout: float = DRAIN_SECONDS,
    when_taken: Callable[[Lease], None] | None = None,
) -> Lease:
    """Take the lease and, by `strategy`, keep every write of others out; reads go on.

    Called again by the release that already holds the origin frozen, it changes nothing.

    Args:
        database: the one that is frozen; a write block concerns all of the server.
        drain_timeout: seconds to wait for open transactions, and for writes that have begun, to end.
        when_taken: called with the lease before anybody is kept out, which may take long.

    Raises:
        LeaseHeld: another release holds the origin.
        AlreadyFrozen: writes are blocked by somebody else.
        FreezeFailed: writes could not be kept out; unless it says otherwise, the lease has been given back.
        PutBackFailed, StillBlocked: the attempt could not be undone either; the lease is kept for the next attempt.
    """
    if is_blocked_by_others(client):
        raise AlreadyFrozen(
            "Writes to the origin are already blocked, and not by this project (there is no lease). Find out who did "
            "it, lift it with setUserWriteBlockMode, and launch again."
        )
    lease = take_lease(client, release_id, run_id, strategy)
    if when_taken:
        when_taken(lease)
    if lease.frozen_at and _is_frozen(client, lease):
        # Where it was lifted for a while, people may have written until now.
        return record_frozen(client, lease, cluster_time(client)) if lease.lifted else lease
    try:
        match lease.strategy:
            case Strategy.NONE:
                return record_frozen(client, lease, cluster_time(client))
            case Strategy.WRITE_BLOCK:
                return _block_noted(client, lease, drain_timeout)
            case Strategy.DEMOTE_ROLES:
                return _demote_roles(client, lease, database, drain_timeout)
    except LeaseLost as lost:
        if lease.strategy is not Strategy.WRITE_BLOCK:
            _undo_late_freeze(client, lease)
        raise FreezeFailed(
            f"The origin was thawed while run {run_id} was freezing it. What it had begun was undone. Re-execute the run if "
            "it is still wanted."
        ) from lost


def require_frozen(client: MongoClient[Document], release_id: str, run_id: str) -> None:
    """Make sure, just before what must not be written into, that the origin is frozen still, and by this run.

    Raises:
        LeaseLost: somebody else holds the origin, or nobody.
        FreezeFailed: the lease is ours, and the freeze was lifted by somebody, or users became able to write.
    """
    require_lease(client, release_id, run_id)
    lease = current_lease(client)
    if lease is None or lease.lifted or not _is_frozen(client, lease):
        raise FreezeFailed(
            "Somebody lifted the freeze of the origin under this release: people may have written to it. Nothing more was "
            "renamed. Find out who did it, and re-execute the run from the failed step, which checks what was written."
        )


def is_blocked_by_others(client: MongoClient[Document]) -> bool:
    """Whether writes are blocked and no release is about to block or to allow them."""
    return _is_blocked_unheld(client) and find_intent(client) is None


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


def _is_frozen(client: MongoClient[Document], lease: Lease) -> bool:
    """Whether what the lease says is so.

    Raises:
        FreezeFailed: users have become able to write.
    """
    if lease.strategy is Strategy.WRITE_BLOCK:
        return bool(is_write_blocked(client))
    if lease.strategy is Strategy.NONE:
        return True
    if not is_in_force(client, lease.release_id):
        return False
    if able := who_can_write(client):
        # Putting all back and demoting again would let users write for a while, possibly while a swap is half done.
        raise FreezeFailed(
            f"Accounts were made or changed while the origin was frozen, and can write to it: {', '.join(able)}. Drop them or "
            "take their roles away, and re-execute the run from the failed step."
        )
    return True


def _block_noted(client: MongoClient[Document], lease: Lease, drain_timeout: float) -> Lease:
    """Block writes, with a note of it that only the death of this process leaves behind."""
    intent = note_intent(client, lease.release_id, lease.run_id)
    try:
        frozen = _block_writes(client, lease, drain_timeout)
    except LeaseLost:
        _undo_late_freeze(client, lease)
        forget_intent(client, intent)
        raise
    except FreezeFailed:
        forget_intent(client, intent)
        raise
    forget_intent(client, intent)
    return frozen


def _block_writes(client: MongoClient[Document], lease: Lease, drain_timeout: float) -> Lease:
    try:
        since = block_writes(client, drain_timeout)
    except (BlockFailed, ClusterTimeUnavailable) as error:
        raise FreezeFailed(f"{error} {_give_up(client, lease)} Then re-execute the run.") from error
    try:
        return record_frozen(client, lease, since)
    except OperationFailure as error:
        allow_writes(client)
        raise FreezeFailed(
            f"Writes were blocked, and ours with them: {error}. {_give_up(client, lease)} The user in NMDC_ORIGIN_URI "
            "needs the action bypassWriteBlockingMode (docs/operator-role.md)."
        ) from error


def _demote_roles(client: MongoClient[Document], lease: Lease, database: str, drain_timeout: float) -> Lease:
    try:
        since = demote(client, lease.release_id, database, drain_timeout)
    except (DemotionFailed, AccountsHidden, RoleMissing) as error:
        raise FreezeFailed(f"{error} {_give_up(client, lease)}") from error
    return record_frozen(client, lease, since)


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
