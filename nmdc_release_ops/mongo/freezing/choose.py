"""Choosing how the origin is frozen: the first strategy that the server and our privileges allow."""

from dataclasses import dataclass

from pymongo import MongoClient

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freezing.demote_roles import DemoteRoles
from nmdc_release_ops.mongo.freezing.strategy import FreezeStrategy
from nmdc_release_ops.mongo.freezing.unguarded import Unguarded
from nmdc_release_ops.mongo.freezing.write_block import WriteBlock
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.topology import Server
from nmdc_release_ops.mongo.state.lease import Strategy

STRATEGIES: tuple[FreezeStrategy, ...] = (WriteBlock(), DemoteRoles(), Unguarded())
"""In order of preference."""
CONFIGURABLE = tuple(strategy.name for strategy in STRATEGIES if strategy.is_configurable)
"""What the configuration can ask for."""


@dataclass(frozen=True)
class Choice:
    """How the origin is going to be frozen.

    Attributes:
        reason: why so, a sentence or two.
        warnings: who is not prevented from writing, and what could not be checked.
    """

    strategy: Strategy
    reason: str
    warnings: tuple[str, ...]


class NotFreezable(MongoError):
    """No strategy that may be taken is possible.

    Attributes:
        problems: for each strategy what makes it impossible.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


def strategy_of(name: Strategy) -> FreezeStrategy:
    """The strategy of a name, as leases and plans record it."""
    return next(strategy for strategy in STRATEGIES if strategy.name is name)


def choose_strategy(
    client: MongoClient[Document], server: Server, database: str, wanted: Strategy | None = None
) -> Choice:
    """The first strategy that is possible, or the one that is wanted. Changes nothing.

    Raises:
        NotFreezable: none is; with the obstacles of each.
    """
    obstacles: dict[Strategy, list[str]] = {}
    for strategy in STRATEGIES:
        if not strategy.suits(server) or (strategy.is_configurable and wanted not in (None, strategy.name)):
            continue
        reasons = strategy.find_obstacles(client, server, database)
        if not reasons:
            return _choice(client, server, database, strategy, _reason(strategy, wanted, obstacles))
        obstacles[strategy.name] = reasons
    raise NotFreezable(
        [f"The origin cannot be frozen by {name}: {'; '.join(reasons)}." for name, reasons in obstacles.items()]
    )


def _choice(
    client: MongoClient[Document], server: Server, database: str, strategy: FreezeStrategy, reason: str
) -> Choice:
    preview = strategy.preview(client, server, database)
    return Choice(strategy.name, " ".join(part for part in (reason, preview.effect) if part), preview.warnings)


def _reason(strategy: FreezeStrategy, wanted: Strategy | None, obstacles: dict[Strategy, list[str]]) -> str:
    if wanted is strategy.name:
        return "The configuration asks for it."
    if obstacles:
        return " ".join(f"{name} is not possible: {'; '.join(reasons)}." for name, reasons in obstacles.items())
    return strategy.reason
