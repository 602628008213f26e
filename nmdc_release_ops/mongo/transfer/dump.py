"""Making an archive, and the `native` engine's dump: raw BSON from the driver, compressed and hashed on the way to disk."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event

from pymongo.database import Database

from nmdc_release_ops.files import sha256_of, sync
from nmdc_release_ops.mongo.archive.blocks import BLOCK_BYTES, Compressed, compress_blocks, write_blocks
from nmdc_release_ops.mongo.archive.file_names import DOCUMENTS, METADATA, file_name
from nmdc_release_ops.mongo.archive.making import WriteFiles, complete, making_archive
from nmdc_release_ops.mongo.archive.manifest import ArchivedCollection, Engine, Manifest
from nmdc_release_ops.mongo.archive.metadata import to_extended_json, write_metadata
from nmdc_release_ops.mongo.server.clock import ClusterTime, now
from nmdc_release_ops.mongo.server.collections import (
    Collection,
    Size,
    collection_hashes,
    collection_size,
    list_collections,
)
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.progress import Report, silent
from nmdc_release_ops.mongo.server.ranges import find_ranges, has_ranges, read_range
from nmdc_release_ops.mongo.server.raw import READ_BATCH, read_raw, read_raw_since
from nmdc_release_ops.mongo.transfer.side_by_side import THREADS, Tally, stopping_pool
from nmdc_release_ops.mongo.transfer.throttle import Throttle
from nmdc_release_ops.mongo.transfer.watch import Watch, refuse_if_changed

# A smaller collection is not worth several connections. Measured with the server on the same two cores, 300,000 documents:
# reading them by the index on `_id` took 1.7 s, 0.2 of it for finding the ranges, and in natural order 1.1 s.
_LARGE_BLOCKS = 32


def dump(
    database: Database[Document],
    names: Iterable[str],
    folder: Path,
    *,
    release_id: str,
    cluster_time: ClusterTime,
    report: Report = silent,
    block_bytes: int = BLOCK_BYTES,
) -> Manifest:
    """Write the collections `names` of a frozen database to the new folder `folder`, with the driver.

    Several connections read a large collection side by side; its documents are dumped in the order of `_id`.

    Args:
        block_bytes: of BSON in a block.

    Other arguments and errors as `write_archive`.
    """
    return write_archive(
        database,
        names,
        folder,
        partial(write_files, database, report, block_bytes),
        engine=Engine.NATIVE,
        release_id=release_id,
        cluster_time=cluster_time,
    )


def write_archive(
    database: Database[Document],
    names: Iterable[str],
    folder: Path,
    write: WriteFiles,
    *,
    engine: Engine,
    release_id: str,
    cluster_time: ClusterTime,
) -> Manifest:
    """Make an archive of the collections `names` of a frozen database in the new folder `folder`.

    Args:
        write: writes the files.
        cluster_time: a moment since which nothing has been written.

    Raises:
        DumpFailed: the disk is full, or a collection changed during the dump.
        HashUnavailable: see `collection_hashes`.
    """
    with making_archive(folder, database.name) as aside:
        described = list_collections(database, names)
        watch = Watch(database, set(described))
        parts = list(write(described, aside))
        hashes = collection_hashes(database, described)
        refuse_if_changed(
            database, described, {part.name: part.documents for part in parts}, watch.find_written(hashes)
        )
        manifest = Manifest(
            release_id=release_id,
            engine=engine,
            database=database.name,
            server_version=database.client.server_info()["version"],
            cluster_time=cluster_time,
            created_at=now(),
            collections=sorted(
                (part.model_copy(update={"hash": hashes[part.name]}) for part in parts),
                key=lambda part: part.name,
            ),
        )
        return complete(aside, folder, manifest)


def write_files(
    database: Database[Document],
    report: Report,
    block_bytes: int,
    described: Mapping[str, Collection],
    folder: Path,
    *,
    since: ClusterTime | None = None,
    throttle: Throttle | None = None,
    recurring: bool = False,
) -> list[ArchivedCollection]:
    """Write the documents and the metadata of collections into a folder.

    Args:
        since: what is read contains everything that was written up to then, also where a secondary is read. None for a frozen
            database. Otherwise each collection is read by one connection.
        throttle: of a database that is not frozen: how fast it is read; None for as fast as possible.
        recurring: of a database that is not frozen: see `compress_blocks`.
    """
    # The largest first, so that at the end no single thread is still busy with it.
    sizes = {name: collection_size(database, name) for name in described}
    order = sorted(described, key=lambda name: -sizes[name].bytes)
    stopped = Event()
    batch = throttle.batch if throttle else READ_BATCH
    with stopping_pool(stopped, "dump") as pool, stopping_pool(stopped, "read") as readers:
        dumps = []
        for name in order:
            tally = Tally(name, sizes[name].documents, report, stopped, throttle)
            blocks = (
                _make_blocks(database, described[name], sizes[name], block_bytes, tally, readers)
                if since is None
                else compress_blocks(
                    read_raw_since(database[name], since, batch), block_bytes, tally.add, recurring=recurring
                )
            )
            dumps.append(pool.submit(_write_collection, database.name, described[name], blocks, folder))
        for ended in wait(dumps, return_when=FIRST_EXCEPTION).done:
            ended.result()
        return [one.result() for one in dumps]


def _make_blocks(
    database: Database[Document],
    collection: Collection,
    size: Size,
    block_bytes: int,
    tally: Tally,
    readers: ThreadPoolExecutor,
) -> Iterator[Compressed]:
    """The blocks of a collection: of a large one in the order of `_id`, of any other in its natural order."""
    name = collection.name
    if size.bytes < _LARGE_BLOCKS * block_bytes or not has_ranges(collection):
        yield from compress_blocks(read_raw(database[name]), block_bytes, tally.add)
        return
    # A little less than a block, so that documents of uneven size seldom make two of it.
    documents = max(1, size.documents * block_bytes * 7 // 8 // size.bytes)
    under_way: deque[Future[_Begun]] = deque()
    for one in find_ranges(database, name, documents):
        blocks = compress_blocks(read_range(database, name, one), block_bytes, tally.add)
        under_way.append(readers.submit(_begin, blocks, block_bytes))
        if len(under_way) > THREADS:
            yield from under_way.popleft().result().all()
    while under_way:
        yield from under_way.popleft().result().all()


@dataclass(frozen=True)
class _Begun:
    """The first blocks of a range; the others are read when these are written, so that they do not fill the memory."""

    first: list[Compressed]
    others: Iterator[Compressed]

    def all(self) -> Iterator[Compressed]:
        yield from self.first
        yield from self.others


def _begin(blocks: Iterator[Compressed], enough: int) -> _Begun:
    first: list[Compressed] = []
    for block in blocks:
        first.append(block)
        if sum(one.bytes for one in first) >= enough:
            break
    return _Begun(first, blocks)


def _write_collection(
    database: str, collection: Collection, compressed: Iterable[Compressed], folder: Path
) -> ArchivedCollection:
    name = file_name(database, collection.name, DOCUMENTS)
    file = write_blocks(folder / name, compressed)
    metadata = file_name(database, collection.name, METADATA)
    write_metadata(folder / metadata, collection)
    sync(folder / metadata)
    return ArchivedCollection(
        name=collection.name,
        file=name,
        metadata_file=metadata,
        metadata_sha256=sha256_of(folder / metadata),
        hash="",
        options=to_extended_json(dict(collection.options)),
        indexes=[to_extended_json(dict(index)) for index in collection.indexes],
        **file.describe(),
    )
