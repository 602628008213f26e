"""Freezing by a write block: one switch of the server, which refuses the writes of whoever may not bypass it.

To switch it on, the server waits until no transaction is open, and **while it waits every read and write queues behind it**
(measured on 6.0.5). So each attempt is limited to a fraction of a second, and is repeated until one succeeds.
"""

import time

from pymongo import MongoClient
from pymongo.errors import OperationFailure

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freezing.accounts import Name
from nmdc_release_ops.mongo.freezing.sessions import (
    POLL_SECONDS,
    describe_index_builds,
    describe_lock_holders,
    is_working,
)
from nmdc_release_ops.mongo.server.clock import ClusterTime, cluster_time
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.privileges import Needed
from nmdc_release_ops.mongo.server.topology import is_write_blocked

BLOCKING = (Needed(None, frozenset({"setUserWriteBlockMode", "bypassWriteBlockingMode"}), "to freeze"),)
"""What freezing by a write block takes."""
LOOKING_AHEAD = (
    Needed(None, frozenset({"getParameter"}), "to see before the freeze whether the server can block writes"),
)
"""With it, `plan` can check that blocking writes will work. Without it `plan` warns, and `freeze` finds out."""

TRY_SECONDS = 0.2
"""Time limit of one attempt, during which readers may wait."""
PAUSE_SECONDS = 0.5
"""Pause between two attempts, for readers and writers."""
QUIET_SECONDS = 1.0
"""How long to postpone an attempt while something is in its way; on a busy server something always is."""
ALLOW_SECONDS = 60
_COMMAND = "setUserWriteBlockMode"
_TIMED_OUT = (50, 262)
# IllegalOperation: below featureCompatibilityVersion 6.0. CommandNotFound: before MongoDB 6.0. Nothing can be blocked there.
# The server refuses to lower the version while writes are blocked.
_NO_SUCH_SWITCH = (20, 59)


class BlockFailed(MongoError):
    """The server did not block writes."""


class StillBlocked(MongoError):
    """The server still blocks writes."""


def block_writes(client: MongoClient[Document], seconds: float) -> ClusterTime:
    """Block the writes of others; return a moment since which nobody has written. No read waits long meanwhile.

    After a failure, call `allow_writes`, so that nothing stays blocked.

    Args:
        seconds: how long to go on trying while transactions are open or indexes are being built.

    Raises:
        BlockFailed: naming what was in the way.
        ClusterTimeUnavailable: writes are blocked, and the server does not report its cluster time.
    """
    deadline = time.monotonic() + seconds
    while True:
        if builds := _index_builds(client):
            if time.monotonic() > deadline:
                raise BlockFailed(
                    f"Indexes were still being built after {seconds:g} seconds, and blocking writes would abort that: "
                    f"{'; '.join(builds)}. Writes were not blocked. Wait, or end the builds (killOp)."
                )
            time.sleep(PAUSE_SECONDS)
            continue
        _wait_for_quiet(client, min(QUIET_SECONDS, deadline - time.monotonic()))
        try:
            _switch(client, on=True)
        except OperationFailure as error:
            # It may have timed out after it took effect: then the block is on.
            if not is_write_blocked(client):
                if error.code not in _TIMED_OUT:
                    raise BlockFailed(f"The server refused to block writes: {error}. Correct the cause.") from error
                if time.monotonic() > deadline:
                    raise BlockFailed(
                        f"Transactions did not end within {seconds:g} seconds, so writes were not blocked. Still open: "
                        f"{'; '.join(_in_the_way(client)) or 'none any more'}. End them (killSessions, killOp) or wait."
                    ) from error
                time.sleep(PAUSE_SECONDS)
                continue
        return cluster_time(client)


def allow_writes(client: MongoClient[Document], seconds: float = ALLOW_SECONDS) -> None:
    """Allow everybody's writes again. A no-op where nothing is blocked, or nothing can be.

    The command is always sent, even where nothing is blocked yet: a process that was killed may have left a command to block
    writes that the server has yet to execute, and the server executes them in order.

    Args:
        seconds: how long to go on trying.

    Raises:
        StillBlocked: the server refuses, or takes too long.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            _switch(client, on=False)
            return
        except OperationFailure as error:
            blocked = is_write_blocked(client)
            if not blocked and error.code in _NO_SUCH_SWITCH:
                return
            if blocked is False and not _is_switching(client):
                return
            if error.code not in _TIMED_OUT or time.monotonic() > deadline:
                raise StillBlocked(
                    f"The server still blocks writes: {error}. Correct the cause, and launch the job `unfreeze`; or have its "
                    f"administrator run db.adminCommand({{{_COMMAND}: 1, global: false}}), and then launch `unfreeze`."
                ) from error
        time.sleep(PAUSE_SECONDS)


def _switch(client: MongoClient[Document], *, on: bool) -> None:
    client.admin.command({_COMMAND: 1, "global": on, "maxTimeMS": round(TRY_SECONDS * 1000)})


def _wait_for_quiet(client: MongoClient[Document], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and _in_the_way(client):
        time.sleep(POLL_SECONDS)


def _in_the_way(client: MongoClient[Document]) -> list[str]:
    try:
        return describe_lock_holders(client, TRY_SECONDS)
    except OperationFailure as error:
        return [f"unknown ({error})"]


def _index_builds(client: MongoClient[Document]) -> list[str]:
    try:
        return describe_index_builds(client)
    except OperationFailure:
        # Without the privilege to look, the block is not given up.
        return []


def _is_switching(client: MongoClient[Document]) -> bool:
    """Whether a command to block or to allow writes of ours is still waiting on the server."""
    login = client.admin.command("connectionStatus")["authInfo"]["authenticatedUsers"]
    try:
        return is_working(client, map(Name.of_user, login), frozenset({_COMMAND}))
    except OperationFailure:
        return False
