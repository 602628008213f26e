"""The documents that were written since the swap, in files, as they were at one moment; and the ids of all documents then."""

import time
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nmdc_release_ops.mongo.archive.blocks import read_documents
from nmdc_release_ops.mongo.archive.manifest import ArchivedCollection
from nmdc_release_ops.mongo.delta.since import WritesSince
from nmdc_release_ops.mongo.promoting.document_file import write_documents
from nmdc_release_ops.mongo.promoting.identities import Identities
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.records.follow_up import WrittenCollection

_IDS = "identifiers.sqlite"


@dataclass(frozen=True)
class WrittenFiles:
    """What was written, and still existed at a moment.

    Attributes:
        folder: of the files.
        files: of the collections of which documents exist.
        written: every collection that was written to.
    """

    moment: ClusterTime
    folder: Path
    files: tuple[ArchivedCollection, ...]
    written: tuple[WrittenCollection, ...]


def read_written(
    since: WritesSince, folder: Path, left_out: Container[str] = (), seconds: dict[str, float] | None = None
) -> WrittenFiles:
    """Read everything that was written up to now.

    Args:
        folder: for the files.
        left_out: names of collections that are not read.
        seconds: receives how long the reading of each collection took, also if it fails.

    Raises:
        MomentGone, StreamRefused, StreamStalled, UnknownResumeToken, ClusterTimeUnavailable, FileNotWritten.
    """
    moment = since.follow()
    files: list[ArchivedCollection] = []
    written: list[WrittenCollection] = []
    replaced = since.replaced
    for name in sorted({*since.delta.counts, *replaced}):
        if name in left_out:
            continue
        gone = _Counted(since.read(name, moment))
        started = time.monotonic()
        try:
            file = write_documents(folder, name, gone)
        finally:
            if seconds is not None:
                seconds[name] = time.monotonic() - started
        if file.documents:
            files.append(file)
        if file.documents or gone.missing or name in replaced:
            written.append(
                WrittenCollection(
                    collection=name, judged=file.documents, gone=gone.missing, is_replaced=name in replaced
                )
            )
    return WrittenFiles(moment, folder, tuple(files), tuple(written))


class _Counted:
    """The documents that exist; counts the others."""

    def __init__(self, documents: Iterable[bytes | None]) -> None:
        self._documents = documents
        self.missing = 0

    def __iter__(self) -> Iterator[bytes]:
        for document in self._documents:
            if document is None:
                self.missing += 1
            else:
                yield document


def find_ids(since: WritesSince, names: Iterable[str], written: WrittenFiles) -> tuple[Path, dict[str, dict[str, int]]]:
    """Write the ids of all documents to a file; return it with the ids of written documents that several documents have, each
    with the number of these by collection.

    Args:
        names: the collections whose documents have ids.

    Raises:
        MomentGone, FileNotWritten.
    """
    path = written.folder / _IDS
    path.unlink(missing_ok=True)
    with Identities(path) as identities:
        for name in names:
            identities.put(name, since.find(name, {}, written.moment, ("id",)))
        identities.finish_filling()
        identities.commit()
        for file in written.files:
            if file.name in names:
                identities.put(file.name, read_documents(written.folder, file))
        duplicates = identities.duplicates()
        identities.commit()
    return path, duplicates
