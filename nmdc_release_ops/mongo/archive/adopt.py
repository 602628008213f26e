"""Writing the manifest of a folder that `mongodump --gzip` wrote: the tool does not write one."""

import gzip
import json
import zlib
from dataclasses import dataclass
from pathlib import Path

from nmdc_release_ops.files import sha256_of, sync
from nmdc_release_ops.mongo.archive.file_names import METADATA, collection_of, documents_beside
from nmdc_release_ops.mongo.archive.manifest import (
    MANIFEST,
    MANIFEST_DIGEST,
    ArchiveDamaged,
    ArchivedCollection,
    Engine,
    Manifest,
    files_of,
    write_manifest,
)
from nmdc_release_ops.mongo.archive.members import find_blocks
from nmdc_release_ops.mongo.server.clock import ClusterTime, now
from nmdc_release_ops.mongo.server.connection import Document


@dataclass(frozen=True)
class Dumped:
    """One collection or view that `mongodump` wrote.

    Attributes:
        metadata_file: relative to the folder, as is the file of documents beside it.
        options: in canonical Extended JSON, as are the indexes.
    """

    name: str
    is_view: bool
    metadata_file: str
    options: Document
    indexes: list[Document]

    @property
    def file(self) -> str:
        return documents_beside(self.metadata_file)


def adopt(folder: Path, database: str) -> Manifest:
    """Turn a folder that `mongodump --gzip --db=DATABASE` wrote into an archive, by writing the manifest that it lacks.

    The manifest describes the files as they are now: a later change to a file is noticed, an earlier one is not. The time of
    the dump and the server's hashes are unknown. Views are not loaded.

    Raises:
        ArchiveDamaged: a file is missing or cannot be read.
    """
    dumped = list_dumped(folder, database)
    if not dumped:
        raise ArchiveDamaged(f"{folder / database} holds no collections dumped with mongodump --gzip.")
    manifest = Manifest(
        release_id="",
        engine=Engine.MONGO_TOOLS,
        database=database,
        server_version="",
        cluster_time=ClusterTime(seconds=0, increment=0),
        created_at=now(),
        collections=[survey(folder, one) for one in dumped.values() if not one.is_view],
    )
    others = set(files_of(folder)) - manifest.digests.keys() - {MANIFEST, MANIFEST_DIGEST}
    manifest = manifest.model_copy(update={"other_files": {name: sha256_of(folder / name) for name in sorted(others)}})
    write_manifest(folder, manifest)
    return manifest


def list_dumped(folder: Path, database: str) -> dict[str, Dumped]:
    """What `mongodump --gzip` wrote of a database, by the collections' names. The names are read from the files' contents,
    because versions of `mongodump` spell file names differently.

    Raises:
        ArchiveDamaged: a file cannot be read, or two files belong to the same collection.
    """
    found: dict[str, Dumped] = {}
    for path in sorted((folder / database).glob(f"*.{METADATA}.gz")):
        metadata = _read_metadata(path)
        name = str(metadata.get("collectionName") or collection_of(path))
        options = metadata.get("options") or {}
        if name in found:
            raise ArchiveDamaged(f"{path} and {folder / found[name].metadata_file} are both of {name}. Dump again.")
        found[name] = Dumped(
            name=name,
            is_view="viewOn" in options,
            metadata_file=path.relative_to(folder).as_posix(),
            options=options,
            indexes=metadata.get("indexes") or [],
        )
    return found


def survey(folder: Path, dumped: Dumped) -> ArchivedCollection:
    """Describe the files of one collection after reading them completely, and sync them to the disk.

    The gzip members of the documents' file are its blocks, if each holds whole documents. Otherwise the file is one block.

    Raises:
        ArchiveDamaged: a file is missing or cannot be read.
    """
    path = folder / dumped.file
    metadata_path = folder / dumped.metadata_file
    try:
        blocks, digest = find_blocks(path)
        for written in (path, metadata_path):
            sync(written)
        return ArchivedCollection(
            name=dumped.name,
            documents=sum(block.documents for block in blocks),
            bytes=sum(block.bytes for block in blocks),
            file=dumped.file,
            file_bytes=sum(block.size for block in blocks),
            sha256=digest,
            metadata_file=dumped.metadata_file,
            metadata_sha256=sha256_of(metadata_path),
            hash="",
            options=dumped.options,
            indexes=dumped.indexes,
            blocks=blocks,
        )
    except FileNotFoundError as error:
        raise ArchiveDamaged(f"{error.filename} is missing. Dump again.") from None


def _read_metadata(path: Path) -> Document:
    try:
        found: Document = json.loads(gzip.decompress(path.read_bytes()))
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ArchiveDamaged(f"{path} cannot be read: {error}. Dump again.") from error
    return found
