"""Whether the ledger, its view and the journals of our releases say the same."""

from dataclasses import dataclass

from pymongo.database import Database

from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.state.history import History, read_history
from nmdc_release_ops.mongo.state.ledger import LATEST_VERSION, LedgerUnusable, moments_of
from nmdc_release_ops.mongo.state.ledger_view import view_shows


@dataclass(frozen=True)
class Agreement:
    """What the ledger says.

    Attributes:
        version: of the schema that the database conforms to; None where nothing determines it.
        problem: a sentence or two; empty if everything agrees.
    """

    version: str | None
    problem: str = ""


def compare_ledger(database: Database[Document]) -> Agreement:
    """Compare the ledger's newest event with its view and with the journals. It only reads."""
    try:
        history = read_history(database)
        return Agreement(history.version, _find_problem(database, history))
    except LedgerUnusable as error:
        return Agreement(None, str(error))


def _find_problem(database: Database[Document], history: History) -> str:
    journal = history.newest
    last = history.last_event
    if journal is not None and journal.is_under_way:
        return f"The swap of release {journal.release_id} was begun and is neither finished nor undone."
    if history.owing is not None:
        owing = history.owing
        return f"Release {owing.release_id} brought the database to schema {owing.version}. {owing.owed}"
    if last is None:
        return f"The ledger of {database.name} is empty."
    if last.version is None:
        return f"The ledger's newest event ({last}) does not say which version the database conforms to."
    if journal is not None and last.release_id == journal.release_id and last.version != journal.version:
        return (
            f"Release {journal.release_id} brought the database to schema {journal.version}, and its newest event in the ledger "
            f"says {last.version}."
        )
    if journal is not None and not moments_of(database, journal.release_id, None):
        return (
            f"The ledger has no event of release {journal.release_id}, which brought the database to {journal.version}."
        )
    if not view_shows(database, last.version):
        return f"The view {LATEST_VERSION} does not show {last.version}, which is what the ledger's newest event says."
    return ""
