"""Reading documents by their keys, as they were at one moment, without blocking anybody."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any

from pymongo.database import Database
from pymongo.errors import ConnectionFailure, CursorNotFound, OperationFailure

from nmdc_release_ops.mongo.delta.delta import Delta
from nmdc_release_ops.mongo.delta.keys import key_of, one_of
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.raw import RAW

KEYS_A_COMMAND = 10_000
BYTES_A_COMMAND = 8_000_000
"""Of keys. A command may have 16 MB; one key alone may be longer than this."""
PATIENCE_SECONDS = 60.0
"""How long a server may be out of reach."""
SETTLING_SECONDS = 3.0
"""How long the server may take until it can read a moment that has only just passed."""
_PAUSE_SECONDS = 0.1
_TOO_OLD = 239
_UNAVAILABLE = 246


class MomentGone(MongoError):
    """The server cannot show a collection as it was at a moment any more.

    Attributes:
        collection: its name.
        redefined: whether that is so because the collection was created, renamed or given an index since.
    """

    def __init__(self, collection: str, moment: ClusterTime, *, redefined: bool) -> None:
        self.collection = collection
        self.redefined = redefined
        why = (
            f"{collection} was created, renamed or got an index since"
            if redefined
            else "it keeps earlier states only for `minSnapshotHistoryWindowInSeconds`, 300 seconds by default"
        )
        super().__init__(
            f"The server cannot show {collection} as it was at {moment.seconds}:{moment.increment} any more: {why}. Read it at a "
            "later moment."
        )


def read_at(
    database: Database[Document], collection: str, keys: Iterable[bytes], moment: ClusterTime
) -> Iterator[tuple[bytes, bytes | None]]:
    """Each key with the document that had it at `moment`, or with None if there was none. Not in the order of `keys`.

    The index on `_id` is coarser than keys (see `keys.py`), so that the server also finds documents that were not asked for. They
    are given too, each with its own key: an update may turn the `_id` `1` into `1.0`, and is reported under the old key. So a
    key that was not asked for can come, and one can come twice, with the same document each time.

    Args:
        database: its read preference says which member is read.
        keys: of the collection, each once.

    Raises:
        MomentGone
    """
    for chunk in _chunks(keys):
        yield from _read(database, collection, chunk, moment)


def read_delta(
    database: Database[Document], collection: str, delta: Delta, moment: ClusterTime
) -> Iterator[tuple[bytes, bytes | None]]:
    """Each key of a collection in a delta, once, with its document as it was at `moment`, or None; see `read_at`.

    Keys that were found without being asked for are added to the delta at the end.

    Args:
        database: its read preference says which member is read.

    Raises:
        MomentGone, FileNotWritten.
    """
    contains = delta.membership(collection)
    others: set[bytes] = set()
    keys = delta.keys(collection)
    while asked := list(islice(keys, KEYS_A_COMMAND)):
        left = set(asked)
        for key, document in read_at(database, collection, asked, moment):
            if key in left:
                left.remove(key)
            elif contains(key) or key in others:
                continue
            else:
                others.add(key)
            yield key, document
    delta.add(collection, others)


def find_at(
    database: Database[Document],
    collection: str,
    condition: Mapping[str, Any],
    moment: ClusterTime,
    fields: Iterable[str] = (),
) -> Iterator[bytes]:
    """The documents that met a condition at `moment`. If the server is out of reach meanwhile, one can come twice.

    Args:
        database: its read preference says which member is read.
        fields: of each document, besides `_id`; none for all.

    Raises:
        MomentGone
    """
    patience = _Patience(collection, moment)
    while True:
        with patience:
            yield from _find(database, collection, condition, KEYS_A_COMMAND, moment, dict.fromkeys(fields, 1))
            return


def count_at(database: Database[Document], collection: str, moment: ClusterTime) -> int:
    """How many documents a collection had at `moment`; the server reads all of them, and blocks nobody.

    Args:
        database: its read preference says which member is read.

    Raises:
        MomentGone
    """
    command = {
        "aggregate": collection,
        "pipeline": [{"$count": "documents"}],
        "cursor": {},
        "readConcern": {"level": "snapshot", "atClusterTime": moment.timestamp()},
    }
    patience = _Patience(collection, moment)
    while True:
        with patience, database.cursor_command(command, read_preference=database.read_preference) as found:
            return sum(one["documents"] for one in found)


class _Patience(AbstractContextManager["_Patience"]):
    """Ends an attempt to read a collection as it was at a moment: if the server may succeed with it later, after a pause and
    without the error.
    """

    def __init__(self, collection: str, moment: ClusterTime) -> None:
        self._collection = collection
        self._moment = moment
        self._started = time.monotonic()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        """Raises:
        MomentGone
        """
        waited = time.monotonic() - self._started
        if isinstance(error, ConnectionFailure | CursorNotFound):
            if waited > PATIENCE_SECONDS:
                return False
        elif isinstance(error, OperationFailure) and error.code in (_TOO_OLD, _UNAVAILABLE):
            if error.code == _TOO_OLD or waited > SETTLING_SECONDS:
                raise MomentGone(self._collection, self._moment, redefined=error.code == _UNAVAILABLE) from error
        else:
            return False
        time.sleep(_PAUSE_SECONDS)
        return True


def _chunks(keys: Iterable[bytes]) -> Iterator[set[bytes]]:
    chunk: set[bytes] = set()
    size = 0
    for key in keys:
        if chunk and (len(chunk) >= KEYS_A_COMMAND or size + len(key) > BYTES_A_COMMAND):
            yield chunk
            chunk, size = set(), 0
        chunk.add(key)
        size += len(key)
    if chunk:
        yield chunk


def _read(
    database: Database[Document], collection: str, asked: set[bytes], moment: ClusterTime
) -> Iterator[tuple[bytes, bytes | None]]:
    patience = _Patience(collection, moment)
    while asked:
        with patience:
            for document in _find(database, collection, one_of(asked), len(asked), moment):
                key = key_of(document)
                asked.discard(key)
                yield key, document
            break
    yield from ((key, None) for key in asked)


def _find(
    database: Database[Document],
    collection: str,
    condition: Mapping[str, Any],
    batch: int,
    moment: ClusterTime,
    projection: Mapping[str, int] | None = None,
) -> Iterator[bytes]:
    command = {
        "find": collection,
        "filter": condition,
        "projection": projection or {},
        "batchSize": batch,
        "readConcern": {"level": "snapshot", "atClusterTime": moment.timestamp()},
    }
    raw = database.with_options(codec_options=RAW)
    # The command's cursor stays on the member that answers, as one of `find` does.
    with raw.cursor_command(command, read_preference=raw.read_preference, codec_options=RAW) as found:
        for document in found:
            yield bytes(document.raw)
