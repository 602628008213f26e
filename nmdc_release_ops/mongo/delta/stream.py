"""A change stream of a database, as raw events, that outlives a failover and never skips an event."""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from pymongo import MongoClient
from pymongo.change_stream import DatabaseChangeStream
from pymongo.database import Database
from pymongo.errors import ConnectionFailure, CursorNotFound, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern

from nmdc_release_ops.mongo.delta.moment import oplog_reaches_back_to, reached_by
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.raw import RAW
from nmdc_release_ops.mongo.server.topology import feature_compatibility

EVENTS_A_REPLY = 50_000
"""At most; the server sends at most 16 MB in any case."""
OF_THE_DATABASE = ("dropDatabase", "invalidate")
"""Operations that concern every collection."""
_PAUSE_SECONDS = 0.25
_HISTORY_LOST = {
    136,  # CappedPositionLost: the oplog was overrun while it was read
    280,  # ChangeStreamFatalError: the token's event is not in the oplog
    286,  # ChangeStreamHistoryLost
}
_REFUSED = {
    13,  # Unauthorized
    40573,  # not a replica set
}
_RESUMABLE = "ResumableChangeStreamError"
"""The server's own label for errors after which a stream can be opened again."""


class OplogTooShort(MongoError):
    """The oplog no longer reaches back to where the stream has to go on.

    Attributes:
        wanted: the moment from which on writes are not known.
        reaches_back_to: the oldest moment in the oplog; None where it may not be read.
    """

    def __init__(self, wanted: ClusterTime, reaches_back_to: ClusterTime | None) -> None:
        self.wanted = wanted
        self.reaches_back_to = reaches_back_to
        begins = f" It begins at {for_people(reaches_back_to)}." if reaches_back_to else ""
        super().__init__(
            f"The server's oplog does not reach back to {for_people(wanted)} any more, so what was written since then cannot be "
            f"determined.{begins} Dump again: re-execute the run from `dump`. If this happens again, enlarge the oplog "
            "(`replSetResizeOplog`), or release sooner after the rehearsal."
        )


class StreamRefused(MongoError):
    """The server does not offer a change stream, or not to this user."""


class Stream:
    """The events of some collections, from a moment on or after a resume token.

    An event has `operationType`, `clusterTime`, `ns`, where they apply `to` and `documentKey._id`, and as `_id` its token.

    Attributes:
        token: a resume token, as BSON; `next` has given every event before it, and none after it. None at the beginning.
    """

    def __init__(
        self, database: Database[Document], names: Iterable[str], start: ClusterTime | bytes, *, patience: float
    ) -> None:
        """Open the stream. The database's read preference says which member is read.

        Args:
            names: of the collections, whether they exist or not.
            start: the moment of the first event, or the token of the last one that is known.
            patience: how many seconds the server may be out of reach.

        Raises:
            OplogTooShort, StreamRefused.
        """
        self.token: bytes | None = None if isinstance(start, ClusterTime) else start
        self._start = start
        self._patience = patience
        self._client: MongoClient[Document] = database.client
        # Change streams take no other read concern; the connection of a release has one.
        self._database = database.with_options(codec_options=RAW, read_concern=ReadConcern("majority"))
        self._pipeline = _pipeline(sorted(names))
        self._expanded = _offers_expanded_events(self._client)
        self._stream: DatabaseChangeStream[Any] | None = None
        self._until_it_works(self._opened)

    def close(self) -> None:
        """Safe to call twice."""
        if self._stream is not None:
            with suppress(PyMongoError):
                self._stream.close()
            self._stream = None

    def next(self) -> RawBSONDocument | None:
        """The next event; None if there is none at present. Then `token` may have moved on all the same.

        Raises:
            OplogTooShort, StreamRefused.
        """
        event: RawBSONDocument | None = self._until_it_works(lambda: self._opened().try_next())
        if event is not None:
            self.token = bytes(event["_id"].raw)
            if event["operationType"] == "invalidate":
                # The server has closed the stream; a new one begins after this event.
                self.close()
        elif isinstance(mark := self._opened().resume_token, RawBSONDocument):
            self.token = bytes(mark.raw)
        return event

    def has_passed(self, moment: Timestamp) -> bool:
        """Whether every event up to and including a moment has been given.

        Raises:
            UnknownResumeToken
        """
        return self.token is not None and reached_by(self.token) > moment

    def reached(self) -> ClusterTime:
        """The moment at which the stream is: every event from before it has been given."""
        if self.token is not None:
            return ClusterTime.of(reached_by(self.token))
        return self._start if isinstance(self._start, ClusterTime) else ClusterTime.of(reached_by(self._start))

    def _opened(self) -> DatabaseChangeStream[Any]:
        if self._stream is None:
            start: Document = {"show_expanded_events": True} if self._expanded else {}
            if self.token is not None:
                # After, not at: a token can be that of an event that ended the stream.
                start["start_after"] = RawBSONDocument(self.token)
            else:
                start["start_at_operation_time"] = self.reached().timestamp()
            # One millisecond: a longer wait would not end when the stream gets on without showing an event.
            self._stream = self._database.watch(self._pipeline, batch_size=EVENTS_A_REPLY, max_await_time_ms=1, **start)
        return self._stream

    def _until_it_works(self, act: Callable[[], Any]) -> Any:
        """The result of `act`, which is done again on a new stream if the connection was lost or the primary changed."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return act()
            except (ConnectionFailure, CursorNotFound):
                if time.monotonic() > deadline:
                    raise
            except OperationFailure as error:
                if error.code in _HISTORY_LOST:
                    raise OplogTooShort(self.reached(), oplog_reaches_back_to(self._client)) from error
                if error.code in _REFUSED:
                    raise self._refused(error) from error
                if not error.has_error_label(_RESUMABLE) or time.monotonic() > deadline:
                    raise
            self.close()
            time.sleep(_PAUSE_SECONDS)

    def _refused(self, error: OperationFailure) -> StreamRefused:
        reason = (error.details or {}).get("errmsg", error)
        return StreamRefused(
            f"The server offers no change stream of {self._database.name}: {reason}. It takes a replica set, and the action "
            "`changeStream` (docs/operator-role.md). Use `data_release`, which needs neither."
        )


def for_people(moment: ClusterTime) -> str:
    """A moment to the second."""
    return f"{datetime.fromtimestamp(moment.seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _pipeline(names: list[str]) -> list[Document]:
    concerned = [
        {"ns.coll": {"$in": names}},
        {"to.coll": {"$in": names}},
        {"operationType": {"$in": list(OF_THE_DATABASE)}},
    ]
    shown = {"operationType": 1, "clusterTime": 1, "ns": 1, "to": 1, "documentKey._id": 1}
    return [{"$match": {"$or": concerned}}, {"$project": shown}]


def _offers_expanded_events(client: MongoClient[Document]) -> bool:
    """Whether change streams show that collections are created and indexes built: since 6.0."""
    version = feature_compatibility(client)
    if version is None:
        found = client.server_info()["versionArray"]
        version = found[0], found[1]
    return version >= (6, 0)
