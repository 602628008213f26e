"""Choosing how the origin is frozen: what the server and our privileges allow, and whom it leaves able to write."""

from collections.abc import Iterator
from dataclasses import dataclass

from pymongo import MongoClient

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freezing.accounts import AccountsHidden, Name, read_accounts
from nmdc_release_ops.mongo.freezing.demotion import DEMOTING
from nmdc_release_ops.mongo.freezing.readonly import (
    Kind,
    RoleMissing,
    demotions,
    who_bypasses_a_block,
    who_could_undo_it,
)
from nmdc_release_ops.mongo.freezing.write_block import BLOCKING
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.privileges import missing_privileges
from nmdc_release_ops.mongo.server.topology import Server, feature_compatibility
from nmdc_release_ops.mongo.state.lease import Strategy

FIRST_WITH_WRITE_BLOCK = (6, 0)
"""`setUserWriteBlockMode` came with MongoDB 6.0, and with featureCompatibilityVersion 6.0."""
_NAMES_SHOWN = 20


@dataclass(frozen=True)
class Choice:
    """How the origin is going to be frozen.

    Attributes:
        reason: why so, a sentence.
        warnings: who is not prevented from writing.
    """

    strategy: Strategy
    reason: str
    warnings: tuple[str, ...]


class NotFreezable(MongoError):
    """No strategy that may be taken is possible.

    Attributes:
        problems: for each strategy what is in its way.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


def choose_strategy(
    client: MongoClient[Document], server: Server, database: str, wanted: Strategy | None = None
) -> Choice:
    """The first strategy that is possible, or the one that is wanted. Changes nothing.

    Raises:
        NotFreezable: what is in the way of each.
    """
    if not server.guarded:
        return Choice(
            Strategy.NONE,
            "The origin has no authorization, so nobody can be told from anybody.",
            ("Nobody is prevented from writing to the origin: it has no authorization.",),
        )
    in_the_way: dict[Strategy, list[str]] = {}
    for strategy in (Strategy.WRITE_BLOCK, Strategy.DEMOTE_ROLES):
        if wanted not in (None, strategy):
            continue
        in_the_way[strategy] = list(_obstacles(client, server, database, strategy))
        if not in_the_way[strategy]:
            return _choice(client, server, database, strategy, _reason(wanted, in_the_way))
    raise NotFreezable(
        [f"The origin cannot be frozen by {strategy}: {'; '.join(found)}." for strategy, found in in_the_way.items()]
    )


def _obstacles(client: MongoClient[Document], server: Server, database: str, strategy: Strategy) -> Iterator[str]:
    if strategy is Strategy.WRITE_BLOCK:
        if server.release < FIRST_WITH_WRITE_BLOCK:
            yield f"the server runs MongoDB {server.version}, and blocking writes needs 6.0 or later"
        elif missing := missing_privileges(client, BLOCKING):
            yield f"the user in NMDC_ORIGIN_URI lacks {', '.join(missing)}; grant the role of docs/operator-role.md"
        elif _may_lag(server) and (found := feature_compatibility(client)) and found < FIRST_WITH_WRITE_BLOCK:
            yield (
                f"the server's featureCompatibilityVersion is {found[0]}.{found[1]}, and blocking writes needs 6.0; have its "
                'administrator raise it (setFeatureCompatibilityVersion: "6.0")'
            )
        return
    if missing := missing_privileges(client, DEMOTING):
        yield f"the user in NMDC_ORIGIN_URI lacks {', '.join(missing)}; grant the second role of docs/operator-role.md"
        return
    try:
        demotions(read_accounts(client, database), database, "plan")
    except (AccountsHidden, RoleMissing) as error:
        yield str(error).rstrip(".")


def _may_lag(server: Server) -> bool:
    """Whether the features of 6.0 may be disabled for the server's data. Later servers accept no data that old."""
    return server.release == FIRST_WITH_WRITE_BLOCK


def _reason(wanted: Strategy | None, in_the_way: dict[Strategy, list[str]]) -> str:
    if wanted:
        return "The configuration asks for it."
    if in_the_way.get(Strategy.WRITE_BLOCK):
        return f"{Strategy.WRITE_BLOCK} is not possible: {'; '.join(in_the_way[Strategy.WRITE_BLOCK])}."
    return "The server can block writes with one command, and we may tell it to."


def _choice(client: MongoClient[Document], server: Server, database: str, strategy: Strategy, reason: str) -> Choice:
    warnings = []
    if strategy is Strategy.WRITE_BLOCK and _may_lag(server) and feature_compatibility(client) is None:
        warnings.append(
            "Blocking writes needs featureCompatibilityVersion 6.0. The server's could not be looked up: the user in "
            "NMDC_ORIGIN_URI lacks getParameter on cluster (docs/operator-role.md). If it is lower, `freeze` fails and nothing "
            "is frozen."
        )
    try:
        accounts = read_accounts(client, database)
    except AccountsHidden as hidden:
        unknown = f"Whether users bypass the write block could not be looked up. {hidden}"
        return Choice(strategy, reason, (*warnings, unknown))
    if strategy is Strategy.WRITE_BLOCK:
        bypassing = _told(
            who_bypasses_a_block(accounts), "may bypass a write block, and can write to the origin while it is frozen"
        )
        return Choice(strategy, reason, (*warnings, *bypassing))
    changed = len([one for one in demotions(accounts, database, "plan") if one.kind is not Kind.STAND_IN])
    promoting = _told(
        who_could_undo_it(accounts, database),
        "may give out roles or change passwords, and so could make themselves able to write while the origin is frozen",
    )
    count = f"{changed} users and roles will be made read-only by the freeze, and put back by the thaw."
    return Choice(strategy, f"{reason} {count}", tuple(promoting))


def _told(users: list[Name], what: str) -> Iterator[str]:
    if users:
        names = ", ".join(str(user) for user in users[:_NAMES_SHOWN])
        more = f" and {len(users) - _NAMES_SHOWN} more" if len(users) > _NAMES_SHOWN else ""
        yield f"{names}{more}: {'this user' if len(users) == 1 else 'these users'} {what}. See that they do not."
