"""Freezing the origin: the course that all strategies have in common."""

from collections.abc import Callable

from pymongo import MongoClient
from pymongo.errors import OperationFailure

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freezing.choose import strategy_of
from nmdc_release_ops.mongo.freezing.strategy import DRAIN_SECONDS, FreezeFailed, FreezeStrategy, NotEngaged
from nmdc_release_ops.mongo.freezing.thaw import undo_attempt, undo_late_freeze
from nmdc_release_ops.mongo.freezing.write_block import is_blocked_by_others
from nmdc_release_ops.mongo.server.clock import cluster_time
from nmdc_release_ops.mongo.server.connection import Document
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


def freeze(
    client: MongoClient[Document],
    release_id: str,
    run_id: str,
    strategy: Strategy,
    *,
    database: str,
    drain_timeout: float = DRAIN_SECONDS,
    when_taken: Callable[[Lease], None] | None = None,
) -> Lease:
    """Take the lease and block every write of others; reads continue.

    Called again by the release that already holds the origin frozen, it changes nothing.

    Args:
        strategy: how writes are blocked, unless the lease of an earlier run of the release already says how.
        database: the one that is frozen; a write block concerns all of the server.
        drain_timeout: seconds to wait for open transactions, and for writes that have begun, to end.
        when_taken: called with the lease before writes are blocked, which may take long.

    Raises:
        LeaseHeld: another release holds the origin.
        AlreadyFrozen: writes are blocked by somebody else.
        FreezeFailed: writes could not be blocked; unless it says otherwise, the lease has been given back.
        PutBackFailed, StillBlocked: the attempt could not be undone either; the lease is kept for the next attempt.
    """
    if is_blocked_by_others(client):
        raise AlreadyFrozen(
            "Writes to the origin are already blocked, and not by this project (there is no lease). Find out who blocked "
            "them, lift the block with setUserWriteBlockMode, and launch again."
        )
    lease = take_lease(client, release_id, run_id, strategy)
    if when_taken:
        when_taken(lease)
    freezing = strategy_of(lease.strategy)
    if lease.frozen_at and freezing.holds(client, lease):
        # Where it was lifted for a while, people may have written until now.
        return record_frozen(client, lease, cluster_time(client)) if lease.lifted else lease
    forget_attempt = freezing.note_attempt(client, lease)
    try:
        frozen = _engage(client, freezing, lease, database, drain_timeout)
    except FreezeFailed:
        # It is undone. After any other error it may not be, and the note is needed.
        forget_attempt()
        raise
    forget_attempt()
    return frozen


def require_frozen(client: MongoClient[Document], release_id: str, run_id: str) -> None:
    """Make sure, just before a change that no other write may precede, that the origin is still frozen, and by this run.

    Raises:
        LeaseLost: somebody else holds the origin, or nobody.
        FreezeFailed: the lease is ours, and the freeze was lifted by somebody, or users became able to write.
    """
    require_lease(client, release_id, run_id)
    lease = current_lease(client)
    if lease is None or lease.lifted or not strategy_of(lease.strategy).holds(client, lease):
        raise FreezeFailed(
            "Somebody lifted the freeze while this release held the origin: users may have written to it. Nothing more was "
            "renamed. Find out who lifted it, and re-execute the run from the failed step, which checks what was written."
        )


def _engage(
    client: MongoClient[Document], strategy: FreezeStrategy, lease: Lease, database: str, drain_timeout: float
) -> Lease:
    """Block writes and record it in the lease, or undo it.

    Raises:
        FreezeFailed: it is undone.
    """
    try:
        since = strategy.engage(client, lease, database, drain_timeout)
    except NotEngaged as failure:
        raise FreezeFailed(failure.describe(undo_attempt(client, lease))) from failure
    try:
        return record_frozen(client, lease, since)
    except OperationFailure as refusal:
        blocking = strategy.lift_if_it_blocks_us(client, refusal)
        if blocking is None:
            raise
        raise FreezeFailed(blocking.describe(undo_attempt(client, lease))) from refusal
    except LeaseLost as lost:
        undo_late_freeze(client, lease)
        raise FreezeFailed(
            f"The origin was thawed while run {lease.run_id} was freezing it. The partial freeze was undone. Re-execute the "
            "run if it is still wanted."
        ) from lost
