"""Dumping a database that people write to: what they wrote meanwhile is read at one moment, and merged into the archive."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from pymongo import ReadPreference
from pymongo.database import Database
from pymongo.read_concern import ReadConcern

from nmdc_release_ops.mongo.archive.blocks import BLOCK_BYTES
from nmdc_release_ops.mongo.archive.making import DumpFailed, WriteFiles, complete, making_archive
from nmdc_release_ops.mongo.archive.manifest import ArchivedCollection, Engine, Manifest, sha256_of
from nmdc_release_ops.mongo.archive.merge import merge
from nmdc_release_ops.mongo.delta.delta import Delta
from nmdc_release_ops.mongo.delta.follow import Follower
from nmdc_release_ops.mongo.delta.moment import present_moment
from nmdc_release_ops.mongo.delta.oplog_file import OPLOG, read_oplog, write_oplog
from nmdc_release_ops.mongo.delta.read import MomentGone, count_at, read_at
from nmdc_release_ops.mongo.server.clock import ClusterTime, now
from nmdc_release_ops.mongo.server.collections import Collection, list_collections
from nmdc_release_ops.mongo.server.comparison import digest_definition
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.progress import Log, Report, silent
from nmdc_release_ops.mongo.transfer.dump import write_files

ATTEMPTS = 5
"""How often a collection is dumped whose options, indexes or name somebody changes meanwhile, and its delta read."""
DELTA = ".delta"
"""What the folder for the delta is called, after the archive's name. It is removed when the archive is complete."""
_KEYS_AT_ONCE = 10_000

WriteFilesSince = Callable[[Mapping[str, Collection], Path, ClusterTime], Iterable[ArchivedCollection]]
"""As `WriteFiles`; what it reads contains everything that was written up to the given moment."""


def dump_unfrozen(
    database: Database[Document],
    names: Iterable[str],
    folder: Path,
    *,
    release_id: str,
    report: Report = silent,
    log: Log,
    block_bytes: int = BLOCK_BYTES,
) -> Manifest:
    """Write the collections `names` of a database to the new folder `folder`, with the driver, while people write to it.

    Documents are read from a secondary where there is one. Arguments and errors as `write_unfrozen_archive`.
    """
    # Majority: a write that is rolled back after a failover never comes in the change stream, so it must not be read either.
    reading = database.with_options(
        read_preference=ReadPreference.SECONDARY_PREFERRED, read_concern=ReadConcern("majority")
    )

    def write(described: Mapping[str, Collection], aside: Path, since: ClusterTime) -> list[ArchivedCollection]:
        return write_files(reading, report, block_bytes, described, aside, since=since)

    return write_unfrozen_archive(
        database, names, folder, write, engine=Engine.NATIVE, release_id=release_id, log=log, block_bytes=block_bytes
    )


