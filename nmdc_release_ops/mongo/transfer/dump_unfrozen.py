"""Dumping a database that people write to: what they wrote meanwhile is read at one moment, and merged into the archive."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from pymongo import ReadPreference
from pymongo.database import Database
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from nmdc_release_ops.files import sha256_of
from nmdc_release_ops.mongo.archive.blocks import BLOCK_BYTES
from nmdc_release_ops.mongo.archive.making import DumpFailed, complete, making_archive
from nmdc_release_ops.mongo.archive.manifest import ArchivedCollection, Engine, Manifest
from nmdc_release_ops.mongo.archive.merge import merge
from nmdc_release_ops.mongo.archive.oplog_file import OPLOG, read_oplog, write_oplog
from nmdc_release_ops.mongo.delta.delta import Delta
from nmdc_release_ops.mongo.delta.follow import Follower
from nmdc_release_ops.mongo.delta.moment import present_moment
from nmdc_release_ops.mongo.delta.read import MomentGone, count_at, read_delta
from nmdc_release_ops.mongo.server.clock import ClusterTime, now
from nmdc_release_ops.mongo.server.collections import Collection, list_collections
from nmdc_release_ops.mongo.server.comparison import digest_definition
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.progress import Log, Report, silent
from nmdc_release_ops.mongo.transfer.dump import write_files
from nmdc_release_ops.mongo.transfer.throttle import Throttle

ATTEMPTS = 5
"""How often a collection is dumped whose options, indexes or name somebody changes meanwhile, and its delta read."""
DELTA = ".delta"
"""What the folder for the delta is called, after the archive's name. It is removed when the archive is complete."""
# The server ends a cursor when its collection is dropped or renamed (QueryPlanKilled), CursorNotFound and CursorKilled likewise.
_CURSOR_ENDED = (175, 43, 237)

WriteFilesSince = Callable[[Mapping[str, Collection], Path, ClusterTime], Iterable[ArchivedCollection]]
"""Writes the files of the collections into a folder and describes them, without their hashes. What it reads contains everything
that was written up to the given moment."""


def dump_unfrozen(
    database: Database[Document],
    names: Iterable[str],
    folder: Path,
    *,
    release_id: str,
    report: Report = silent,
    log: Log,
    block_bytes: int = BLOCK_BYTES,
    throttle: Throttle | None = None,
    recurring: bool = False,
) -> Manifest:
    """Write the collections `names` of a database to the new folder `folder`, with the driver, while people write to it.

    Documents are read from a secondary where there is one.

    Args:
        throttle: how fast they are read; None for as fast as possible.
        recurring: make blocks that are the same in the next archive, where their documents are; see `compress_blocks`.

    Other arguments and errors as `write_unfrozen_archive`.
    """
    # Majority: a write that is rolled back after a failover never comes in the change stream, so it must not be read either.
    reading = database.with_options(
        read_preference=ReadPreference.SECONDARY_PREFERRED, read_concern=ReadConcern("majority")
    )

    def write(described: Mapping[str, Collection], aside: Path, since: ClusterTime) -> list[ArchivedCollection]:
        return write_files(
            *(reading, report, block_bytes, described, aside), since=since, throttle=throttle, recurring=recurring
        )

    return write_unfrozen_archive(
        database, names, folder, write, release_id=release_id, log=log, block_bytes=block_bytes
    )


def write_unfrozen_archive(
    database: Database[Document],
    names: Iterable[str],
    folder: Path,
    write: WriteFilesSince,
    *,
    release_id: str,
    log: Log,
    block_bytes: int = BLOCK_BYTES,
) -> Manifest:
    """Make an archive of the collections `names` of a database that people write to, in the new folder `folder`.

    It holds the state of one moment, which the database really had. Nothing is written to the database, and no command is sent
    that locks it: so the archive has no `dbHash`. The number of documents is compared with the server's at that moment.

    Args:
        write: writes the files, as they are read: each document as it was at some moment of the dump.
        log: receives what was written meanwhile.

    Raises:
        DumpFailed: the disk is full, a collection was changed again and again, or the archive is not what the database had.
        OplogTooShort: the server no longer has what was written meanwhile.
    """
    names = frozenset(names)
    store = folder.with_name(folder.name + DELTA)
    with making_archive(folder, database.name) as aside, _folder_of_delta(store):
        since = present_moment(database.client)
        with Delta(store / "keys.sqlite") as delta, Follower(database, names, delta, since) as follower:
            settled = _write_settled(database, names, aside, write, since, follower, delta, log)
            merged = _merge(settled.parts, aside, delta, block_bytes)
            written = sum(delta.count(name) for name in merged)
        log(
            f"{written:,} documents were written or deleted during the dump. The archive holds what they were at its end."
        )
        _require_counts(merged.values(), settled.counts)
        manifest = Manifest(
            release_id=release_id,
            engine=Engine.NATIVE,
            database=database.name,
            server_version=database.client.server_info()["version"],
            cluster_time=settled.moment,
            created_at=now(),
            was_frozen=False,
            collections=sorted(merged.values(), key=lambda part: part.name),
            other_files={OPLOG: sha256_of(aside / OPLOG)},
        )
        return complete(aside, folder, manifest)


