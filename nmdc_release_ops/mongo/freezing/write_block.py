"""Freezing by a write block: one switch of the server, which then refuses the writes of all users who may not bypass it.

To switch it on, the server waits until no transaction is open, and **while it waits every read and write queues behind it**
(measured on 6.0.5). So each attempt is limited to a fraction of a second, and is repeated until one succeeds.
"""

import time
from collections.abc import Callable

from pymongo import MongoClient
from pymongo.errors import OperationFailure

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freezing.accounts import AccountsHidden, Name, read_accounts, warn_of_users
from nmdc_release_ops.mongo.freezing.readonly import who_bypasses_a_block
from nmdc_release_ops.mongo.freezing.sessions import (
    POLL_SECONDS,
    describe_index_builds,
    describe_lock_holders,
    is_working,
)
from nmdc_release_ops.mongo.freezing.strategy import FreezeStrategy, Leftover, NotEngaged, Preview, PutBack
from nmdc_release_ops.mongo.server.clock import ClusterTime, ClusterTimeUnavailable, cluster_time
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.privileges import Needed, missing_privileges
from nmdc_release_ops.mongo.server.topology import Server, feature_compatibility, is_write_blocked
from nmdc_release_ops.mongo.state.block_intent import (
    find_intent,
    forget_intent,
    forget_intents_of_the_gone,
    note_intent,
)
from nmdc_release_ops.mongo.state.lease import Lease, Strategy, current_lease

BLOCKING = (Needed(None, frozenset({"setUserWriteBlockMode", "bypassWriteBlockingMode"}), "to freeze"),)
"""Privileges that freezing by a write block needs."""
LOOKING_AHEAD = (
    Needed(None, frozenset({"getParameter"}), "to see before the freeze whether the server can block writes"),
)
"""With it, `plan` can check that blocking writes will work. Without it `plan` warns, and the check happens in `freeze`."""

FIRST_WITH_WRITE_BLOCK = (6, 0)
"""`setUserWriteBlockMode` came with MongoDB 6.0, and with featureCompatibilityVersion 6.0."""
TRY_SECONDS = 0.2
"""Time limit of one attempt, during which readers may wait."""
PAUSE_SECONDS = 0.5
"""Pause between two attempts, for readers and writers."""
QUIET_SECONDS = 1.0
"""How long to postpone an attempt while transactions are open; on a busy server some always are."""
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


class WriteBlock(FreezeStrategy):
    """Blocks writes by `setUserWriteBlockMode`."""

    name = Strategy.WRITE_BLOCK
    reason = "The server can block writes with one command, and the operator may send it."

    def suits(self, server: Server) -> bool:
        return server.guarded

    def find_obstacles(self, client: MongoClient[Document], server: Server, database: str) -> list[str]:
        if server.release < FIRST_WITH_WRITE_BLOCK:
            return [f"the server runs MongoDB {server.version}, and blocking writes needs 6.0 or later"]
        if missing := missing_privileges(client, BLOCKING):
            return [f"the user in NMDC_ORIGIN_URI lacks {', '.join(missing)}; grant the role of docs/operator-role.md"]
        if _may_lag(server) and (version := feature_compatibility(client)) and version < FIRST_WITH_WRITE_BLOCK:
            return [
                f"the server's featureCompatibilityVersion is {version[0]}.{version[1]}, and blocking writes needs 6.0; have its "
                'administrator raise it (setFeatureCompatibilityVersion: "6.0")'
            ]
        return []

    def preview(self, client: MongoClient[Document], server: Server, database: str) -> Preview:
        warnings = []
        if _may_lag(server) and feature_compatibility(client) is None:
            warnings.append(
                "Blocking writes needs featureCompatibilityVersion 6.0. The server's could not be looked up: the user in "
                "NMDC_ORIGIN_URI lacks getParameter on cluster (docs/operator-role.md). If it is lower, `freeze` fails and "
                "nothing is frozen."
            )
        try:
            bypassing = who_bypasses_a_block(read_accounts(client, database))
        except AccountsHidden as hidden:
            warnings.append(f"Whether users bypass the write block could not be looked up. {hidden}")
        else:
            warnings += warn_of_users(
                bypassing, "may bypass a write block, and can write to the origin while it is frozen"
            )
        return Preview(warnings=tuple(warnings))

    def note_attempt(self, client: MongoClient[Document], lease: Lease) -> Callable[[], None]:
        intent = note_intent(client, lease.release_id, lease.run_id)
        return lambda: forget_intent(client, intent)

    def engage(self, client: MongoClient[Document], lease: Lease, database: str, drain_timeout: float) -> ClusterTime:
        return _block(client, drain_timeout)

    def lift_if_it_blocks_us(self, client: MongoClient[Document], refusal: OperationFailure) -> NotEngaged:
        allow_writes(client)
        return NotEngaged(
            f"The write block refused the release's own writes too: {refusal}.",
            "The user in NMDC_ORIGIN_URI needs the action bypassWriteBlockingMode (docs/operator-role.md).",
        )

    def engage_again(self, client: MongoClient[Document], drain_timeout: float) -> bool:
        _block(client, drain_timeout)
        return True

    def holds(self, client: MongoClient[Document], lease: Lease) -> bool:
        return bool(is_write_blocked(client))

    def seems_to_hold(self, client: MongoClient[Document], lease: Lease) -> bool:
        return is_write_blocked(client) is not False

    def lift(self, client: MongoClient[Document], lease: Lease) -> PutBack:
        allow_writes(client)
        forget_intents_of_the_gone(client)
        return PutBack()

    def find_leftover(self, client: MongoClient[Document]) -> Leftover | None:
        """A block that came after its lease was given back."""
        intent = find_intent(client)
        if intent is None or not _is_blocked_unheld(client):
            return None
        release_id, run_id = intent
        return Leftover(
            release_id=release_id,
            run_id=run_id,
            effect="blocked writes to the origin after its lease was given back",
            remedy="Launch the job `unfreeze` to allow them again.",
            outcome="Writes are allowed again.",
            prevents_release=False,
        )

    def undo_leftover(
        self, client: MongoClient[Document], leftover: Leftover, thaw_under_lease: Callable[[], PutBack]
    ) -> PutBack:
        return thaw_under_lease()


