"""Freezing and thawing the origin."""

from collections.abc import Callable
from dataclasses import dataclass

from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure

from nmdc_release_ops.mongo.accounts import AccountsHidden
from nmdc_release_ops.mongo.clock import ClusterTimeUnavailable, cluster_time
from nmdc_release_ops.mongo.connection import Document
from nmdc_release_ops.mongo.demotion import DemotionFailed, PutBack, demote, is_in_force, put_back, who_can_write
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.journal import SwapUnderWay, is_swap_under_way, read_journal
from nmdc_release_ops.mongo.lease import (
    Lease,
    LeaseHeld,
    LeaseLost,
    Strategy,
    beat,
    begin_thaw,
    current_lease,
    describe_holder,
    record_frozen,
    release_lease,
    require_lease,
    take_lease,
)
from nmdc_release_ops.mongo.readonly import RoleMissing
from nmdc_release_ops.mongo.topology import is_write_blocked
from nmdc_release_ops.mongo.write_block import BlockFailed, allow_writes, block_writes

DRAIN_SECONDS = 60


class AlreadyFrozen(MongoError):
    """Somebody else's write block is on; it is not ours to lift."""


class FreezeFailed(MongoError):
    """Writes could not be blocked, and are not."""


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
        return lease
    try:
        match lease.strategy:
            case Strategy.NONE:
                return record_frozen(client, lease, cluster_time(client))
            case Strategy.WRITE_BLOCK:
                return _block_writes(client, lease, drain_timeout)
            case Strategy.DEMOTE_ROLES:
                return _demote_roles(client, lease, database, drain_timeout)
    except LeaseLost as lost:
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
    if lease is None or not _is_frozen(client, lease):
        raise FreezeFailed(
            "Somebody lifted the freeze of the origin under this release: people may have written to it. Nothing more was "
            "renamed. Find out who did it, and re-execute the run from the failed step, which looks what was written."
        )


def is_blocked_by_others(client: MongoClient[Document]) -> bool:
    """Whether writes are blocked and no release is about to block or to allow them."""
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
    if lease.strategy is Strategy.WRITE_BLOCK:
        allow_writes(client)
    undone = put_back(client, lease.release_id) if lease.strategy is Strategy.DEMOTE_ROLES else PutBack(0, ())
    release_lease(client, lease, thawed_by, put_back=undone.accounts, left=undone.left)
    return undone.left
