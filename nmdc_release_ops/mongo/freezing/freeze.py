"""Freezing and thawing the origin."""

from collections.abc import Callable

from pymongo import MongoClient
from pymongo.errors import OperationFailure

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freezing.accounts import AccountsHidden
from nmdc_release_ops.mongo.freezing.demoted_accounts import DemotionFailed
from nmdc_release_ops.mongo.freezing.demotion import demote, is_in_force, who_can_write
from nmdc_release_ops.mongo.freezing.readonly import RoleMissing
from nmdc_release_ops.mongo.freezing.thaw import DRAIN_SECONDS, _give_up, _is_blocked_unheld, _undo_late_freeze
from nmdc_release_ops.mongo.freezing.write_block import BlockFailed, allow_writes, block_writes
from nmdc_release_ops.mongo.server.clock import ClusterTimeUnavailable, cluster_time
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.mongo.state.block_intent import (
    find_intent,
    forget_intent,
    note_intent,
)
from nmdc_release_ops.mongo.state.lease import (
    Lease,
    LeaseLost,
    Strategy,
    current_lease,
    record_frozen,
    require_lease,
    take_lease,
)


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
