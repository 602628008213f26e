"""What people wrote since the round before, as it was at one moment."""

from collections.abc import Iterator
from pathlib import Path
from typing import Self

from pymongo import ReadPreference
from pymongo.database import Database

from nmdc_release_ops.mongo.archive.blocks import read_documents
from nmdc_release_ops.mongo.archive.manifest import ArchivedCollection
from nmdc_release_ops.mongo.delta.delta import Delta
from nmdc_release_ops.mongo.delta.read import read_delta
from nmdc_release_ops.mongo.promoting.document_file import write_documents
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.steps.promoting.migrating import Written

_AT_ONCE = 10_000


class WrittenDocuments:
    """The documents of a delta.

    Attributes:
        folder: of the files.
        files: the documents that exist, by collection.
        counts: how many documents of each collection were written or deleted.
    """

    def __init__(
        self, origin: Database[Document], pending: Delta, rehearsed: Delta, moment: ClusterTime, folder: Path
    ) -> None:
        """Read them.

        Args:
            pending: what was written since the round before.
            rehearsed: what was written before, since the rehearsal.
            folder: for the files.

        Raises:
            MomentGone, FileNotWritten.
            OSError: the disk is full, for example.
        """
        self.folder = folder
        self.files: dict[str, ArchivedCollection] = {}
        self._origin = origin.with_options(read_preference=ReadPreference.SECONDARY_PREFERRED)
        self._pending = pending
        self._rehearsed = rehearsed
        self._moment = moment
        self._deleted = Delta(folder / "deleted.sqlite")
        for name in pending.counts:
            self.files[name] = write_documents(folder, name, self._read(name))
        self.counts = dict(pending.counts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._deleted.close()

    def _read(self, name: str) -> Iterator[bytes]:
        """The documents that exist; the keys of the others are kept aside."""
        gone: set[bytes] = set()
        for key, document in read_delta(self._origin, name, self._pending, self._moment):
            if document is not None:
                yield document
                continue
            gone.add(key)
            if len(gone) >= _AT_ONCE:
                self._deleted.add(name, gone)
                gone.clear()
        self._deleted.add(name, gone)

    def read(self, name: str) -> Iterator[bytes]:
        """The documents of a collection that exist, as BSON."""
        return read_documents(self.folder, self.files[name])

    def deleted(self, name: str) -> Iterator[bytes]:
        """The keys of the documents of a collection that are gone."""
        return self._deleted.keys(name)

    def contains(self, name: str, key: bytes) -> bool:
        """Whether the document with this key was written or deleted."""
        return self._pending.has(name, key)

    def since(self, name: str, *, is_brought_up: bool) -> Written | None:
        """What was written to a collection since its file was brought up; None if nothing was.

        Args:
            is_brought_up: whether that was at the end of the round before. Otherwise it is as it was rehearsed.
        """
        if is_brought_up:
            if name not in self.files:
                return None
            return Written(self._pending.membership(name), lambda: self.read(name))
        if name in self.files:
            self._pending.copy_into(self._rehearsed, name)
        if not self._rehearsed.count(name):
            return None
        documents = (
            document
            for _, document in read_delta(self._origin, name, self._rehearsed, self._moment)
            if document is not None
        )
        return Written(self._rehearsed.membership(name), lambda: documents)
