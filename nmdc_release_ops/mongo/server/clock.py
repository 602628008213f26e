"""Moments: by the server's clock, by its logical clock, and by our own.

Moments that are compared with others come from the server: the machines that run releases do not share a clock.
"""

import time
from datetime import UTC, datetime
from typing import Self

from bson.timestamp import Timestamp
from pydantic import BaseModel, ConfigDict
from pymongo import MongoClient

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.connection import Document

CLUSTER_TIME_SECONDS = 30
"""How long to keep asking a server for its cluster time; one that has just started needs half a second or more."""
_POLL_SECONDS = 0.05


class ClusterTimeUnavailable(MongoError):
    """The server does not report its cluster time."""


class ClusterTime(BaseModel):
    """A moment of the server's logical clock: seconds since 1970 and a counter within the second."""

    model_config = ConfigDict(frozen=True)

    seconds: int
    increment: int

    @classmethod
    def of(cls, timestamp: Timestamp) -> Self:
        return cls(seconds=timestamp.time, increment=timestamp.inc)

    def next(self) -> Self:
        """The first moment after this one: a write that this moment belongs to was before it."""
        return self.model_copy(update={"increment": self.increment + 1})

    def previous(self) -> Self:
        """The last moment before this one."""
        if self.increment:
            return self.model_copy(update={"increment": self.increment - 1})
        return self.model_copy(update={"seconds": self.seconds - 1, "increment": 2**32 - 1})

    def timestamp(self) -> Timestamp:
        return Timestamp(self.seconds, self.increment)


def cluster_time(client: MongoClient[Document]) -> ClusterTime:
    """The present moment of the server's logical clock.

    The replies of a server that has just started carry none, so it is polled.

    Raises:
        ClusterTimeUnavailable: after `CLUSTER_TIME_SECONDS`.
    """
    deadline = time.monotonic() + CLUSTER_TIME_SECONDS
    while (moment := client.admin.command("ping").get("operationTime")) is None:
        if time.monotonic() > deadline:
            raise ClusterTimeUnavailable(
                f"The server reported no cluster time for {CLUSTER_TIME_SECONDS} seconds. Without it a release cannot "
                "distinguish earlier writes from later ones. Check in the log of its mongod that it is a writable member of a "
                "replica set, and re-execute the run from failure."
            )
        time.sleep(_POLL_SECONDS)
    return ClusterTime.of(moment)


def server_time(client: MongoClient[Document]) -> datetime:
    """The present moment by the server's clock, UTC, to the millisecond."""
    moment: datetime = client.admin.command("hello")["localTime"]
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def now() -> datetime:
    """The present moment by this machine's clock, UTC, to the millisecond. Only for people to read: never compare it."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
