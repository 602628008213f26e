"""Taking stock of a folder that `mongodump --gzip` wrote: it makes no manifest of its own."""

import gzip
import json
import zlib
from pathlib import Path

from nmdc_release_ops.mongo.archive import (
    MANIFEST,
    MANIFEST_DIGEST,
    ArchiveDamaged,
    ArchivedCollection,
    Engine,
    HashedFile,
    Manifest,
    file_name,
    files_of,
    sha256_of,
    sync,
    write_manifest,
)
from nmdc_release_ops.mongo.clock import ClusterTime, now
from nmdc_release_ops.mongo.connection import Document
from nmdc_release_ops.mongo.load import read_documents

_ENDING = ".metadata.json.gz"


def adopt(folder: Path, database: str) -> Manifest:
    """Make an archive of a folder that `mongodump --gzip --db=DATABASE` wrote, by writing the manifest that it lacks.

    The manifest says what is there now: whatever happens to a file afterwards is noticed, and nothing that happened
    before. When the documents were dumped, and their server-side hashes, are not known. Views are not loaded.

    Raises:
        ArchiveDamaged: a file is missing or cannot be read.
    """
    files = sorted((folder / database).glob(f"*{_ENDING}"))
    if not files:
        raise ArchiveDamaged(f"{folder / database} holds no collections dumped with mongodump --gzip.")
    manifest = Manifest(
        release_id="",
        engine=Engine.MONGO_TOOLS,
        database=database,
        server_version="",
        cluster_time=ClusterTime(seconds=0, increment=0),
        created_at=now(),
        collections=[
            survey(folder, database, str(metadata["collectionName"]), metadata["options"], metadata["indexes"])
            for metadata in map(_read_metadata, files)
            if metadata.get("type") != "view"
        ],
    )
    others = set(files_of(folder)) - manifest.digests.keys() - {MANIFEST, MANIFEST_DIGEST}
    manifest = manifest.model_copy(update={"other_files": {name: sha256_of(folder / name) for name in sorted(others)}})
    write_manifest(folder, manifest)
    return manifest


def survey(folder: Path, database: str, name: str, options: Document, indexes: list[Document]) -> ArchivedCollection:
    """Describe the files of one collection, by reading them through; they are on the disk afterwards.

    Args:
        options: in canonical Extended JSON, as are the indexes.

    Raises:
        ArchiveDamaged: a file is missing or cannot be read.
    """
    documents = size = 0
    path = folder / file_name(database, name, "bson")
    metadata_path = folder / file_name(database, name, "metadata.json")
    try:
        with path.open("rb") as opened:
            file = HashedFile(opened)
            for document in read_documents(file, path):
                documents += 1
                size += len(document)
            file.read_on()
        for written in (path, metadata_path):
            sync(written)
        return ArchivedCollection(
            name=name,
            documents=documents,
            bytes=size,
            file=path.relative_to(folder).as_posix(),
            file_bytes=file.size,
            sha256=file.digest.hexdigest(),
            metadata_file=metadata_path.relative_to(folder).as_posix(),
            metadata_sha256=sha256_of(metadata_path),
            hash="",
            options=options,
            indexes=indexes,
        )
    except FileNotFoundError as error:
        raise ArchiveDamaged(f"{error.filename} is missing. Dump again.") from None


def _read_metadata(path: Path) -> Document:
    try:
        found: Document = json.loads(gzip.decompress(path.read_bytes()))
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ArchiveDamaged(f"{path} cannot be read: {error}. Dump again.") from error
    return found
