"""Demoting every other user and role that can write, and putting them back.

The definition of each account is saved in the origin's state database before anything is changed (`demoted_accounts`). An
account is put back only if it still has the definition that the freeze gave it. If somebody changed it during the freeze, it
is left unchanged and reported, and its saved definition is kept.
"""

import json
import time
from collections.abc import Callable, Iterable
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freezing.accounts import Accounts, Name, read_accounts, read_role, read_user
from nmdc_release_ops.mongo.freezing.demoted_accounts import (
    ACCOUNTS,
    DemotionFailed,
    Header,
    Phase,
    enter_phase,
    forget,
    forget_unless_begun,
    keep_as_found,
    kept_accounts,
    read_header,
    require_attempt,
    save_accounts,
    saved_accounts,
)
from nmdc_release_ops.mongo.freezing.readonly import Definition, Demotion, Kind, demotions
from nmdc_release_ops.mongo.freezing.sessions import is_working, wait_for_writers
from nmdc_release_ops.mongo.freezing.strategy import PutBack
from nmdc_release_ops.mongo.server.clock import ClusterTime, cluster_time, server_time
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.state.database import STATE_DATABASE

_MAJORITY: Document = {"w": "majority", "wtimeout": 60_000}
_ACCOUNT_COMMANDS = frozenset({"createRole", "updateRole", "dropRole", "updateUser"})
_COMMAND_SECONDS = 60
_NOT_FOUND = (11, 31)


class PutBackFailed(MongoError):
    """Accounts could not be put back; their definitions are still saved."""


def demote(client: MongoClient[Document], release_id: str, database: str, drain_timeout: float) -> ClusterTime:
    """Make everybody but ourselves read-only on `database`; return a moment since which nobody has written to it.

    An earlier attempt of the release is undone first, so that what is saved is always the state before any attempt.

    Args:
        drain_timeout: seconds to wait for transactions and writes of others that had begun before.

    Raises:
        DemotionFailed: all accounts were put back.
        PutBackFailed: they could not be put back either.
        AccountsHidden, RoleMissing: nothing was changed.
    """
    put_back(client, release_id)
    accounts = read_accounts(client, database)
    planned = demotions(accounts, database, release_id)
    header = save_accounts(client, release_id, database, accounts, planned)
    try:
        for demotion in planned:
            require_attempt(client, header, Phase.DEMOTING)
            _demote(client, demotion)
        _require_nobody_writes(client)
        _drain(client, accounts, drain_timeout)
        enter_phase(client, header, Phase.IN_FORCE)
        return cluster_time(client)
    except (PyMongoError, MongoError) as error:
        raise DemotionFailed(f"{str(error).rstrip('.')}. {_undo(client, header)}") from error


def is_in_force(client: MongoClient[Document], release_id: str) -> bool:
    """Whether the release has demoted all accounts, and not begun to put them back."""
    header = read_header(client)
    return header is not None and header.release_id == release_id and header.phase is Phase.IN_FORCE


def who_can_write(client: MongoClient[Document]) -> list[str]:
    """Accounts that can write in spite of the demotion, because somebody made or changed them since."""
    header = read_header(client)
    if header is None:
        return []
    left = demotions(read_accounts(client, header.database), header.database, header.release_id)
    return [str(demotion) for demotion in left if demotion.kind is not Kind.STAND_IN]


def put_back(client: MongoClient[Document], release_id: str, is_ours: Callable[[], bool] = lambda: True) -> PutBack:
    """Give users and roles the definitions that they had before the release demoted them, and compare afterwards.

    Can be called at any time, any number of times, after a crash at any point.

    Args:
        is_ours: whether the caller still holds the origin. Called after the demotion was read, so that one that another run
            begins later is left alone.

    Raises:
        PutBackFailed: an account could not be put back; calling it again continues.
        DemotionFailed: another process put this demotion back, or began another one.
    """
    try:
        header = read_header(client)
        if not is_ours():
            return PutBack(0, ())
        if header is None or header.release_id != release_id:
            return PutBack(0, still_left(client, release_id))
        return _put_back(client, header)
    except PyMongoError as error:
        raise PutBackFailed(
            f"Not all users and roles could be put back: {error}. Their definitions from before the freeze are saved in "
            f"{STATE_DATABASE}.{ACCOUNTS}. Correct the cause, and launch the job `unfreeze`."
        ) from error


def still_left(client: MongoClient[Document], release_id: str) -> tuple[str, ...]:
    """A line for each account that was not put back because somebody had changed it, and that still differs."""
    return tuple(
        _describe_left(demotion, present)
        for demotion in kept_accounts(client, release_id)
        if not _is_as_before(demotion, present := _definition(client, demotion))
    )


def _demote(client: MongoClient[Document], demotion: Demotion) -> None:
    present = _definition(client, demotion)
    if demotion.during.is_same_as(present):
        return
    if not _is_as_before(demotion, present):
        raise DemotionFailed(f"Somebody changed the {demotion} during the freeze. Launch again.")
    _define(client, demotion, demotion.during)


def _require_nobody_writes(client: MongoClient[Document]) -> None:
    if accounts := who_can_write(client):
        raise DemotionFailed(
            f"Accounts that somebody created or changed during the freeze can write: {', '.join(accounts)}. Launch again."
        )


def _drain(client: MongoClient[Document], accounts: Accounts, seconds: float) -> None:
    # The server drops its cache of a user before the command that changes the user returns, and checks privileges for each
    # operation: every operation that begins from here on is read-only.
    since = server_time(client)
    writers = wait_for_writers(client, since, seconds, ours=accounts.own_users, users=accounts.users)
    if writers:
        raise DemotionFailed(
            f"Transactions or writes that began before the freeze did not end within {seconds:g} seconds: {'; '.join(writers)}. "
            "End them (killSessions, killOp) or wait, and launch again."
        )


