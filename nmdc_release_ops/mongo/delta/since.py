"""What was written since a moment in the past, as far as the server still knows, and what it does not know any more."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pymongo import ReadPreference
from pymongo.database import Database

from nmdc_release_ops.mongo.delta.delta import Batch, Delta, Position
from nmdc_release_ops.mongo.delta.follow import Follower
from nmdc_release_ops.mongo.delta.moment import present_moment
from nmdc_release_ops.mongo.delta.read import find_at, read_delta
from nmdc_release_ops.mongo.delta.stream import OplogTooShort, for_people
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.connection import Document

REPLACING = frozenset({"rename", "dropDatabase", "invalidate"})
"""Operations after which a collection may hold documents that were never reported as written."""
_ATTEMPTS = 5
"""How often the oplog may be overrun while its beginning is being opened."""


@dataclass(frozen=True)
class Unknown:
    """A time whose writes the server does not know any more; `until` is None if it does not say where its oplog begins."""

    since: ClusterTime
    until: ClusterTime | None

    def describe(self) -> str:
        """For people."""
        if self.until is None:
            return f"since {for_people(self.since)}"
        return f"between {for_people(self.since)} and {for_people(self.until)}"


class WritesSince:
    """The documents of some collections that were written since a moment.

    Attributes:
        unknown: the times that are missing in it.
        delta: the keys so far.
    """

    def __init__(self, database: Database[Document], names: Iterable[str], since: ClusterTime, file: Path) -> None:
        """Args:
        names: of the collections, whether they exist or not.
        since: the first moment whose writes count.
        file: a path for the keys.

        Raises:
            FileNotWritten
        """
        self._database = database
        self._reading = database.with_options(read_preference=ReadPreference.SECONDARY_PREFERRED)
        self._names = frozenset(names)
        self._since = since
        self._stack = ExitStack()
        self._follower: Follower | None = None
        self.unknown: list[Unknown] = []
        self.delta = self._stack.enter_context(Delta(file))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        self._stack.close()

    def follow(self) -> ClusterTime:
        """Read what was written up to now; return the moment up to which it was read.

        Raises:
            StreamRefused, StreamStalled, UnknownResumeToken, ClusterTimeUnavailable, FileNotWritten.
        """
        moment = present_moment(self._database.client)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                if self._follower is None:
                    self._follower = Follower(self._database, self._names, self.delta, self._since)
                self._follower.read_until(moment)
                return moment
            except OplogTooShort as error:
                self._close()
                if error.reaches_back_to is None or attempt == _ATTEMPTS:
                    self._skip_to(error.wanted, moment.next(), None)
                else:
                    # The server offers no stream from the very first entry of its oplog on, only from after it.
                    first = error.reaches_back_to.next()
                    self._skip_to(error.wanted, first, first)
        return moment

    def _skip_to(self, wanted: ClusterTime, since: ClusterTime, known_again: ClusterTime | None) -> None:
        """Leave out a time that is lost, and go on after it."""
        if self.unknown and self.unknown[-1].until == wanted:
            # The oplog has gone on since it was asked where it begins.
            wanted = self.unknown.pop().since
        self.unknown.append(Unknown(wanted, known_again))
        self._since = since
        # The token is of no use any more: the follower begins at the moment.
        self.delta.record(Batch(), Position(None, None))

    def _close(self) -> None:
        if self._follower is not None:
            self._follower.close()
            self._follower = None

    @property
    def replaced(self) -> frozenset[str]:
        """Collections that somebody may have replaced as a whole, so that all of their documents count as written."""
        return frozenset(
            name for name, operations in self.delta.redefined.items() if not operations.isdisjoint(REPLACING)
        )

    def read(self, name: str, moment: ClusterTime) -> Iterator[bytes | None]:
        """The documents of a collection that were written, as BSON, as they were at `moment`; None for each that was gone.

        Raises:
            MomentGone, FileNotWritten.
        """
        if name in self.replaced:
            yield from self.find(name, {}, moment)
        else:
            yield from (document for _, document in read_delta(self._reading, name, self.delta, moment))

    def find(
        self, name: str, condition: Mapping[str, Any], moment: ClusterTime, fields: Iterable[str] = ()
    ) -> Iterator[bytes]:
        """As `find_at`, from a secondary where there is one."""
        yield from find_at(self._reading, name, condition, moment, fields)
