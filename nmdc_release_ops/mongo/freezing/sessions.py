"""Sessions that are active on a server: open transactions, and operations that may write."""

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from pymongo import MongoClient

from nmdc_release_ops.mongo.freezing.accounts import Name
from nmdc_release_ops.mongo.server.connection import Document

POLL_SECONDS = 0.05
# One look may miss a transaction that is changing from idle to active or back: the server lists active and idle ones one
# after the other.
LOOKS = 4
_WRITES = ("insert", "update", "remove")
_READERS = frozenset(
    {
        *("find", "getMore", "aggregate", "count", "distinct", "explain", "killCursors"),
        *("hello", "isMaster", "ismaster", "ping", "buildInfo", "connectionStatus", "getParameter", "getLog", "top"),
        *("listCollections", "listIndexes", "listDatabases", "collStats", "dbStats", "dbHash", "validate"),
        *("serverStatus", "currentOp", "replSetGetStatus", "usersInfo", "rolesInfo"),
        *("saslStart", "saslContinue", "authenticate", "logout", "endSessions", "refreshSessions"),
    }
)
_MEMBER = Name("local", "__system")
"""The other members of the replica set; they replicate."""


def wait_for_writers(
    client: MongoClient[Document], since: datetime, seconds: float, *, ours: Iterable[Name], users: Iterable[Name]
) -> list[str]:
    """Wait until everything that others had begun by `since` and that may write has ended; describe what has not.

    Privileges are checked when an operation begins, and not again while it runs or when its transaction is committed. So once
    the privileges are gone, only what is found here can still write.

    Args:
        since: by the server's clock.
        seconds: how long to wait at most.
        ours: users whose operations are ignored.
        users: all users, so that the owner of an idle session can be named.
    """
    own, names = {*ours, _MEMBER}, {_session_owner(user): user for user in users}
    deadline = time.monotonic() + seconds
    operations = {key for key, _ in _writing(_everything(client), own)}
    clean = 0
    while True:
        now = _everything(client)
        left = {key: description for key, description in _writing(now, own) if key in operations}
        left |= dict(_transactions(now, own, names, since))
        clean = 0 if left else clean + 1
        if clean == LOOKS or (left and time.monotonic() > deadline):
            return list(left.values())
        time.sleep(POLL_SECONDS)


def describe_lock_holders(client: MongoClient[Document], seconds: float) -> list[str]:
    """What prevents the server from taking the global lock: open transactions, and long operations.

    Args:
        seconds: operations outside a transaction are listed if they have been running for longer.
    """
    operations = _everything(client)
    holders = [description for _, description in _transactions(operations, set(), {}, None)]
    holders += [
        _describe(operation, _users(operation), f"at {_what(operation)} for {_running(operation):.0f} s")
        for operation in operations
        if "transaction" not in operation
        and operation.get("locks", {}).get("Global")
        and not operation.get("waitingForLock")
        and _running(operation) > seconds
    ]
    return holders


def describe_index_builds(client: MongoClient[Document]) -> list[str]:
    """The index builds that are running. A write block would abort them, including those of users who bypass it."""
    return [
        _describe(operation, _users(operation), f"at {_what(operation)} for {_running(operation):.0f} s")
        for operation in _everything(client)
        if "createIndexes" in operation.get("command", {}) and not operation.get("waitingForLock")
    ]


def is_working(client: MongoClient[Document], users: Iterable[Name], commands: frozenset[str]) -> bool:
    """Whether the server is executing one of the commands for one of the users."""
    wanted = set(users)
    return any(
        next(iter(operation.get("command", {})), "") in commands and _users(operation) & wanted
        for operation in _everything(client)
    )


def _everything(client: MongoClient[Document]) -> list[Document]:
    return list(client.admin.aggregate([{"$currentOp": {"allUsers": True, "idleSessions": True}}]))


def _writing(operations: Iterable[Document], own: set[Name]) -> Iterator[tuple[Any, str]]:
    for operation in operations:
        if operation.get("active") and _may_write(operation) and not _is_of(operation, own):
            yield operation.get("opid"), _describe(operation, _users(operation), f"at {_what(operation)}")


def _transactions(
    operations: Iterable[Document], own: set[Name], names: Mapping[bytes, Name], since: datetime | None
) -> Iterator[tuple[Any, str]]:
    for operation in operations:
        if "transaction" not in operation:
            continue
        session = operation.get("lsid", {})
        owner = names.get(bytes(session.get("uid", b"")))
        users = _users(operation) or ({owner} if owner else set())
        begun = operation["transaction"].get("startWallClockTime")
        if (users and users <= own) or (since and begun and datetime.fromisoformat(begun) > since):
            continue
        seconds = operation["transaction"].get("timeOpenMicros", 0) / 1e6
        key = (bytes(session.get("id", b"")), operation["transaction"].get("parameters", {}).get("txnNumber"))
        yield key, _describe(operation, users, f"a transaction open for {seconds:.0f} s")


def _may_write(operation: Document) -> bool:
    """Whether an operation may write. One that has just begun does not report its command yet, and counts."""
    command = operation.get("command", {})
    name = next(iter(command), "")
    if not name:
        return "client" in operation and operation.get("op") != "getmore"
    if operation.get("op") in _WRITES or name not in _READERS:
        return True
    return any(_has_output(one) for one in (command, _originating(operation)))


def _originating(operation: Document) -> Document:
    command: Document = (
        operation.get("cursor", {}).get("originatingCommand") or operation.get("originatingCommand") or {}
    )
    return command


def _has_output(command: Document) -> bool:
    stages = command.get("pipeline")
    # The server truncates a long command: then it is not a list of stages.
    return stages is not None and (
        not isinstance(stages, list)
        or any(not isinstance(stage, dict) or {"$out", "$merge"} & stage.keys() for stage in stages)
    )


def _running(operation: Document) -> float:
    return float(operation.get("microsecs_running", 0)) / 1e6


def _is_of(operation: Document, users: set[Name]) -> bool:
    return bool(_users(operation)) and _users(operation) <= users


def _users(operation: Document) -> set[Name]:
    return {Name(user["db"], user["user"]) for user in operation.get("effectiveUsers", [])}


def _what(operation: Document) -> str:
    return f"{operation.get('op', 'something')} {operation.get('ns', '')}".strip()


def _describe(operation: Document, users: set[Name], doing: str) -> str:
    who = ", ".join(str(user) for user in sorted(users)) or "somebody"
    return f"{operation.get('appName') or 'unnamed'} from {operation.get('client', 'unknown')} as {who}, {doing}"


def _session_owner(user: Name) -> bytes:
    """The `lsid.uid` of a user's sessions."""
    return hashlib.sha256(str(user).encode()).digest()
