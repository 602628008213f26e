"""Freezing and thawing the origin."""

from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure

from nmdc_release_ops.mongo.clock import ClusterTime
from nmdc_release_ops.mongo.connection import Document
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.journal import SwapUnderWay, read_journal
from nmdc_release_ops.mongo.lease import (
    Lease,
    LeaseHeld,
    Strategy,
    begin_thaw,
    current_lease,
    describe_holder,
    record_frozen,
    release_lease,
    take_lease,
)
from nmdc_release_ops.mongo.topology import is_write_blocked

DRAIN_SECONDS = 60
_TIMED_OUT = (50, 262)


class AlreadyFrozen(MongoError):
    """Somebody else's write block is on; it is not ours to lift."""


class FreezeFailed(MongoError):
    """Writes could not be blocked, and are not."""


def freeze(
    client: MongoClient[Document], release_id: str, run_id: str, strategy: Strategy = Strategy.WRITE_BLOCK
) -> Lease:
    """Take the lease and, by `strategy`, block every write of users that lack `bypassWriteBlockingMode`; reads go on.

    Waits for open transactions to end, at most `DRAIN_SECONDS`. Called again by the release that already holds the
    origin frozen, it changes nothing.

    Raises:
        LeaseHeld: another release is at it.
        AlreadyFrozen: writes are blocked by somebody else.
        FreezeFailed: the block could not be set; the lease has been given back.
    """
    held = current_lease(client)
    if held is None and is_write_blocked(client):
        raise AlreadyFrozen(
            "Writes to the origin are already blocked, and not by this project (there is no lease). Find out who did "
            "it, lift it with setUserWriteBlockMode, and launch again."
        )
    lease = take_lease(client, release_id, run_id, strategy)
    if lease.frozen_at and (lease.strategy is Strategy.NONE or is_write_blocked(client)):
        return lease
    if lease.strategy is Strategy.NONE:
        return record_frozen(client, lease, ClusterTime.of(client.admin.command("ping")["operationTime"]))
    try:
        answer = client.admin.command({"setUserWriteBlockMode": 1, "global": True, "maxTimeMS": DRAIN_SECONDS * 1000})
    except OperationFailure as error:
        _let_go(client, lease, run_id)
        if error.code in _TIMED_OUT:
            raise FreezeFailed(
                f"Transactions did not end within {DRAIN_SECONDS} seconds, so writes were not blocked. The origin "
                f"is not frozen. They are: {_open_transactions(client)}. End them (killSessions) or wait, and launch "
                "again."
            ) from error
        raise FreezeFailed(f"The origin refused to block writes: {error}. It is not frozen.") from error
    try:
        return record_frozen(client, lease, ClusterTime.of(answer["operationTime"]))
    except OperationFailure as error:
        _let_go(client, lease, run_id)
        raise FreezeFailed(
            f"Writes were blocked, and ours with them: {error}. The block was lifted again. The user in NMDC_ORIGIN_URI "
            "needs the action bypassWriteBlockingMode (docs/operator-role.md)."
        ) from error


def thaw(client: MongoClient[Document], release_id: str, thawed_by: str) -> Lease | None:
    """Allow writes again and give the lease back; return the lease, or None where the release held none.

    Begun in one transaction with the look at the journal: a swap cannot begin while an origin is being thawed, nor can an
    origin be thawed once a swap was begun.

    Raises:
        SwapUnderWay: half a swap must not be seen by writers; the origin stays frozen.
        LeaseHeld: another release holds the origin.
    """

    def begin(session: ClientSession) -> Lease | None:
        lease = current_lease(client, session)
        if lease is None:
            return None
        if lease.release_id != release_id:
            raise LeaseHeld(f"The origin is held by another release, and was left as it is. {describe_holder(lease)}")
        journal = read_journal(client, release_id, session)
        if journal is not None and journal.is_under_way:
            raise SwapUnderWay(journal)
        return begin_thaw(client, lease, session)

    with client.start_session() as session:
        lease = session.with_transaction(begin)
    if lease is not None:
        _let_go(client, lease, thawed_by)
    return lease


def _let_go(client: MongoClient[Document], lease: Lease, thawed_by: str) -> None:
    if lease.strategy is Strategy.WRITE_BLOCK:
        client.admin.command({"setUserWriteBlockMode": 1, "global": False})
    release_lease(client, lease, thawed_by)


def _open_transactions(client: MongoClient[Document]) -> str:
    try:
        operations = client.admin.aggregate(
            [
                {"$currentOp": {"allUsers": True, "idleSessions": True}},
                {"$match": {"transaction": {"$exists": True}}},
            ]
        )
        found = [
            f"{operation.get('appName', 'unnamed')} from {operation.get('client', 'unknown')} as "
            f"{', '.join(user['user'] for user in operation.get('effectiveUsers', [])) or 'nobody'}, open for "
            f"{operation['transaction'].get('timeOpenMicros', 0) / 1e6:.0f} s"
            for operation in operations
        ]
    except OperationFailure as error:
        return f"unknown ({error})"
    return "; ".join(found) or "none any more"
