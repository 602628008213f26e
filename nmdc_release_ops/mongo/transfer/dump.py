"""Making an archive, and the `native` engine's dump: raw BSON from the driver, compressed and hashed on the way to disk."""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, CancelledError, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from threading import Event

from isal import igzip
from pymongo.database import Database

from nmdc_release_ops.files import MAKE_ROOM
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.clock import ClusterTime, now
from nmdc_release_ops.mongo.server.collections import (
    Collection,
    collection_hashes,
    collection_size,
    list_collections,
)
from nmdc_release_ops.mongo.server.comparison import State, compare_collections
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.progress import Progress, Report, silent
from nmdc_release_ops.mongo.server.raw import count_documents, read_raw
from nmdc_release_ops.mongo.transfer.archive import (
    ArchivedCollection,
    Engine,
    HashedFile,
    Manifest,
    sha256_of,
    sync,
    to_extended_json,
    write_manifest,
    write_metadata,
)
from nmdc_release_ops.mongo.transfer.file_names import DOCUMENTS, METADATA, file_name

THREADS = min(4, os.cpu_count() or 1)
# Measured: level 2 of ISA-L is as small as gzip's default to within a few percent and several times faster.
_COMPRESSION_LEVEL = 2

WriteFiles = Callable[[Mapping[str, Collection], Path], Iterable[ArchivedCollection]]
"""Writes the files of the collections into a folder and describes them, without their hashes."""


class DumpFailed(MongoError):
    """The archive could not be written, or the data changed during the dump."""


def dump(
    database: Database[Document],
    names: Iterable[str],
    folder: Path,
    *,
    release_id: str,
    cluster_time: ClusterTime,
    report: Report = silent,
) -> Manifest:
    """Write the collections `names` of a frozen database to the new folder `folder`, with the driver.

    Arguments and errors as `write_archive`.
    """
    return write_archive(
        database,
        names,
        folder,
        partial(_write_files, database, report),
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

    The folder gets its name only when it is complete and on disk.

    Args:
        write: writes the files.
        cluster_time: a moment since which nothing has been written.

    Raises:
        DumpFailed: the disk is full, or a collection changed during the dump.
        HashUnavailable: see `collection_hashes`.
    """
    aside = folder.with_name(folder.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        (aside / database.name).mkdir(mode=0o700, parents=True)
        aside.chmod(0o700)
        described = list_collections(database, names)
        parts = list(write(described, aside))
        hashes = collection_hashes(database, described)
        _refuse_if_changed(database, described, {part.name: part.documents for part in parts})
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
        write_manifest(aside, manifest)
        for part in (aside / database.name, aside):
            sync(part)
        aside.rename(folder)
        sync(folder.parent)
        return manifest
    except OSError as error:
        raise DumpFailed(
            f"The archive could not be written to {folder}: {error.strerror or error}. {MAKE_ROOM}"
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write_files(
    database: Database[Document], report: Report, described: Mapping[str, Collection], folder: Path
) -> list[ArchivedCollection]:
    # The largest first, so that at the end no single thread is still busy with it.
    sizes = {name: collection_size(database, name) for name in described}
    order = sorted(described, key=lambda name: -sizes[name].bytes)
    stopped = Event()

    def report_unless_stopped(progress: Progress) -> None:
        if stopped.is_set():
            raise CancelledError
        report(progress)

    with ThreadPoolExecutor(THREADS, thread_name_prefix="dump") as pool:
        dumps = [
            pool.submit(
                _dump_collection, database, described[name], folder, sizes[name].documents, report_unless_stopped
            )
            for name in order
        ]
        try:
            for ended in wait(dumps, return_when=FIRST_EXCEPTION).done:
                ended.result()
            return [one.result() for one in dumps]
        except BaseException:
            # Leaving the pool waits for its threads: when one failed or the run is cancelled, the others stop early.
            stopped.set()
            for one in dumps:
                one.cancel()
            raise


def _dump_collection(
    database: Database[Document], collection: Collection, folder: Path, expected: int, report: Report
) -> ArchivedCollection:
    name = file_name(database.name, collection.name, DOCUMENTS)
    documents = size = 0
    with (folder / name).open("wb") as file:
        hashed = HashedFile(file)
        with igzip.IGzipFile(fileobj=hashed, mode="wb", compresslevel=_COMPRESSION_LEVEL, mtime=0) as compressed:
            for run in read_raw(database[collection.name]):
                compressed.write(run)
                documents += count_documents(run)
                size += len(run)
                report(Progress(collection.name, documents, max(expected, documents)))
        file.flush()
        os.fsync(file.fileno())
    metadata = file_name(database.name, collection.name, METADATA)
    write_metadata(folder / metadata, collection)
    sync(folder / metadata)
    return ArchivedCollection(
        name=collection.name,
        documents=documents,
        bytes=size,
        file=name,
        file_bytes=hashed.size,
        sha256=hashed.digest.hexdigest(),
        metadata_file=metadata,
        metadata_sha256=sha256_of(folder / metadata),
        hash="",
        options=to_extended_json(dict(collection.options)),
        indexes=[to_extended_json(dict(index)) for index in collection.indexes],
    )


def _refuse_if_changed(database: Database[Document], before: dict[str, Collection], documents: dict[str, int]) -> None:
    """Compare the collections with what was dumped: a user who bypasses the block can change a frozen database.

    Raises:
        DumpFailed: naming the collections that differ.
    """
    after = list_collections(database, before)
    changed = {name: ["is gone"] for name in before if name not in after}
    for name, found in after.items():
        now = State(found, database[name].count_documents({}))
        differences = compare_collections(State(before[name], documents[name]), now, same_uuid=True)
        if differences:
            changed[name] = [f"has {difference}" for difference in differences]
    if changed:
        details = "; ".join(f"{name} {', '.join(differences)}" for name, differences in changed.items())
        raise DumpFailed(
            f"{', '.join(changed)} changed while being dumped, although the origin is frozen: {details}. Somebody writes as a "
            "user who bypasses the block. Stop them, and re-execute the run from this step."
        )
