"""The origin since the swap of a promotion: what its collections held at that moment, and what people wrote since."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from pymongo import ReadPreference
from pymongo.database import Database

from nmdc_release_ops.mongo.delta.delta import Contains, Delta
from nmdc_release_ops.mongo.delta.follow import Follower
from nmdc_release_ops.mongo.delta.moment import present_moment
from nmdc_release_ops.mongo.delta.read import find_at
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.raw import read_raw_since, split

_REDEFINING = frozenset({"drop", "rename", "create", "dropDatabase", "invalidate"})
"""Operations after which a collection is another one. Not those that only change indexes or options."""


class SinceSwap:
    """Reads collections of the origin, from a secondary where there is one. Nobody is slowed down."""

    def __init__(self, origin: Database[Document], moment: ClusterTime, names: Iterable[str], file: Path) -> None:
        """Args:
        moment: of the swap; whatever people wrote is later.
        names: of the collections to which people write since.
        file: a path for the keys of what they wrote; it is removed.
        """
        self._origin = origin
        self._reading = origin.with_options(read_preference=ReadPreference.SECONDARY_PREFERRED)
        self._moment = moment
        self._names = frozenset(names)
        self._file = file
        self._followed: tuple[Delta, Follower] | None = None
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()
        self._remove_file()

    def read_then(self, name: str) -> Iterator[bytes]:
        """The documents that a collection held at the moment of the swap, as BSON.

        Raises:
            MomentGone
        """
        return find_at(self._reading, name, {}, self._moment)

    def read_now(self, name: str) -> Iterator[bytes]:
        """The documents that a collection holds, as BSON. What is written meanwhile is among them or not."""
        for run in read_raw_since(self._reading[name], self._moment):
            yield from split(run)

    def find_written(self, name: str) -> Contains:
        """The keys of the documents of a collection that were written since the swap.

        Raises:
            OplogTooShort, StreamRefused, StreamStalled, FileNotWritten.
        """
        return self._follow().membership(name)

    def is_redefined(self, name: str) -> bool:
        """Whether somebody dropped, renamed or created the collection since the swap. Errors as `find_written`."""
        return not _REDEFINING.isdisjoint(self._follow().redefined.get(name, ()))

    def _follow(self) -> Delta:
        """What was written up to now."""
        if self._followed is None:
            self._remove_file()
            delta = self._closing.enter_context(Delta(self._file))
            follower = Follower(self._origin, self._names, delta, self._moment.next())
            self._followed = delta, self._closing.enter_context(follower)
        delta, follower = self._followed
        follower.read_until(present_moment(self._origin.client))
        return delta

    def _remove_file(self) -> None:
        for path in self._file.parent.glob(f"{self._file.name}*"):
            path.unlink()