def _undo(client: MongoClient[Document], header: Header) -> str:
    current = read_header(client)
    if current and current.attempt != header.attempt:
        return "That process puts the accounts back."
    restored = put_back(client, header.release_id)
    return " ".join(restored.left) or "Users and roles are what they were before."


def _put_back(client: MongoClient[Document], header: Header) -> PutBack:
    _wait_for_our_commands(client)
    if header.phase is Phase.SAVING:
        return _put_back_unless_begun(client, header)
    enter_phase(client, header, Phase.PUTTING_BACK)
    saved = saved_accounts(client, header)
    for demotion in saved:
        if demotion.before and demotion.during.is_same_as(_definition(client, demotion)):
            # A process that was suspended here must not put back what the next attempt has demoted.
            require_attempt(client, header, Phase.PUTTING_BACK)
            _define_if_possible(client, demotion, demotion.before)
    stand_ins = [demotion for demotion in saved if demotion.kind is Kind.STAND_IN]
    _drop_unused(client, header, stand_ins)
    as_before = 0
    for demotion in saved:
        present = _definition(client, demotion)
        if not _is_as_before(demotion, present):
            keep_as_found(client, header, demotion, present)
        elif demotion.kind is not Kind.STAND_IN:
            as_before += 1
    new = _describe_new(client, header, stand_ins)
    forget(client, header)
    return PutBack(as_before, (*still_left(client, header.release_id), *new))


def _put_back_unless_begun(client: MongoClient[Document], header: Header) -> PutBack:
    """Give up an attempt that was still saving: it has changed nothing, unless it is continuing right now."""
    if not forget_unless_begun(client, header):
        current = read_header(client)
        if current is not None and current.attempt == header.attempt:
            return _put_back(client, current)
    return PutBack(0, still_left(client, header.release_id))


def _wait_for_our_commands(client: MongoClient[Document]) -> None:
    """A process that was killed may have sent a last command that the server is still executing."""
    own = [Name.of_user(user) for user in client.admin.command("connectionStatus")["authInfo"]["authenticatedUsers"]]
    deadline = time.monotonic() + _COMMAND_SECONDS
    while is_working(client, own, _ACCOUNT_COMMANDS):
        if time.monotonic() > deadline:
            raise PutBackFailed(
                "Another process of the release is changing users and roles. End it, and launch the job `unfreeze`."
            )
        time.sleep(0.05)


def _drop_unused(client: MongoClient[Document], header: Header, stand_ins: Iterable[Demotion]) -> None:
    """Drop the stand-ins that no account holds: dropping a role revokes it from its holders."""
    unchanged = [one for one in stand_ins if one.during.is_same_as(_definition(client, one))]
    if not unchanged:
        return
    held = read_accounts(client, header.database).held_roles()
    for stand_in in unchanged:
        if stand_in.name not in held:
            _account_command(client, "dropRole", stand_in.name)


def _describe_new(client: MongoClient[Document], header: Header, stand_ins: Iterable[Demotion]) -> tuple[str, ...]:
    accounts = read_accounts(client, header.database)
    known = {*header.known, *(str(one.name) for one in stand_ins)}
    return tuple(
        f"The {kind} {name} was created while the origin was frozen, and was left unchanged."
        for kind, names in (("user", accounts.users), ("role", accounts.roles))
        for name in sorted(names)
        if str(name) not in known and not (kind == "role" and accounts.roles[name].built_in)
    )


def _is_as_before(demotion: Demotion, present: Definition | None) -> bool:
    return present is None if demotion.before is None else demotion.before.is_same_as(present)


def _describe_left(demotion: Demotion, present: Definition | None) -> str:
    if demotion.before is None:
        return (
            f"The {demotion}, which stood in for another during the freeze, was granted to somebody or changed meanwhile, and "
            "was left unchanged. Revoke it from its holders, and drop it."
        )
    command = "updateUser" if demotion.kind is Kind.USER else "updateRole"
    before = json.dumps(demotion.before.model_dump(include={"roles"} if demotion.kind is Kind.USER else None))
    if present is None:
        return f"The {demotion} was dropped while the origin was frozen. Its earlier definition was {before}."
    database, name = map(json.dumps, demotion.name)
    return (
        f"The {demotion} was changed while the origin was frozen, and was left unchanged. To restore its earlier definition: "
        f"db.getSiblingDB({database}).{command}({name}, {before})"
    )


def _definition(client: MongoClient[Document], demotion: Demotion) -> Definition | None:
    """The present definition of an account, None if it does not exist."""
    account = read_user(client, demotion.name) if demotion.kind is Kind.USER else read_role(client, demotion.name)
    return Definition.of(account) if account else None


def _define_if_possible(client: MongoClient[Document], demotion: Demotion, definition: Definition) -> None:
    try:
        _define(client, demotion, definition)
    except OperationFailure as error:
        # The account, or a role that it had, was dropped in the meantime. The comparison at the end reports it.
        if error.code not in _NOT_FOUND:
            raise


def _define(client: MongoClient[Document], demotion: Demotion, definition: Definition) -> None:
    match demotion.kind:
        case Kind.USER:
            _account_command(client, "updateUser", demotion.name, roles=definition.roles)
        case Kind.ROLE:
            _account_command(client, "updateRole", demotion.name, **definition.model_dump())
        case Kind.STAND_IN:
            _account_command(client, "createRole", demotion.name, **definition.model_dump())


def _account_command(client: MongoClient[Document], command: str, name: Name, **what: Any) -> None:
    client[name.database].command(command, name.name, **what, writeConcern=_MAJORITY)
