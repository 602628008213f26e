"""What was written to the collections of a database since a moment in the past, by the change stream: how often, not what."""

import time
from collections.abc import Iterator, Mapping, Set
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from pymongo.database import Database
from pymongo.errors import OperationFailure

from nmdc_release_ops.mongo.delta.moment import UnknownResumeToken, present_moment
from nmdc_release_ops.mongo.delta.stream import OF_THE_DATABASE, OplogTooShort, Stream, StreamRefused
from nmdc_release_ops.mongo.server.clock import ClusterTime, ClusterTimeUnavailable
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.writes import Writes

MANY_EVENTS = 100_000
"""With more events than this, hashing the collections is faster than reading the events."""
_COUNTED = {"insert", "update", "replace", "delete", "drop", "rename"}
_STALLED_SECONDS = 20.0
"""How long the stream may stand still."""
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.001, 0.05


@dataclass(frozen=True)
class Account:
    """What was written to each collection that was written to at all.

    Attributes:
        is_complete: false if there were too many events to read.
    """

    writes: Mapping[str, Writes]
    is_complete: bool

    def is_exactly(self, expected: Mapping[str, int]) -> bool:
        """Whether so many documents of each of these collections were written or deleted, and no more."""
        return self.is_complete and all(
            self.writes.get(name, Writes()).documents == number for name, number in expected.items()
        )


def count_writes(database: Database[Document], since: Mapping[str, ClusterTime], most: int) -> Account | None:
    """What was written to these collections; None where the oplog does not reach back so far or may not be read.

    Args:
        since: each collection, and the first moment whose writes count.
        most: the maximum number of writes to count.
    """
    if not since:
        return Account({}, is_complete=True)
    writes: dict[str, Writes] = {}
    starts = {name: moment.timestamp() for name, moment in since.items()}
    try:
        until = present_moment(database.client).timestamp()
        start = min(since.values(), key=ClusterTime.timestamp)
        with closing(Stream(database, since, start, patience=_STALLED_SECONDS)) as stream:
            counted = 0
            for event in _events(stream, until):
                operation = event["operationType"]
                if operation in OF_THE_DATABASE:
                    return None
                if operation not in _COUNTED:
                    continue
                names = {name for name in _names(event) & starts.keys() if event["clusterTime"] >= starts[name]}
                if names and counted >= most:
                    return Account(writes, is_complete=False)
                counted += bool(names)
                for name in names:
                    writes[name] = writes.get(name, Writes()).with_one(operation)
    except (OperationFailure, OplogTooShort, StreamRefused, UnknownResumeToken, ClusterTimeUnavailable, _Stalled):
        return None
    return Account(writes, is_complete=True)


def touched_since(database: Database[Document], cluster_time: ClusterTime, names: Set[str]) -> set[str] | None:
    """Names of the collections that were written to, renamed or dropped since; None where that cannot be determined."""
    account = count_writes(database, dict.fromkeys(names, cluster_time), MANY_EVENTS)
    return set(account.writes) if account is not None and account.is_complete else None


class _Stalled(Exception):
    """The stream does not get to the present."""


def _events(stream: Stream, until: Timestamp) -> Iterator[RawBSONDocument]:
    """The events up to and including a moment.

    Raises:
        _Stalled, OplogTooShort, StreamRefused, UnknownResumeToken.
    """
    pause, moved, token = _FIRST_PAUSE_SECONDS, time.monotonic(), stream.token
    while not stream.has_passed(until):
        event = stream.next()
        if event is not None:
            if event["clusterTime"] > until:
                return
            yield event
        if event is not None or stream.token != token:
            pause, moved, token = _FIRST_PAUSE_SECONDS, time.monotonic(), stream.token
        elif time.monotonic() - moved > _STALLED_SECONDS:
            raise _Stalled
        else:
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _names(event: RawBSONDocument) -> set[Any]:
    """The collections that an event is about."""
    return {event[field].get("coll") for field in ("ns", "to") if field in event}