def write_unfrozen_archive(
    database: Database[Document],
    names: Iterable[str],
    folder: Path,
    write: WriteFilesSince,
    *,
    engine: Engine,
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
        OplogTooShort, MomentGone: the server no longer has what was written meanwhile.
    """
    names = frozenset(names)
    store = folder.with_name(folder.name + DELTA)
    with making_archive(folder, database.name) as aside, _folder_of_delta(store):
        since = present_moment(database.client)
        with Delta(store / "keys.sqlite") as delta, Follower(database, names, delta, since) as follower:
            parts, moment = _write_settled(
                database, names, aside, lambda described, aside: write(described, aside, since), follower, delta, log
            )
            merged = [_merge(database.name, part, aside, delta, block_bytes) for part in parts.values()]
            written = sum(delta.count(name) for name in parts)
        log(
            f"{written:,} documents were written or deleted during the dump. The archive holds what they were at its end."
        )
        _require_counts(database, merged, moment, log)
        manifest = Manifest(
            release_id=release_id,
            engine=engine,
            database=database.name,
            server_version=database.client.server_info()["version"],
            cluster_time=moment,
            created_at=now(),
            was_frozen=False,
            collections=sorted(merged, key=lambda part: part.name),
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


def _write_settled(
    database: Database[Document],
    names: frozenset[str],
    aside: Path,
    write: WriteFiles,
    follower: Follower,
    delta: Delta,
    log: Log,
) -> tuple[dict[str, ArchivedCollection], ClusterTime]:
    """Dump the collections, and read what was written meanwhile, until none of them was created, dropped, renamed or redefined
    in between; return them, and the moment at which their delta was read.
    """
    described: dict[str, Collection] = {}
    parts: dict[str, ArchivedCollection] = {}
    changed = list_collections(database, names)
    for _ in range(ATTEMPTS):
        for part in write(changed, aside):
            parts[part.name] = part
        described.update(changed)
        moment = present_moment(database.client)
        follower.read_until(moment)
        found = list_collections(database, names)
        for name in described.keys() - found.keys():
            part = parts.pop(name)
            (aside / part.file).unlink()
            (aside / part.metadata_file).unlink()
            del described[name]
        redefined = delta.take_redefined()
        changed = {
            name: collection
            for name, collection in found.items()
            if name in redefined
            or name not in described
            or digest_definition(described[name]) != digest_definition(collection)
        }
        if changed:
            log(f"{', '.join(changed)} changed in options, indexes or name during the dump, and is dumped again.")
            continue
        try:
            write_oplog(aside / OPLOG, _read_delta(database, parts, delta, moment), moment)
        except MomentGone as error:
            log(f"{error} It is read again.")
        else:
            return parts, moment
    raise DumpFailed(
        f"Collections changed in options, indexes or name each time they were dumped, {ATTEMPTS} times, or the server forgot too "
        "soon what it held. The origin was not touched. Wait until whoever changes them is done, and re-execute the run from "
        "this step."
    )


def _read_delta(
    database: Database[Document], names: Iterable[str], delta: Delta, moment: ClusterTime
) -> Iterator[tuple[str, bytes, bytes | None]]:
    """Each document of the delta as it was at `moment`, once; see `read_at` for why keys are added to it."""
    reading = database.with_options(read_preference=ReadPreference.SECONDARY_PREFERRED)
    for name in sorted(names):
        contains = delta.membership(name)
        others: set[bytes] = set()
        keys = delta.keys(name)
        while asked := list(islice(keys, _KEYS_AT_ONCE)):
            left = set(asked)
            for key, document in read_at(reading, name, asked, moment):
                if key in left:
                    left.remove(key)
                elif contains(key) or key in others:
                    continue
                else:
                    others.add(key)
                yield f"{database.name}.{name}", key, document
        delta.add(name, others)


def _merge(database: str, part: ArchivedCollection, aside: Path, delta: Delta, block_bytes: int) -> ArchivedCollection:
    if not delta.count(part.name):
        return part
    namespace = f"{database}.{part.name}"
    documents = (
        document for name, _key, document in read_oplog(aside / OPLOG) if name == namespace and document is not None
    )
    return merge(aside, part, delta.membership(part.name), documents, block_bytes=block_bytes)


def _require_counts(
    database: Database[Document], parts: Iterable[ArchivedCollection], moment: ClusterTime, log: Log
) -> None:
    """Compare the number of documents of each collection with the server's at that moment."""
    reading = database.with_options(read_preference=ReadPreference.SECONDARY_PREFERRED)
    for part in parts:
        try:
            found = count_at(reading, part.name, moment)
        except MomentGone:
            log(f"The documents of {part.name} were not counted on the origin: it no longer has that moment.")
            continue
        if found != part.documents:
            raise DumpFailed(
                f"{part.name} had {found:,} documents at the end of the dump, and the archive has {part.documents:,}. It was not "
                "kept, and the origin was not touched. Re-execute the run from this step; if it happens again, report it to the "
                "maintainers of nmdc-release-ops."
            )
