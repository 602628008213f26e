"""The archive: a dump on disk, in `mongodump`'s directory layout with a manifest beside it.

    FOLDER/manifest.json
    FOLDER/DATABASE/COLLECTION.bson.gz
    FOLDER/DATABASE/COLLECTION.metadata.json.gz

People can restore one with plain `mongorestore --gzip`; loading it with this project also proves, from the
manifest, that it is whole.
"""

import gzip
import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from bson import json_util
from pydantic import BaseModel, ConfigDict, ValidationError

from nmdc_release_ops.mongo.clock import ClusterTime
from nmdc_release_ops.mongo.collections import Collection
from nmdc_release_ops.mongo.errors import MongoError

MANIFEST = "manifest.json"
_READ_BYTES = 4 * 1024 * 1024
# What mongodump leaves as it is in the name of a file.
_UNESCAPED = "$&+,:;=@"


class ArchiveDamaged(MongoError):
    """A file of an archive is missing, shorter, longer or other than the manifest says."""


class ArchivedCollection(BaseModel):
    """One collection of an archive.

    Attributes:
        documents: how many.
        bytes: of BSON, uncompressed.
        file: the documents, relative to the archive's folder.
        file_bytes: size of that file, compressed.
        sha256: of that file.
        hash: the server's `dbHash` of the collection when it was dumped.
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
    hash: str
    options: dict[str, Any]
    indexes: list[dict[str, Any]]

    def describe(self) -> Collection:
        """The collection as it was, to be made again."""
        return Collection(
            name=self.name,
            kind="collection",
            uuid=None,
            options=from_extended_json(self.options),
            indexes=tuple(from_extended_json(index) for index in self.indexes),
        )


class Manifest(BaseModel):
    """What an archive holds, and where it came from."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    release_id: str
    engine: Literal["native", "mongo-tools"]
    database: str
    server_version: str
    cluster_time: ClusterTime
    created_at: datetime
    collections: list[ArchivedCollection]

    @property
    def documents(self) -> int:
        return sum(collection.documents for collection in self.collections)

    @property
    def bytes(self) -> int:
        return sum(collection.bytes for collection in self.collections)

    @property
    def file_bytes(self) -> int:
        return sum(collection.file_bytes for collection in self.collections)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an archive.

    Raises:
        ArchiveDamaged: if there is none that can be read.
    """
    path = folder / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ArchiveDamaged(f"{path} is missing: {folder} is no complete archive. Dump again.") from None
    except ValidationError as error:
        raise ArchiveDamaged(f"{path} cannot be read: {error}. Dump again.") from error


def verify(folder: Path, collections: Iterable[ArchivedCollection]) -> None:
    """Check that the files are the ones that were dumped, by length and sha256.

    Raises:
        ArchiveDamaged: naming the first file that is not.
    """
    for collection in collections:
        path = folder / collection.file
        digest = hashlib.sha256()
        try:
            length = path.stat().st_size
            if length != collection.file_bytes:
                raise ArchiveDamaged(
                    f"{path} has {length:,} bytes, not {collection.file_bytes:,} as when it was dumped. Nothing was "
                    "loaded from it. Dump again."
                )
            with path.open("rb") as file:
                while chunk := file.read(_READ_BYTES):
                    digest.update(chunk)
        except FileNotFoundError:
            raise ArchiveDamaged(f"{path} is missing. Nothing was loaded. Dump again.") from None
        if digest.hexdigest() != collection.sha256:
            raise ArchiveDamaged(
                f"{path} is not what was dumped: its sha256 is {digest.hexdigest()}, not {collection.sha256}. Nothing "
                "was loaded from it. Dump again."
            )


def file_name(database: str, collection: str, ending: str) -> str:
    """Path of a collection's file within an archive, as `mongodump --gzip` spells it."""
    return f"{quote(database, safe=_UNESCAPED)}/{quote(collection, safe=_UNESCAPED)}.{ending}.gz"


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
    return dict(json.loads(json_util.dumps(value, json_options=json_util.CANONICAL_JSON_OPTIONS)))


def from_extended_json(value: dict[str, Any]) -> dict[str, Any]:
    """The reverse of `to_extended_json`."""
    return dict(json_util.loads(json.dumps(value), json_options=json_util.CANONICAL_JSON_OPTIONS))
