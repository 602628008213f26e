"""The archive: a dump on disk, in `mongodump`'s directory layout with a manifest beside it.

    FOLDER/manifest.json
    FOLDER/manifest.json.sha256
    FOLDER/DATABASE/COLLECTION.bson.gz
    FOLDER/DATABASE/COLLECTION.metadata.json.gz
    FOLDER/oplog.bson                  only where people wrote during the dump

COLLECTION.bson.gz is a series of blocks: whole documents, one gzip member each, listed in the manifest. Every gzip reader takes
them for one file, so people can restore an archive with plain `mongorestore --gzip`. Loading it with this project also proves
that it is complete and unchanged: the manifest holds the sha256 of every block and of every other file, and
`manifest.json.sha256` that of the manifest.
"""

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from nmdc_release_ops.files import sha256_of, sync
from nmdc_release_ops.mongo.archive.metadata import from_extended_json
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.collections import Collection

MANIFEST = "manifest.json"
MANIFEST_DIGEST = "manifest.json.sha256"
FORMAT = 2
"""Of the manifests that are written. Those of format 1 list no blocks."""


class ArchiveDamaged(MongoError):
    """A file of an archive is missing, changed, or not listed in the manifest."""


class ArchiveTooNew(ArchiveDamaged):
    """The archive was written by a newer version of this project."""


class Engine(StrEnum):
    """The program that reads and writes the documents."""

    NATIVE = "native"
    """The driver, with documents as raw bytes."""
    MONGO_TOOLS = "mongo-tools"
    """`mongodump` and `mongorestore`."""


class Block(BaseModel):
    """A part of a collection's file that can be read alone: whole documents, one gzip member.

    In a file that another program wrote, a block may be the whole file, of any size and of several members.

    Attributes:
        offset: of its first byte in the file.
        size: in the file, compressed, in bytes.
        documents: how many.
        bytes: of BSON, uncompressed.
        sha256: of its compressed bytes.
    """

    model_config = ConfigDict(frozen=True)

    offset: int
    size: int
    documents: int
    bytes: int
    sha256: str


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
            somebody else dumped it, or because it was dumped while people wrote: `dbHash` would have blocked them.
        options: as `create` takes them, in canonical Extended JSON.
        indexes: as `listIndexes` gives them, in canonical Extended JSON.
        blocks: of `file`, in its order, without gaps. By default one block, which is the whole file.
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
    blocks: list[Block] = []

    @model_validator(mode="before")
    @classmethod
    def _take_the_file_for_one_block(cls, values: Any) -> Any:
        if isinstance(values, dict) and "blocks" not in values:
            known = {key: values.get(key) for key in ("documents", "bytes", "sha256")}
            return {**values, "blocks": [{"offset": 0, "size": values.get("file_bytes"), **known}]}
        return values

    @model_validator(mode="after")
    def _require_that_blocks_fit(self) -> Self:
        if not self.blocks:
            raise ValueError(f"no blocks of {self.name} are listed")
        end = 0
        for number, block in enumerate(self.blocks, 1):
            if min(block.size, block.documents, block.bytes) < 0:
                raise ValueError(f"block {number} of {len(self.blocks)} of {self.name} holds less than nothing")
            if block.offset != end:
                raise ValueError(
                    f"block {number} of {len(self.blocks)} of {self.name} begins at byte {block.offset} of {self.file}, and the "
                    f"one before it ends at byte {end}"
                )
            end += block.size
        for what, found, expected in (
            ("compressed bytes", end, self.file_bytes),
            ("documents", sum(block.documents for block in self.blocks), self.documents),
            ("bytes", sum(block.bytes for block in self.blocks), self.bytes),
        ):
            if found != expected:
                raise ValueError(f"the blocks of {self.name} have {found} {what}, and the collection has {expected}")
        return self

    @property
    def identity(self) -> str:
        """Identifies the documents: the server's hash, or where it is not known the sha256 of the file."""
        return self.hash or f"sha256:{self.sha256}"

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
        cluster_time: the moment whose state the archive holds.
        was_frozen: whether the database was frozen while it was dumped. Otherwise people wrote, and the archive was brought to
            the state of one moment afterwards.
        other_files: sha256 of files that are not loaded, by path within the archive: `oplog.bson` of a database that was not
            frozen. Where somebody else dumped it: `mongodump` writes files about views, and newer versions also about
            themselves.
    """

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    release_id: str
    engine: Engine
    database: str
    server_version: str
    cluster_time: ClusterTime
    created_at: datetime
    was_frozen: bool = True
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
        ArchiveDamaged: it is missing, is not the one that was written, or lists blocks that do not fit together.
        ArchiveTooNew: it was written by a newer version of this project.
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
        written_in = int(json.loads(content).get("format", 0))
        if written_in > FORMAT:
            raise ArchiveTooNew(
                f"The archive {folder} has format {written_in}, and this version of nmdc-release-ops reads formats up to "
                f"{FORMAT}: a newer version wrote it. Nothing was loaded. Use that version, or dump again with this one."
            )
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ArchiveDamaged(f"{path} cannot be read: {faults}. Nothing was loaded. Dump again.") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ArchiveDamaged(f"{path} cannot be read: {error}. Nothing was loaded. Dump again.") from error


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


def files_of(folder: Path) -> Iterator[str]:
    """Every file below a folder, as a path within it."""
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_dir():
            yield path.relative_to(folder).as_posix()
