"""The ledger's view, `_migration_latest_schema_version`: the version of the database after the newest event."""

from contextlib import suppress

from pymongo.database import Database
from pymongo.errors import OperationFailure

from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.state.ledger import (
    EVENTS,
    LATEST_VERSION,
    NEWEST_FIRST,
    Event,
    LedgerUnusable,
    decodable,
    naming_refusals,
)

_NAMESPACE_EXISTS = 48
VIEW_PIPELINE: list[Document] = [
    *NEWEST_FIRST,
    {"$limit": 1},
    {
        "$project": {
            "_id": 0,
            "schema_version": {
                "$switch": {
                    "branches": [
                        {"case": {"$eq": ["$event", Event.COMPLETED]}, "then": "$to_schema_version"},
                        {"case": {"$eq": ["$event", Event.ROLLED_BACK]}, "then": "$from_schema_version"},
                    ],
                    "default": None,
                }
            },
        }
    },
]


def ensure_view(database: Database[Document]) -> None:
    """Create the view if there is none. An existing one is left unchanged.

    Raises:
        LedgerUnusable.
    """
    with naming_refusals(database):
        if LATEST_VERSION in database.list_collection_names(filter={"name": LATEST_VERSION}):
            return
        try:
            database.create_collection(LATEST_VERSION, viewOn=EVENTS, pipeline=VIEW_PIPELINE, check_exists=False)
        except OperationFailure as error:
            if error.code != _NAMESPACE_EXISTS:
                raise


def ensure_view_shows(database: Database[Document], version: str | None) -> None:
    """Replace the view by ours if it does not show `version`, although the newest event does.

    The view of the NMDC Runtime does not handle rollbacks: it shows null after one. It also sorts an event with a date, or
    with an offset from UTC, as newer than it is.

    Raises:
        LedgerUnusable: something else has the view's name, or the server refuses.
    """
    ensure_view(database)
    if view_shows(database, version):
        return
    with naming_refusals(database):
        database.command("collMod", LATEST_VERSION, viewOn=EVENTS, pipeline=VIEW_PIPELINE)
    if not view_shows(database, version):
        raise LedgerUnusable(
            f"The view {LATEST_VERSION} of {database.name} does not show {version or 'null'}, although it was replaced."
        )


def view_shows(database: Database[Document], version: str | None) -> bool:
    """Whether the view has one document, with this version."""
    with suppress(OperationFailure):
        return bool(decodable(database, LATEST_VERSION).find_one() == {"schema_version": version})
    return False
