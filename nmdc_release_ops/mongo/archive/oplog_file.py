"""A delta's documents as `oplog.bson`, in the form of `mongodump --oplog`.

`mongorestore --gzip --oplogReplay` applies it to the archive beside it, and makes it the consistent state of one moment.
"""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path

import bson
from bson import Int64
from bson.raw_bson import RawBSONDocument
from isal import igzip

from nmdc_release_ops.files import replace_file, writing
from nmdc_release_ops.mongo.archive.blocks import BLOCK_BYTES, NOT_GZIPPED, READ_BYTES, compress
from nmdc_release_ops.mongo.delta.keys import key_of
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.raw import BrokenBson, split, whole_runs

OPLOG = "oplog.bson"
"""The file's name. Its content is gzipped all the same: `mongorestore --gzip` looks for this name."""


class OplogFileDamaged(MongoError):
    """The file is not what was written."""


@dataclass(frozen=True)
class Written:
    """How many documents the file says are gone, and how many it holds."""

    deletions: int
    upserts: int


Change = tuple[str, bytes, bytes | None]
"""The namespace (`DATABASE.COLLECTION`), the key, and the document, or None if it is gone."""


def write_oplog(path: Path, changes: Iterable[Change], moment: ClusterTime) -> Written:
    """Write `path` durably: all deletions first, since the deletion of `1` also hits a document with the `_id` `1.0`.

    Args:
        moment: the one at which the documents were read.

    Raises:
        FileNotWritten
    """
    with replace_file(path) as aside, ExitStack() as after:
        held = aside.with_name(f"{aside.name}.upserts")
        after.callback(held.unlink, missing_ok=True)
        held.unlink(missing_ok=True)
        with writing(path), aside.open("xb") as first, held.open("xb") as second:
            deletions, upserts = _Members(first), _Members(second)
            for namespace, key, document in changes:
                if document is None:
                    deletions.add(_entry(moment, "d", namespace, key, None))
                else:
                    upserts.add(_entry(moment, "u", namespace, document, key))
            # An empty file is no gzip file.
            deletions.flush(even_if_empty=True)
            upserts.flush()
        with writing(path), aside.open("ab") as file, held.open("rb") as rest:
            shutil.copyfileobj(rest, file, READ_BYTES)
    return Written(deletions.entries, upserts.entries)


def read_oplog(path: Path) -> Iterator[Change]:
    """Each change of a file that `write_oplog` has written, in its order.

    Raises:
        OplogFileDamaged: it is missing, cut, no gzip file, or holds other entries.
    """
    try:
        with igzip.open(path, "rb") as file:
            for run in whole_runs(iter(lambda: file.read(READ_BYTES), b"")):
                for entry in split(run):
                    yield _change(entry)
    except FileNotFoundError:
        problem = "is missing"
    except BrokenBson as error:
        problem = str(error)
    except NOT_GZIPPED as error:
        problem = f"cannot be decompressed: {error}"
    else:
        return
    raise OplogFileDamaged(f"{path} {problem}. Find out who writes to the file, and dump again.")


class _Members:
    """A file that is written as a series of gzip members."""

    def __init__(self, file: BufferedWriter) -> None:
        self._file = file
        self._pending: list[bytes] = []
        self._bytes = 0
        self.entries = 0

    def add(self, entry: bytes) -> None:
        self._pending.append(entry)
        self._bytes += len(entry)
        self.entries += 1
        if self._bytes >= BLOCK_BYTES:
            self.flush()

    def flush(self, *, even_if_empty: bool = False) -> None:
        if self._pending or even_if_empty:
            self._file.write(compress(b"".join(self._pending)))
        self._pending, self._bytes = [], 0


def _entry(moment: ClusterTime, operation: str, namespace: str, document: bytes, key: bytes | None) -> bytes:
    """An entry of the oplog, around the document's own bytes.

    The driver copies raw documents into what it encodes.
    """
    entry = {"ts": moment.timestamp(), "t": Int64(1), "v": Int64(2), "op": operation, "ns": namespace}
    if key is None:
        return bson.encode({**entry, "o": RawBSONDocument(document)})
    return bson.encode({**entry, "o": RawBSONDocument(document), "o2": RawBSONDocument(key), "b": True})


def _change(raw: bytes) -> Change:
    """Raises:
    BrokenBson: it is no entry that `write_oplog` writes.
    """
    try:
        entry = RawBSONDocument(raw)
        operation, namespace, document = entry["op"], entry["ns"], entry["o"].raw
    except (KeyError, AttributeError, bson.errors.InvalidBSON) as error:
        raise BrokenBson("holds something that is no entry of an oplog") from error
    if operation == "d":
        return namespace, document, None
    if operation == "u":
        return namespace, key_of(document), document
    raise BrokenBson(f"holds an entry of the kind {operation!r}, which this project does not write")
