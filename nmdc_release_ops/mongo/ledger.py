"""The ledger: `_migration_events` and the view `_migration_latest_schema_version`, which say which version of the
NMDC Schema the database conforms to.

The shape of both is the NMDC Runtime's (its migrations' Bookkeeper), which reads them too.
"""

from collections.abc import Set
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from pymongo import DESCENDING
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import CollectionInvalid

from nmdc_release_ops.mongo.connection import Document
from nmdc_release_ops.mongo.errors import MongoError

EVENTS = "_migration_events"
LATEST_VERSION = "_migration_latest_schema_version"


class LedgerChanged(MongoError):
    """The database has been migrated, or rolled back, by somebody else since the release was planned."""


class Event(StrEnum):
    """What can happen to a migration."""

    STARTED = "MIGRATION_STARTED"
    COMPLETED = "MIGRATION_COMPLETED"
    ROLLED_BACK = "MIGRATION_ROLLED_BACK"


VIEW_PIPELINE: list[Document] = [
    {"$sort": {"created_at": DESCENDING}},
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


def last_event(database: Database[Document], session: ClientSession | None = None) -> Document | None:
    """The newest event, None where the ledger is empty."""
    return database[EVENTS].find_one({}, {"_id": False}, sort=[("created_at", DESCENDING)], session=session)


def recorded_version(database: Database[Document]) -> str | None:
    """The version that the newest event leaves the database at.

    None where the ledger is empty, or a migration was started and neither completed nor rolled back.
    """
    event = last_event(database)
    if event is None:
        return None
    if event["event"] == Event.COMPLETED:
        return str(event["to_schema_version"])
    if event["event"] == Event.ROLLED_BACK:
        return str(event["from_schema_version"])
    return None


def require_recorded(database: Database[Document], versions: Set[str | None]) -> None:
    """Make sure that the database is still at the version that a release was planned for.

    Args:
        versions: what the ledger may say; None where it says nothing.

    Raises:
        LedgerChanged: it says something else.
    """
    found = recorded_version(database)
    if found not in versions:
        raise LedgerChanged(
            f"The ledger says that the database conforms to schema {found or 'unknown'} now, and this release was planned when "
            f"it was {' or '.join(sorted(version for version in versions if version))}: another release, a rollback or the "
            "Runtime's own migration came in between. Nothing was written. Launch a new release instead of this run."
        )


def record(
    database: Database[Document],
    event: Event,
    *,
    from_version: str,
    to_version: str,
    migrator_module: str,
    release_id: str,
    session: ClientSession | None = None,
) -> None:
    """Add an event, unless this release has already recorded the same one last.

    The event counts as the newest even if another machine's clock ran ahead of ours when it wrote the one before.
    """
    last = last_event(database, session)
    if last and last["event"] == event and last.get("release_id") == release_id:
        return
    moment = datetime.now(UTC)
    if last:
        moment = max(moment, _moment(last["created_at"]) + timedelta(microseconds=1))
    database[EVENTS].insert_one(
        {
            "created_at": moment.isoformat(timespec="microseconds"),
            "event": str(event),
            "from_schema_version": from_version,
            "to_schema_version": to_version,
            "migrator_module": migrator_module,
            "release_id": release_id,
        },
        session=session,
    )


def ensure_view(database: Database[Document]) -> None:
    """Make the view where there is none. One that stands is left as it is."""
    if LATEST_VERSION in database.list_collection_names(filter={"name": LATEST_VERSION}):
        return
    try:
        database.create_collection(LATEST_VERSION, viewOn=EVENTS, pipeline=VIEW_PIPELINE, check_exists=False)
    except CollectionInvalid:
        return


def ensure_view_says(database: Database[Document], version: str) -> None:
    """Make the view ours where it does not say `version`, although the newest event does.

    The view that the NMDC Runtime makes knows no rollback: it says null after one.
    """
    ensure_view(database)
    if database[LATEST_VERSION].find_one() != {"schema_version": version}:
        database.command("collMod", LATEST_VERSION, viewOn=EVENTS, pipeline=VIEW_PIPELINE)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
