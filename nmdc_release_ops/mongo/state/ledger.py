"""The ledger: `_migration_events`, the record of the versions of the NMDC Schema that the database conforms to.

Its format is the NMDC Runtime's (its migrations' Bookkeeper), which reads and writes it too, as other tools and people may. So
the time of an event may be a string with any offset, a date, or missing; its name may be unknown; and its versions may be
missing. All such events are read.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import DESCENDING
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import OperationFailure, WriteConcernError

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.clock import server_time
from nmdc_release_ops.mongo.server.connection import Document

EVENTS = "_migration_events"
LATEST_VERSION = "_migration_latest_schema_version"
_DETAILS_SHOWN = 500
_FIRST_MOMENT = datetime(1970, 1, 1, tzinfo=UTC)
_NO_MOMENT = datetime(9999, 1, 1, tzinfo=UTC)
"""This date and later ones are mistakes: no later date could be written."""
_LAST_MOMENT = _NO_MOMENT - timedelta(microseconds=1)


class LedgerUnusable(MongoError):
    """The server refuses to read the ledger, or to write into it."""


class Event(StrEnum):
    """What the ledger records about a migration."""

    STARTED = "MIGRATION_STARTED"
    COMPLETED = "MIGRATION_COMPLETED"
    ROLLED_BACK = "MIGRATION_ROLLED_BACK"


def _as_date(value: str) -> Document:
    return {"$convert": {"input": value, "to": "date", "onError": None, "onNull": None}}


def _as_text(value: str) -> Document:
    return {"$convert": {"input": value, "to": "string", "onError": None, "onNull": None}}


def _if_type(value: str, kinds: list[str], then: Any, otherwise: Any) -> Document:
    return {"$cond": [{"$in": [{"$type": value}, kinds]}, then, otherwise]}


NEWEST_FIRST: list[Document] = [
    # Numbers are ignored: the server reads them as milliseconds, but people write seconds.
    {"$set": {"_moment": _if_type("$created_at", ["date", "string", "timestamp"], _as_date("$created_at"), None)}},
    # An ObjectId holds the time when its document was created.
    {
        "$set": {
            "_moment": {
                "$cond": [
                    {"$and": [{"$gte": ["$_moment", _FIRST_MOMENT]}, {"$lt": ["$_moment", _NO_MOMENT]}]},
                    "$_moment",
                    _if_type("$_id", ["objectId"], _as_date("$_id"), _FIRST_MOMENT),
                ]
            }
        }
    },
    # Dates have milliseconds; strings may be more precise.
    {"$sort": {"_moment": DESCENDING, "created_at": DESCENDING, "_id": DESCENDING}},
]
"""Sorts events by their times (`_moment`), in whatever form these are written."""


@dataclass(frozen=True)
class Recorded:
    """An event of the ledger, as far as it can be read.

    Attributes:
        id: its `_id`, as text.
        event: None where its name is unknown.
        from_version, to_version, release_id: None where missing or not a string.
        created_at: as it is written.
        moment: when it happened, by `created_at` or by the document's own id.
    """

    id: str
    event: Event | None
    from_version: str | None
    to_version: str | None
    release_id: str | None
    created_at: str
    moment: datetime

    @property
    def version(self) -> str | None:
        """The version of the database after it; None where the event does not determine it."""
        match self.event:
            case Event.COMPLETED:
                return self.to_version
            case Event.ROLLED_BACK:
                return self.from_version
        return None

    def __str__(self) -> str:
        what = self.event.value if self.event else "an event of unknown name"
        return f"{what}, from {self.from_version} to {self.to_version}, at {self.created_at}"


def last_event(database: Database[Document], session: ClientSession | None = None) -> Recorded | None:
    """The newest event, None where the ledger is empty.

    Raises:
        LedgerUnusable.
    """
    with naming_refusals(database):
        document = next(_events(database).aggregate([*NEWEST_FIRST, {"$limit": 1}], session=session), None)
    if document is None:
        return None
    name = document.get("event")
    return Recorded(
        id=str(document["_id"]),
        event=Event(name) if isinstance(name, str) and name in set(Event) else None,
        from_version=_text(document, "from_schema_version"),
        to_version=_text(document, "to_schema_version"),
        release_id=_text(document, "release_id"),
        created_at=str(document.get("created_at")),
        moment=document["_moment"],
    )


def moments_of(database: Database[Document], release_id: str, event_id: str | None) -> list[datetime]:
    """The times of the events of a release, and of the event with this id, as far as these exist.

    Raises:
        LedgerUnusable.
    """
    ours: Document = {"$or": [{"release_id": release_id}, {"$expr": {"$eq": [_as_text("$_id"), event_id]}}]}
    with naming_refusals(database):
        return [document["_moment"] for document in _events(database).aggregate([{"$match": ours}, *NEWEST_FIRST])]


def recorded_version(database: Database[Document]) -> str | None:
    """The version of the database after the newest event.

    None where the ledger is empty, the newest event does not determine it, or a migration was started and neither completed
    nor rolled back.

    Raises:
        LedgerUnusable.
    """
    event = last_event(database)
    return event.version if event else None


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
    """Add an event as the newest, unless the newest is already the same event of this release.

    Raises:
        LedgerUnusable.
    """
    last = last_event(database, session)
    if last and last.event == event and last.release_id == release_id:
        return
    with naming_refusals(database):
        written = database[EVENTS].insert_one(
            {
                "created_at": _next_moment(database, last, session),
                "event": str(event),
                "from_schema_version": from_version,
                "to_schema_version": to_version,
                "migrator_module": migrator_module,
                "release_id": release_id,
            },
            session=session,
        )
    newest = last_event(database, session)
    if newest is None or newest.id != str(written.inserted_id):
        raise LedgerUnusable(
            f"The ledger of {database.name} has an event that no later one can follow: {newest}. Correct its created_at."
        )


class _Tried(Exception):
    pass


def try_events(
    database: Database[Document], *, from_version: str, to_version: str, migrator_module: str, release_id: str
) -> None:
    """Try to write every event of a release and of its rollback, in a transaction that is then aborted.

    Raises:
        LedgerUnusable: the server rejects one of them.
    """

    def attempt(session: ClientSession) -> None:
        for event in Event:
            record(
                database,
                event,
                from_version=from_version,
                to_version=to_version,
                migrator_module=migrator_module,
                release_id=release_id,
                session=session,
            )
        raise _Tried

    with suppress(_Tried), database.client.start_session() as session:
        session.with_transaction(attempt)


def _next_moment(database: Database[Document], last: Recorded | None, session: ClientSession | None) -> str:
    """The server's present time, or later: after every event.

    A view that compares the strings as they are written has to sort ours last too: an event of 14:00+02:00 happened at
    12:00 UTC, but its string is greater than ours until 14:00.
    """
    moment = server_time(database.client)
    if last:
        moment = max(moment, last.moment + timedelta(milliseconds=1))
    is_text = {"$expr": {"$eq": [{"$type": "$created_at"}, "string"]}}
    texts = _events(database).find(is_text, session=session)
    greatest = next(texts.sort("created_at", DESCENDING).limit(1), None)
    if greatest is not None and greatest["created_at"] >= _iso(moment):
        # Not possible for every string. Then `ensure_view_shows` replaces the view by ours, which sorts by moments.
        with suppress(ValueError, OverflowError):
            later = datetime.fromisoformat(greatest["created_at"]).replace(tzinfo=UTC) + timedelta(milliseconds=1)
            if later < _NO_MOMENT and _iso(later) > greatest["created_at"]:
                moment = later
    return _iso(min(moment, _LAST_MOMENT))


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")


def _text(document: Document, field: str) -> str | None:
    value = document.get(field)
    return value if isinstance(value, str) else None


@contextmanager
def naming_refusals(database: Database[Document]) -> Iterator[None]:
    """Turn refusals into LedgerUnusable. Failures of the server, its set or a transaction are passed on.

    Raises:
        LedgerUnusable: the server refused; with its message.
    """
    try:
        yield
    except WriteConcernError:
        raise
    except OperationFailure as error:
        if error.has_error_label("TransientTransactionError") or error.has_error_label("RetryableWriteError"):
            raise
        details = (error.details or {}).get("errInfo", {}).get("details")
        why = f" ({json.dumps(details, default=str)[:_DETAILS_SHOWN]})" if details else ""
        raise LedgerUnusable(
            f"The ledger of {database.name} cannot be used: {str(error).split(', full error:')[0].rstrip('.')}{why}."
        ) from error


def _events(database: Database[Document]) -> Any:
    return decodable(database, EVENTS)


def decodable(database: Database[Document], name: str) -> Any:
    # Anybody may have written there, dates outside Python's range included: the default decoder raises on them.
    options: CodecOptions[Document] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO, tz_aware=True)
    return database.get_collection(name, codec_options=options)
