"""The archive: a dump on disk, in `mongodump`'s directory layout with a manifest beside it.

    FOLDER/manifest.json
    FOLDER/manifest.json.sha256
    FOLDER/DATABASE/COLLECTION.bson.gz
    FOLDER/DATABASE/COLLECTION.metadata.json.gz

People can restore one with plain `mongorestore --gzip`. Loading it with this project also proves that it is complete and
unchanged: the manifest holds the sha256 of every other file, and `manifest.json.sha256` that of the manifest.
"""

import gzip
import hashlib
import json
import os
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Literal

from bson import json_util
from bson.codec_options import DatetimeConversion
from pydantic import BaseModel, ConfigDict, ValidationError

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.collections import Collection

MANIFEST = "manifest.json"
MANIFEST_DIGEST = "manifest.json.sha256"
_READ_BYTES = 4 * 1024 * 1024
_EXTENDED_JSON = json_util.CANONICAL_JSON_OPTIONS.with_options(datetime_conversion=DatetimeConversion.DATETIME_AUTO)


class ArchiveDamaged(MongoError):
    """A file of an archive is missing, changed, or not listed in the manifest."""


class Engine(StrEnum):
    """The program that reads and writes the documents."""

    NATIVE = "native"
    """The driver, with documents as raw bytes."""
    MONGO_TOOLS = "mongo-tools"
    """`mongodump` and `mongorestore`."""