@contextmanager
def _folder_of_delta(folder: Path) -> Iterator[None]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class _Settled:
    """Collections that were dumped, and whose delta was read.

    Attributes:
        parts: by name.
        moment: at which the delta was read.
        counts: the number of documents that each had at that moment.
    """

    parts: dict[str, ArchivedCollection]
    moment: ClusterTime
    counts: dict[str, int]


def _write_settled(
    database: Database[Document],
    names: frozenset[str],
    aside: Path,
    write: WriteFilesSince,
    since: ClusterTime,
    follower: Follower,
    delta: Delta,
    log: Log,
) -> _Settled:
    """Dump the collections, and read what was written meanwhile, until none of them was created, dropped, renamed or redefined
    in between.
    """
    described: dict[str, Collection] = {}
    parts: dict[str, ArchivedCollection] = {}
    changed = list_collections(database, names)
    obstacle = ""
    for _ in range(ATTEMPTS):
        try:
            parts.update({part.name: part for part in write(changed, aside, since)} if changed else {})
            described.update(changed)
        except OperationFailure as error:
            if error.code not in _CURSOR_ENDED:
                raise
            # Their files may have been begun anew.
            for name in changed:
                parts.pop(name, None)
                described.pop(name, None)
            _remove_others(aside / database.name, parts.values())
        moment = present_moment(database.client)
        follower.read_until(moment)
        found = list_collections(database, names)
        gone = described.keys() - found.keys()
        for name in gone:
            _forget(parts.pop(name), aside)
            del described[name]
        redefined = delta.take_redefined()
        changed = {
            name: collection
            for name, collection in found.items()
            if name in redefined
            or name not in described
            or digest_definition(described[name]) != digest_definition(collection)
        }
        if changed or gone:
            # A member that lags behind must not show what a collection was before it was changed: no event says what changed
            # in it.
            since = present_moment(database.client)
            # What is gone now may have been there at that moment.
            obstacle = f"{', '.join(sorted({*changed, *gone}))} changed in options, indexes or name during the dump"
            log(f"{obstacle}. What is there now is dumped again.")
            continue
        try:
            write_oplog(aside / OPLOG, _read_delta(database, parts, delta, moment), moment)
            return _Settled(parts, moment, _count(database, parts, moment))
        except MomentGone as error:
            obstacle = str(error)
            log(f"{error} It is read again.")
    raise DumpFailed(
        f"The dump was tried {ATTEMPTS} times, and each time something was in the way; the last time: {obstacle}. The origin was "
        "not touched. Wait until whoever changes collections is done, and re-execute the run from this step."
    )


def _remove_others(folder: Path, parts: Iterable[ArchivedCollection]) -> None:
    """Remove the files that belong to none of the collections: of a dump that was broken off."""
    kept = {Path(file).name for part in parts for file in (part.file, part.metadata_file)}
    for path in list(folder.iterdir()):
        if path.name not in kept:
            path.unlink()


def _forget(part: ArchivedCollection, aside: Path) -> None:
    (aside / part.file).unlink()
    (aside / part.metadata_file).unlink()


def _read_delta(
    database: Database[Document], names: Iterable[str], delta: Delta, moment: ClusterTime
) -> Iterator[tuple[str, bytes, bytes | None]]:
    """Each document of the delta as it was at `moment`, once."""
    reading = database.with_options(read_preference=ReadPreference.SECONDARY_PREFERRED)
    for name in sorted(names):
        for key, document in read_delta(reading, name, delta, moment):
            yield f"{database.name}.{name}", key, document


def _merge(
    parts: Mapping[str, ArchivedCollection], aside: Path, delta: Delta, block_bytes: int
) -> dict[str, ArchivedCollection]:
    """Bring the files of the collections to the state that `oplog.bson` describes."""
    merged = dict(parts)
    written = {name for name in parts if delta.count(name)}
    # Of one collection after the other: so they were written.
    existing = ((name, document) for name, _key, document in read_oplog(aside / OPLOG) if document is not None)
    for namespace, group in groupby(existing, itemgetter(0)):
        name = namespace.partition(".")[2]
        documents = (document for _, document in group)
        merged[name] = merge(aside, parts[name], delta.membership(name), documents, block_bytes=block_bytes)
        written.discard(name)
    for name in written:
        merged[name] = merge(aside, parts[name], delta.membership(name), [], block_bytes=block_bytes)
    return merged


def _count(database: Database[Document], names: Iterable[str], moment: ClusterTime) -> dict[str, int]:
    """How many documents each collection had at that moment."""
    reading = database.with_options(read_preference=ReadPreference.SECONDARY_PREFERRED)
    return {name: count_at(reading, name, moment) for name in names}


def _require_counts(parts: Iterable[ArchivedCollection], counts: Mapping[str, int]) -> None:
    """Compare the number of documents of each collection with the server's at the archive's moment."""
    for part in parts:
        if part.documents != counts[part.name]:
            raise DumpFailed(
                f"{part.name} had {counts[part.name]:,} documents at the end of the dump, and the archive has "
                f"{part.documents:,}. It was not kept, and the origin was not touched. Re-execute the run from this step; if it "
                "happens again, report it to the maintainers of nmdc-release-ops."
            )
