"""The state of the origin in full: which version, who holds it, what runs, what was released, and what to do next."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from pymongo import MongoClient
from pymongo.database import Database

from nmdc_release_ops.mongo.origin_state import read_origin_state
from nmdc_release_ops.mongo.server.clock import now
from nmdc_release_ops.mongo.server.connection import Document, nodes_of
from nmdc_release_ops.mongo.server.topology import find_kind
from nmdc_release_ops.mongo.state.agreement import compare_ledger
from nmdc_release_ops.mongo.state.history import History, read_history
from nmdc_release_ops.mongo.state.journal import Journal, State
from nmdc_release_ops.mongo.state.lease import Lease, Strategy, freezes_of
from nmdc_release_ops.mongo.state.ledger import LedgerUnusable
from nmdc_release_ops.mongo.state.step_report import StepReport
from nmdc_release_ops.mongo.swapping.displaced import describe_displaced, find_displaced
from nmdc_release_ops.status.advice import Advice, Situation, advise
from nmdc_release_ops.status.sentences import describe_origin
from nmdc_release_ops.status.unresolved import read_unresolved
from nmdc_release_ops.status.ways import Way, find_promotion, find_rollback

SHOWN_RELEASES = 5


class Hold(BaseModel):
    """Which run holds the origin.

    Attributes:
        holder: the process that executes the run.
        frozen_at: since when writes are blocked; None while that is being done.
        seconds_silent: since the last heartbeat.
        is_abandoned: whether its process has ended, or its machine is lost.
        seconds_thawing: for how long a thaw has been tried; None while nobody thaws.
    """

    model_config = ConfigDict(frozen=True)

    release_id: str
    run_id: str
    holder: str
    strategy: Strategy
    taken_at: datetime
    frozen_at: datetime | None
    seconds_silent: float
    is_abandoned: bool
    seconds_thawing: float | None = None


class PastRelease(BaseModel):
    """A release that reached its swap.

    Attributes:
        blocked_seconds: how long it blocked writes, in all its freezes.
    """

    model_config = ConfigDict(frozen=True)

    release_id: str
    from_version: str
    to_version: str
    state: State
    started_at: datetime
    swapped_at: datetime | None
    rolled_back_at: datetime | None
    blocked_seconds: float


class StatusReport(BaseModel):
    """The state of the origin.

    Attributes:
        origin: its database and addresses, without credentials.
        schema_version: that the database conforms to; None where that is unknown.
        newest_schema_release: that was published; None where that is unknown.
        writes_blocked: by us or by somebody else; None where the server does not report it.
        writes: the same in sentences, with what to do about it.
        working: what runs report, newest release first, then the newest rehearsal.
        releases: newest first.
    """

    model_config = ConfigDict(frozen=True)

    at: datetime
    origin: str
    server: str
    schema_version: str | None
    newest_schema_release: str | None
    writes_blocked: bool | None
    writes: str
    hold: Hold | None
    working: list[StepReport]
    releases: list[PastRelease]
    rollback: Way
    promotion: Way
    warnings: list[str]
    next: Advice


def name_origin(database: str, uri: str) -> str:
    """The origin's database and addresses, without credentials."""
    return f"{database} on {', '.join(nodes_of(uri))}"


def describe_kind(client: MongoClient[Document]) -> str:
    """The server's version and arrangement, for people."""
    kind, name = find_kind(client)
    return f"MongoDB {client.server_info()['version']}, {kind}{f' {name}' if name else ''}"


def read_status(
    database: Database[Document],
    uri: str,
    home: Path,
    newest: str | None,
    *,
    run_id: str = "",
    is_over: Callable[[Lease], bool] = lambda lease: lease.is_abandoned,
) -> StatusReport:
    """Read everything. Nothing is written.

    Args:
        uri: that `database` is connected with.
        home: `NMDC_RELEASE_HOME`.
        newest: the newest schema release; None where it is unknown.
        run_id: of the run to call "this run".
        is_over: whether nobody is left who finishes what a lease is for.

    Raises:
        PyMongoError.
    """
    client = database.client
    state = read_origin_state(client, database.name)
    history, owed = _read_history(database)
    working = read_unresolved(database)
    promotion = find_promotion(database, home)
    # While a release holds the origin, all of this is on its way.
    is_at_rest = state.lease is None and not state.is_swap_under_way
    displaced = find_displaced(database) if is_at_rest else []
    problem = "" if owed else compare_ledger(database).problem if is_at_rest else ""
    # Nobody has released anything yet.
    is_new = not history.journals and history.last_event is None
    found = Situation(
        state=state,
        is_over=state.lease is None or is_over(state.lease),
        is_displaced=bool(displaced),
        ledger_problem="" if is_new and not owed else owed or problem,
        version=history.version,
        working=working,
        promotion=promotion,
        newest=newest,
    )
    return StatusReport(
        at=now(),
        origin=name_origin(database.name, uri),
        server=describe_kind(client),
        schema_version=history.version,
        newest_schema_release=newest,
        writes_blocked=state.is_frozen or state.is_write_blocked or bool(state.leftovers),
        writes=describe_origin(state, run_id),
        hold=_describe_hold(state.lease) if state.lease else None,
        working=working,
        releases=[_describe_release(database, journal) for journal in history.journals[:SHOWN_RELEASES]],
        rollback=find_rollback(database, history.newest),
        promotion=promotion,
        warnings=[*describe_displaced(displaced), *filter(None, [owed or problem])],
        next=advise(found),
    )


def _read_history(database: Database[Document]) -> tuple[History, str]:
    """The history, and what is wrong with it: people need to see the rest all the same."""
    try:
        history = read_history(database)
    except LedgerUnusable as error:
        return History((), None, None), str(error)
    owing = history.owing
    return history, "" if owing is None or owing.owed is None else f"Release {owing.release_id}: {owing.owed}"


def _describe_hold(lease: Lease) -> Hold:
    return Hold(
        release_id=lease.release_id,
        run_id=lease.run_id,
        holder=str(lease.holder),
        strategy=lease.strategy,
        taken_at=lease.taken_at,
        frozen_at=lease.frozen_at,
        seconds_silent=lease.silent.total_seconds(),
        is_abandoned=lease.is_abandoned,
        seconds_thawing=lease.seconds_thawing if lease.thawing else None,
    )


def _describe_release(database: Database[Document], journal: Journal) -> PastRelease:
    return PastRelease(
        **journal.model_dump(include=PastRelease.model_fields.keys() - {"blocked_seconds"}),
        blocked_seconds=sum(freeze.seconds for freeze in freezes_of(database.client, journal.release_id)),
    )
