"""The origin that a release is planned for: whether it can be released, how it is frozen, and which version it is at."""

from dataclasses import dataclass

from pymongo.database import Database

from nmdc_release_ops.mongo.delta.stream import Stream
from nmdc_release_ops.mongo.freezing.choose import Choice, NotFreezable, choose_strategy, strategy_of
from nmdc_release_ops.mongo.operator_role import PROMOTER_ROLE, promotion_privileges
from nmdc_release_ops.mongo.preflight import find_occupants, inspect_ledger, inspect_server
from nmdc_release_ops.mongo.server.clock import cluster_time
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.identity import ServerIdentity
from nmdc_release_ops.mongo.server.privileges import missing_privileges
from nmdc_release_ops.mongo.server.topology import Server, describe_server
from nmdc_release_ops.mongo.state.history import History, read_history
from nmdc_release_ops.mongo.state.journal import newest_journal
from nmdc_release_ops.mongo.state.lease import Strategy
from nmdc_release_ops.mongo.state.ledger import EVENTS, Event
from nmdc_release_ops.planning.refusal import PlanRefused
from nmdc_release_ops.schema.version import SchemaVersion

_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class PlannedOrigin:
    """The origin that a release is planned for, as it is now.

    Attributes:
        database: connected to.
        freezing: how it is going to be frozen.
        occupants: who holds or blocks it, a message each; only where that does not matter.
        version: of the schema that the database conforms to.
    """

    database: Database[Document]
    server: Server
    identity: ServerIdentity
    freezing: Choice
    occupants: tuple[str, ...]
    history: History
    version: SchemaVersion


def inspect_origin(
    database: Database[Document],
    identity: ServerIdentity,
    *,
    strategy: Strategy | None,
    from_version: str | None,
    allow_without_authorization: bool,
    freezes: bool = True,
) -> PlannedOrigin:
    """Check the origin's server, our privileges and the ledger; read which version the database conforms to.

    Args:
        strategy: the way of freezing that the operator wants; None for the first that is possible.
        from_version: the version according to the operator; only needed if the ledger has none.
        freezes: whether it is going to be frozen now. Otherwise another release may hold it, unless its swap is under way.

    Raises:
        PlanRefused: naming all problems.
        InvalidSchemaVersion, LedgerUnusable.
    """
    server, freezing, occupants = inspect_freezing(
        database, strategy=strategy, allow_without_authorization=allow_without_authorization, freezes=freezes
    )
    history = read_history(database)
    version = _find_version(database.name, history, from_version)
    return PlannedOrigin(database, server, identity, freezing, occupants, history, version)


def inspect_freezing(
    database: Database[Document],
    *,
    strategy: Strategy | None,
    allow_without_authorization: bool,
    freezes: bool = True,
) -> tuple[Server, Choice, tuple[str, ...]]:
    """Check the origin's server, our privileges and the ledger's kind.

    Args:
        strategy, freezes: as `inspect_origin` takes them.

    Returns:
        The server, how it is going to be frozen, and who holds or blocks it.

    Raises:
        PlanRefused: naming all problems.
    """
    server = describe_server(database.client, database.name)
    problems = inspect_server(
        database.client, server, database.name, allow_without_authorization=allow_without_authorization
    )
    occupants: list[str] = []
    if not problems:
        # Without the privileges, neither could be inspected.
        occupants = find_occupants(database.client, database.name)
        matters = freezes or _is_swap_under_way(database)
        problems = [*(occupants if matters else ()), *inspect_ledger(database)]
    return server, choose_freezing(database, server, problems, strategy), tuple(occupants)


def require_change_stream(database: Database[Document]) -> None:
    """Make sure that what people write while nobody is locked out can be found out.

    Raises:
        StreamRefused, ClusterTimeUnavailable.
    """
    Stream(database, (), cluster_time(database.client), patience=_PATIENCE_SECONDS).close()


def require_promotable(database: Database[Document], freezing: Choice) -> None:
    """Make sure that a freeze keeps people from writing, since a promotion does not look at the whole again under the freeze; and
    that what is staged can be kept up to date.

    Raises:
        PlanRefused.
    """
    if not strategy_of(freezing.strategy).blocks_writes:
        raise PlanRefused(
            [
                "The origin does not require authentication, so nobody can be kept from writing while the last changes are taken "
                "into account. Turn authorization on; or launch data_release with allow_without_authorization: true, which "
                "compares everything before it swaps."
            ]
        )
    if missing := missing_privileges(database.client, promotion_privileges(database.name)):
        raise PlanRefused(
            [
                f"The user in NMDC_ORIGIN_URI lacks privileges: {'; '.join(missing)}. Grant the role {PROMOTER_ROLE} of "
                "docs/operator-role.md; or launch data_release, which does without."
            ]
        )


def _is_swap_under_way(database: Database[Document]) -> bool:
    journal = newest_journal(database.client, database.name)
    return journal is not None and journal.is_under_way


def choose_freezing(
    database: Database[Document], server: Server, problems: list[str], strategy: Strategy | None
) -> Choice:
    """Choose how the origin is going to be frozen.

    Args:
        problems: other reasons why a release, or a rollback, is impossible.
        strategy: as `inspect_origin` takes it.

    Raises:
        PlanRefused: naming all problems.
    """
    try:
        choice = choose_strategy(database.client, server, database.name, strategy)
    except NotFreezable as refusal:
        raise PlanRefused([*problems, *refusal.problems]) from refusal
    if problems:
        raise PlanRefused(problems)
    return choice


def _find_version(database: str, history: History, from_version: str | None) -> SchemaVersion:
    given = SchemaVersion.parse(from_version) if from_version is not None else None
    version = SchemaVersion.parse(history.version) if history.version is not None else given
    if version is None:
        raise PlanRefused([_explain_unknown_version(database, history)])
    if given and given != version:
        raise PlanRefused(
            [
                f"The ledger says that the database conforms to {version}, not {given}. Launch again without from_version."
            ]
        )
    return version


def _explain_unknown_version(database: str, history: History) -> str:
    event = history.last_event
    if event is None:
        return (
            f"The ledger of {database} is empty, so it is unknown which version of the schema the database conforms to. Launch "
            "again with from_version set to it."
        )
    if event.event is not Event.STARTED:
        return (
            f"The ledger's newest event ({event}) does not say which version of the schema the database conforms to. "
            f"Correct that document of {EVENTS}, or launch again with from_version set to the version."
        )
    return (
        f"The ledger says that a migration from {event.from_version} to {event.to_version} was started at "
        f"{event.created_at} and never completed. Finish or roll back that migration first, or, if you know which "
        "version the database conforms to, launch again with from_version set to it."
    )