def _block(client: MongoClient[Document], drain_timeout: float) -> ClusterTime:
    try:
        return block_writes(client, drain_timeout)
    except (BlockFailed, ClusterTimeUnavailable) as error:
        raise NotEngaged(str(error), "Then re-execute the run.") from error


def is_blocked_by_others(client: MongoClient[Document]) -> bool:
    """Whether writes are blocked and no release is about to block or to allow them."""
    return _is_blocked_unheld(client) and find_intent(client) is None


def _is_blocked_unheld(client: MongoClient[Document]) -> bool:
    # The lease before and after: a release may take it, block, and give it back between any two looks.
    return current_lease(client) is None and bool(is_write_blocked(client)) and current_lease(client) is None


def _may_lag(server: Server) -> bool:
    """Whether the features of 6.0 may be disabled for the server's data. Later servers accept no data that old."""
    return server.release == FIRST_WITH_WRITE_BLOCK


def block_writes(client: MongoClient[Document], seconds: float) -> ClusterTime:
    """Block the writes of others; return a moment since which nobody has written. No read is delayed for long.

    After a failure, call `allow_writes`, so that nothing stays blocked.

    Args:
        seconds: how long to keep trying while transactions are open or indexes are being built.

    Raises:
        BlockFailed: naming the transactions or index builds that did not end.
        ClusterTimeUnavailable: writes are blocked, and the server does not report its cluster time.
    """
    deadline = time.monotonic() + seconds
    while True:
        if builds := _index_builds(client):
            if time.monotonic() > deadline:
                raise BlockFailed(
                    f"Indexes were still being built after {seconds:g} seconds, and blocking writes would abort them: "
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
                        f"{'; '.join(_lock_holders(client)) or 'none now'}. End them (killSessions, killOp) or wait."
                    ) from error
                time.sleep(PAUSE_SECONDS)
                continue
        return cluster_time(client)


def allow_writes(client: MongoClient[Document], seconds: float = ALLOW_SECONDS) -> None:
    """Allow everybody's writes again. A no-op where nothing is blocked, or nothing can be.

    The command is always sent, even where nothing is blocked yet: a process that was killed may have left a command to block
    writes that the server has yet to execute, and the server executes them in order.

    Args:
        seconds: how long to keep trying.

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
    while time.monotonic() < deadline and _lock_holders(client):
        time.sleep(POLL_SECONDS)


def _lock_holders(client: MongoClient[Document]) -> list[str]:
    try:
        return describe_lock_holders(client, TRY_SECONDS)
    except OperationFailure as error:
        return [f"unknown ({error})"]


def _index_builds(client: MongoClient[Document]) -> list[str]:
    try:
        return describe_index_builds(client)
    except OperationFailure:
        # Without the privilege to look, it blocks all the same.
        return []


def _is_switching(client: MongoClient[Document]) -> bool:
    """Whether a command of ours to block or to allow writes is still waiting on the server."""
    login = client.admin.command("connectionStatus")["authInfo"]["authenticatedUsers"]
    try:
        return is_working(client, map(Name.of_user, login), frozenset({_COMMAND}))
    except OperationFailure:
        return False
