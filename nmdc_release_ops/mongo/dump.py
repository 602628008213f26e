"""The `native` engine's dump: raw BSON from the driver, compressed and hashed on its way to disk."""

import hashlib
import os
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from isal import igzip
from pymongo.database import Database

from nmdc_release_ops.mongo.archive import (
    MANIFEST,
    ArchivedCollection,
    Manifest,
    file_name,
    to_extended_json,
    write_metadata,
)
from nmdc_release_ops.mongo.clock import ClusterTime, now
from nmdc_release_ops.mongo.collections import (
    Collection,
    collection_hashes,
    collection_size,
    comparable_indexes,
    list_collections,
)
from nmdc_release_ops.mongo.connection import Document
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.progress import Progress, Report, silent
from nmdc_release_ops.mongo.raw import count_documents, read_raw

THREADS = min(4, os.cpu_count() or 1)
# Measured: level 2 of ISA-L is as small as gzip's default to within a few percent and several times faster.
_COMPRESSION_LEVEL = 2


class DumpFailed(MongoError):
    """The archive could not be written, or the data changed while it was."""


def dump(
    database: Database[Document],
    names: Iterable[str],
    folder: Path,
    *,
    release_id: str,
    cluster_time: ClusterTime,
    report: Report = silent,
) -> Manifest:
    """Write the collections `names` of a frozen database to the new folder `folder`.

    The folder appears under its name only when it is complete.

    Args:
        cluster_time: a moment since which nothing has been written.

    Raises:
        DumpFailed: no room, or a collection that changed while it was read.
        HashUnavailable: see `collection_hashes`.
    """
    aside = folder.with_name(folder.name + ".partial")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        (aside / Path(file_name(database.name, "any", "bson")).parent).mkdir(mode=0o700, parents=True)
        aside.chmod(0o700)
        described = list_collections(database, names)
        with ThreadPoolExecutor(THREADS, thread_name_prefix="dump") as pool:
            # The largest first, so that no thread is left alone with it at the end.
            sizes = {name: collection_size(database, name) for name in described}
            order = sorted(described, key=lambda name: -sizes[name].bytes)
            parts = list(
                pool.map(
                    lambda name: _dump_collection(database, described[name], aside, sizes[name].documents, report),
                    order,
                )
            )
        hashes = collection_hashes(database, described)
        _refuse_if_changed(database, described, {part.name: part.documents for part in parts})
        manifest = Manifest(
            release_id=release_id,
            engine="native",
            database=database.name,
            server_version=database.client.server_info()["version"],
            cluster_time=cluster_time,
            created_at=now(),
            collections=sorted(
                (part.model_copy(update={"hash": hashes[part.name]}) for part in parts),
                key=lambda part: part.name,
            ),
        )
        _write_durably(aside / MANIFEST, manifest.model_dump_json(indent=2).encode())
        aside.rename(folder)
        return manifest
    except OSError as error:
        raise DumpFailed(
            f"The archive could not be written to {folder}: {error.strerror or error}. Make room, or point "
            "NMDC_RELEASE_HOME at a larger disk, and re-execute the run from this step."
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _dump_collection(
    database: Database[Document], collection: Collection, folder: Path, expected: int, report: Report
) -> ArchivedCollection:
    name = file_name(database.name, collection.name, "bson")
    documents = size = 0
    with (folder / name).open("wb") as file:
        hashed = _Hashed(file)
        with igzip.IGzipFile(fileobj=hashed, mode="wb", compresslevel=_COMPRESSION_LEVEL, mtime=0) as compressed:
            for run in read_raw(database[collection.name]):
                compressed.write(run)
                documents += count_documents(run)
                size += len(run)
                report(Progress(collection.name, documents, max(expected, documents)))
        file.flush()
        os.fsync(file.fileno())
    write_metadata(folder / file_name(database.name, collection.name, "metadata.json"), collection)
    return ArchivedCollection(
        name=collection.name,
        documents=documents,
        bytes=size,
        file=name,
        file_bytes=hashed.size,
        sha256=hashed.digest.hexdigest(),
        hash="",
        options=to_extended_json(dict(collection.options)),
        indexes=[to_extended_json(dict(index)) for index in collection.indexes],
    )


def _refuse_if_changed(database: Database[Document], before: dict[str, Collection], documents: dict[str, int]) -> None:
    """A frozen database cannot change; a user who bypasses the block can still make it.

    Raises:
        DumpFailed: naming the collections.
    """
    after = list_collections(database, before)
    changed = [
        name
        for name, collection in before.items()
        if name not in after
        or after[name].uuid != collection.uuid
        or comparable_indexes(after[name].indexes) != comparable_indexes(collection.indexes)
        or database[name].count_documents({}) != documents[name]
    ]
    if changed:
        raise DumpFailed(
            f"{', '.join(changed)} changed while being dumped, although the origin is frozen: somebody writes as a "
            "user who bypasses the block. Stop them, and re-execute the run from this step."
        )


class _Hashed:
    """A file that knows the sha256 and the size of what went through it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, chunk: bytes) -> int:
        self.digest.update(chunk)
        self.size += len(chunk)
        return self._file.write(chunk)

    def flush(self) -> None:
        self._file.flush()


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
