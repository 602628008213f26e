"""Following a database: every document that is written goes into a delta, up to one exact moment.

Nothing is written to the database that is followed.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from nmdc_release_ops.mongo.delta.delta import Batch, Delta, Position
from nmdc_release_ops.mongo.delta.keys import key_of
from nmdc_release_ops.mongo.delta.stream import OF_THE_DATABASE, OplogTooShort, Stream, for_people
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.connection import Document

BATCH_EVENTS = 50_000
"""In a transaction of the delta's file."""
BATCH_BYTES = 16_000_000
"""Of keys in a transaction."""
PATIENCE_SECONDS = 120.0
"""How long a server may be out of reach, or a stream stand still, before following fails."""
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.002, 0.25
_DOCUMENTS = frozenset({"insert", "update", "replace", "delete"})


class StreamStalled(MongoError):
    """The change stream does not get to a moment that is past."""


@dataclass(frozen=True)
class Followed:
    """How far a call of `read_until` has got.

    Attributes:
        events: read and kept so far.
        reached: every event from before this moment is among them.
        until: the moment to get to.
    """

    events: int
    reached: ClusterTime
    until: ClusterTime


Report = Callable[[Followed], None]


class Follower:
    """Adds what is written to some collections of a database to a delta.

    The delta holds how far the stream was read: a follower of a delta that was begun goes on from there.
    """

    def __init__(
        self,
        database: Database[Document],
        names: Iterable[str],
        delta: Delta,
        since: ClusterTime | None = None,
        *,
        patience: float = PATIENCE_SECONDS,
        report: Report = lambda _followed: None,
    ) -> None:
        """Open the stream. The database's read preference says which member is read.

        Args:
            names: of the collections to follow, whether they exist or not; the same each time for one delta.
            since: the first moment whose writes count. Only needed for a new delta.
            patience: see `PATIENCE_SECONDS`.
            report: called after each batch that was kept.

        Raises:
            OplogTooShort, StreamRefused.
            ValueError: the delta is new, and `since` is missing.
        """
        position = delta.position
        start = position.token or since
        if start is None:
            raise ValueError("A new delta needs the moment at which it begins.")
        self._names = frozenset(names)
        self._delta = delta
        self._passed = position.passed
        self._patience = patience
        self._report = report
        self._places: dict[bytes, str] = {}
        self._ahead: RawBSONDocument | None = None
        self._stream = Stream(database, self._names, start, patience=patience)
        self._token = position.token
        self._batch = _PendingBatch()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the stream. Safe to call twice."""
        self._stream.close()

    def read_until(self, moment: ClusterTime) -> int:
        """Add everything that was written up to and including `moment` to the delta, and nothing that was written later.

        `present_moment` gives a moment that is passed at once; for another one an idle server may need ten seconds. What was
        read is kept batch by batch, and where the oplog ends before the moment.

        Returns:
            The number of events that were read.

        Raises:
            OplogTooShort, StreamRefused, StreamStalled, UnknownResumeToken.
            FileNotWritten: the delta's disk is full.
        """
        until = moment.timestamp()
        events = 0
        pause = _FIRST_PAUSE_SECONDS
        moved = time.monotonic()
        while True:
            try:
                event = self._next()
            except OplogTooShort:
                self._keep(events, moment)
                raise
            if event is not None and event["clusterTime"] > until:
                self._ahead = event
                break
            if event is not None:
                self._take(event)
                events += 1
                if self._batch.is_full:
                    self._keep(events, moment)
                pause, moved = _FIRST_PAUSE_SECONDS, time.monotonic()
                continue
            if self._token != self._stream.token:
                self._token, moved = self._stream.token, time.monotonic()
            if self._stream.has_passed(until):
                break
            if time.monotonic() - moved > self._patience:
                raise self._stalled(moment)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        if self._passed is None or self._passed.timestamp() < until:
            self._passed = moment
        self._keep(events, moment)
        return events

    def _next(self) -> RawBSONDocument | None:
        if self._ahead is not None:
            event, self._ahead = self._ahead, None
            return event
        return self._stream.next()

    def _take(self, event: RawBSONDocument) -> None:
        operation = event["operationType"]
        name = self._place(event, "ns")
        if operation not in _DOCUMENTS:
            changed = self._names if operation in OF_THE_DATABASE else {name, self._place(event, "to")} & self._names
            self._batch.add_redefined(changed, operation)
        elif name in self._names:
            self._batch.add_key(name, key_of(bytes(event["documentKey"].raw)))
        self._token = bytes(event["_id"].raw)

    def _place(self, event: RawBSONDocument, field: str) -> str:
        """The name of the collection in a field, "" if there is none; decoded once for each collection."""
        if field not in event:
            return ""
        raw = bytes(event[field].raw)
        if (name := self._places.get(raw)) is None:
            name = self._places[raw] = event[field].get("coll", "")
        return name

    def _keep(self, events: int, moment: ClusterTime) -> None:
        self._delta.record(self._batch.content, Position(self._token, self._passed))
        self._batch = _PendingBatch()
        self._report(Followed(events, self._stream.reached(), moment))

    def _stalled(self, moment: ClusterTime) -> StreamStalled:
        return StreamStalled(
            f"For {self._patience:.0f} seconds the server's change stream has stood at {for_people(self._stream.reached())}, and "
            f"did not pass {for_people(moment)}. Check with `rs.status()` that a majority of its members replicate, and "
            "re-execute the run from failure."
        )


class _PendingBatch:
    """What was read, and is not yet kept."""

    def __init__(self) -> None:
        self.content = Batch()
        self._events = self._bytes = 0

    def add_key(self, name: str, key: bytes) -> None:
        self.content.keys.setdefault(name, set()).add(key)
        self._events += 1
        self._bytes += len(key)

    def add_redefined(self, names: Iterable[str], operation: str) -> None:
        for name in names:
            self.content.redefined.setdefault(name, set()).add(operation)
        self._events += 1

    @property
    def is_full(self) -> bool:
        return self._events >= BATCH_EVENTS or self._bytes >= BATCH_BYTES