class ArchivedCollection(BaseModel):
    """One collection of an archive.

    Attributes:
        documents: how many.
        bytes: of BSON, uncompressed.
        file: the documents, relative to the archive's folder.
        file_bytes: size of that file, compressed.
        sha256: of that file.
        metadata_file: options and indexes as `mongorestore` reads them, relative to the archive's folder.
        metadata_sha256: of that file.
        hash: the server's `dbHash` of the collection when it was dumped; empty where that is not known, because
            somebody else dumped it.
        options: as `create` takes them, in canonical Extended JSON.
        indexes: as `listIndexes` gives them, in canonical Extended JSON.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    documents: int
    bytes: int
    file: str
    file_bytes: int
    sha256: str
    metadata_file: str
    metadata_sha256: str
    hash: str
    options: dict[str, Any]
    indexes: list[dict[str, Any]]

    def describe(self) -> Collection:
        """The collection as it was, to create it again."""
        return Collection(
            name=self.name,
            kind="collection",
            uuid=None,
            options=from_extended_json(self.options),
            indexes=tuple(from_extended_json(index) for index in self.indexes),
        )


class Manifest(BaseModel):
    """What an archive holds, and where it came from.

    Attributes:
        other_files: sha256 of files that are not loaded, by path within the archive. There are some only where somebody else
            dumped it: `mongodump` writes files about views, and newer versions also about themselves.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    release_id: str
    engine: Engine
    database: str
    server_version: str
    cluster_time: ClusterTime
    created_at: datetime
    collections: list[ArchivedCollection]
    other_files: dict[str, str] = {}

    @property
    def digests(self) -> dict[str, str]:
        """The sha256 of every file of the archive except the manifest and its digest, by path within it."""
        return {
            **{collection.file: collection.sha256 for collection in self.collections},
            **{collection.metadata_file: collection.metadata_sha256 for collection in self.collections},
            **self.other_files,
        }

    @property
    def documents(self) -> int:
        return sum(collection.documents for collection in self.collections)

    @property
    def bytes(self) -> int:
        return sum(collection.bytes for collection in self.collections)

    @property
    def file_bytes(self) -> int:
        return sum(collection.file_bytes for collection in self.collections)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of an archive and its digest, durably. The archive's other files exist already."""
    content = manifest.model_dump_json(indent=2).encode()
    digest = hashlib.sha256(content).hexdigest()
    for name, text in ((MANIFEST, content), (MANIFEST_DIGEST, f"{digest}  {MANIFEST}\n".encode())):
        (folder / name).write_bytes(text)
        sync(folder / name)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an archive.

    Raises:
        ArchiveDamaged: it is missing, or is not the one that was written.
    """
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
        recorded = (folder / MANIFEST_DIGEST).read_bytes()
    except FileNotFoundError as error:
        raise ArchiveDamaged(f"{error.filename} is missing: {folder} is not a complete archive. Dump again.") from None
    digest = hashlib.sha256(content).hexdigest()
    if recorded != f"{digest}  {MANIFEST}\n".encode():
        raise ArchiveDamaged(
            f"{path}, or {MANIFEST_DIGEST} beside it, changed since the archive was made: the manifest's sha256 is now "
            f"{digest}. Nothing was loaded. Dump again."
        )
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        raise ArchiveDamaged(f"{path} cannot be read: {error}. Dump again.") from error


def verify(folder: Path, manifest: Manifest) -> None:
    """Check that the archive consists of the files that were dumped and no others, by their sha256.

    A file that was added does not affect a load by this project, but `mongorestore` would restore it too.

    Raises:
        ArchiveDamaged: naming the first file that is missing, changed, or was added.
    """
    present = set(files_of(folder))
    expected = manifest.digests.keys() | {MANIFEST, MANIFEST_DIGEST}
    for name in sorted(expected - present):
        raise ArchiveDamaged(f"{folder / name} is missing. Nothing was loaded. Dump again.")
    for name in sorted(present - expected):
        raise ArchiveDamaged(
            f"{folder / name} is not part of the archive: the manifest does not list it. Nothing was loaded. Find out where "
            "it comes from, remove it, and re-execute the run from this step."
        )
    for name, expected_digest in manifest.digests.items():
        digest = sha256_of(folder / name)
        if digest != expected_digest:
            raise ArchiveDamaged(
                f"{folder / name} is not what was dumped: its sha256 is {digest}, not {expected_digest}. Nothing was "
                "loaded. Dump again."
            )


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


class HashedFile:
    """A file with the sha256 and the size of all that was read from it or written to it."""

    def __init__(self, file: BufferedIOBase) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        return self._count(self._file.read(size))

    def readinto(self, buffer: bytearray | memoryview) -> int:
        count = self._file.readinto(buffer)
        self._count(bytes(memoryview(buffer)[:count]))
        return count

    def write(self, chunk: bytes) -> int:
        self._count(chunk)
        return self._file.write(chunk)

    def flush(self) -> None:
        self._file.flush()

    def read_on(self) -> None:
        """Read the rest, so that the sha256 is that of the whole file."""
        while self.read(_READ_BYTES):
            pass

    def _count(self, chunk: bytes) -> bytes:
        self.digest.update(chunk)
        self.size += len(chunk)
        return chunk


def sync(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def files_of(folder: Path) -> Iterator[str]:
    """Every file below a folder, as a path within it."""
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_dir():
            yield path.relative_to(folder).as_posix()


def write_metadata(path: Path, collection: Collection) -> None:
    """Write a collection's options and indexes as `mongodump --gzip` does."""
    metadata = {
        "options": to_extended_json(dict(collection.options)),
        "indexes": [to_extended_json(dict(index)) for index in collection.indexes],
        "uuid": collection.uuid.hex if collection.uuid else "",
        "collectionName": collection.name,
        "type": collection.kind,
    }
    with gzip.open(path, "wt", encoding="utf-8") as file:
        json.dump(metadata, file)


def to_extended_json(value: dict[str, Any]) -> dict[str, Any]:
    """A document as canonical Extended JSON, ready for a JSON encoder."""
    return dict(json.loads(json_util.dumps(value, json_options=_EXTENDED_JSON)))


def from_extended_json(value: dict[str, Any]) -> dict[str, Any]:
    """The reverse of `to_extended_json`."""
    return dict(json_util.loads(json.dumps(value), json_options=_EXTENDED_JSON))
