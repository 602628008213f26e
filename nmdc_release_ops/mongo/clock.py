"""Moments: by our own clock, and by the server's logical one."""

from datetime import UTC, datetime
from typing import Self

from bson.timestamp import Timestamp
from pydantic import BaseModel, ConfigDict


class ClusterTime(BaseModel):
    """A moment of the server's logical clock: seconds since 1970 and a counter within the second."""

    model_config = ConfigDict(frozen=True)

    seconds: int
    increment: int

    @classmethod
    def of(cls, timestamp: Timestamp) -> Self:
        return cls(seconds=timestamp.time, increment=timestamp.inc)

    def timestamp(self) -> Timestamp:
        return Timestamp(self.seconds, self.increment)


def now() -> datetime:
    """The present moment, UTC, to the millisecond: MongoDB keeps no more."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
