"""What was written to the collections of a database since a moment in the past, by the change stream."""

from collections.abc import Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass

from bson import ObjectId
from pydantic import BaseModel, ConfigDict
from pymongo.database import Database
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern

from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.connection import Document

MARKER = "_release.staged._release.marker"
"""Written to find the end of the stream. Its name marks it as staged: it is dropped with the rest, and never released."""
MANY_EVENTS = 100_000
"""With more events than this, hashing the collections is faster than reading the events."""
_WAIT_MILLISECONDS = 500
_EMPTY_ANSWERS = 20


class Writes(BaseModel):
    """How many documents were written in a collection; a document that was written twice counts twice.

    Attributes:
        other: how often the collection itself was dropped or renamed, or another one was renamed to its name.
    """

    model_config = ConfigDict(frozen=True)

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    other: int = 0

    @property
    def documents(self) -> int:
        return self.inserted + self.updated + self.deleted

    def with_one(self, operation: str) -> "Writes":
        """A copy with one more.

        Args:
            operation: an `operationType` of change streams.
        """
        field = _FIELDS.get(operation, "other")
        return self.model_copy(update={field: getattr(self, field) + 1})

    def __str__(self) -> str:
        parts = [f"{number:,} {word}" for word, number in self.model_dump().items() if number and word != "other"]
        if self.other:
            parts.append("dropped, renamed or created again")
        return ", ".join(parts) or "nothing"


_FIELDS = {"insert": "inserted", "update": "updated", "replace": "updated", "delete": "deleted"}


@dataclass(frozen=True)
class Account:
    """What was written to each collection that was written to at all.

    Attributes:
        is_complete: false if there were too many events to read.
    """

    writes: Mapping[str, Writes]
    is_complete: bool


def count_writes(database: Database[Document], cluster_time: ClusterTime, names: Set[str], most: int) -> Account | None:
    """What was written to these collections since then; None where the oplog does not reach back so far or may not be read.

    A marker document is written; when the stream shows it, the stream has reached the present.

    Args:
        most: the maximum number of events to read.
    """
    writes: dict[str, Writes] = {}
    marker = ObjectId()
    try:
        for number, event in enumerate(_events(database, cluster_time, names, marker)):
            if number >= most:
                return Account(writes, is_complete=False)
            if event["operationType"] in ("dropDatabase", "invalidate"):
                return None
            if event["ns"].get("coll") == MARKER:
                if event.get("documentKey", {}).get("_id") == marker:
                    return Account(writes, is_complete=True)
                continue
            for name in {event["ns"].get("coll", ""), event.get("to", {}).get("coll", "")} & names:
                writes[name] = writes.get(name, Writes()).with_one(event["operationType"])
    except OperationFailure:
        # ChangeStreamHistoryLost and similar: the oplog does not reach back to that moment.
        return None
    finally:
        with suppress(PyMongoError):
            database.drop_collection(MARKER)
    return None


def touched_since(database: Database[Document], cluster_time: ClusterTime, names: Set[str]) -> set[str] | None:
    """Names of the collections that were written to, renamed or dropped since; None where that cannot be determined."""
    account = count_writes(database, cluster_time, names, MANY_EVENTS)
    return set(account.writes) if account is not None and account.is_complete else None


def is_written_as_expected(
    database: Database[Document], cluster_time: ClusterTime, expected: Mapping[str, int]
) -> bool | None:
    """Whether exactly so many documents of each of these collections were written or deleted since; None where that cannot be
    determined.
    """
    account = count_writes(database, cluster_time, expected.keys(), MANY_EVENTS) if expected else Account({}, True)
    if account is None or not account.is_complete:
        return None
    return all(account.writes.get(name, Writes()).documents == number for name, number in expected.items())


def _events(
    database: Database[Document], cluster_time: ClusterTime, names: Set[str], marker: ObjectId
) -> Iterator[Document]:
    """Write the marker, and yield the events of these collections and of the marker until no more come."""
    pipeline: list[Document] = [
        {
            "$match": {
                "$or": [
                    {"ns.coll": {"$in": [*sorted(names), MARKER]}},
                    {"to.coll": {"$in": sorted(names)}},
                    {"operationType": {"$in": ["dropDatabase", "invalidate"]}},
                ]
            }
        },
        {"$project": {"operationType": 1, "ns": 1, "to": 1, "documentKey._id": 1}},
    ]
    # Change streams accept only this read concern, and the connection of a release has another one.
    majority = database.with_options(read_concern=ReadConcern("majority"))
    with majority.watch(
        pipeline, start_at_operation_time=cluster_time.timestamp(), max_await_time_ms=_WAIT_MILLISECONDS
    ) as stream:
        database[MARKER].insert_one({"_id": marker})
        empty = 0
        while empty < _EMPTY_ANSWERS:
            event = stream.try_next()
            if event is None:
                empty += 1
            else:
                yield event
