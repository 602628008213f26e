"""Loading an archive into a scratch database."""

from collections.abc import Iterator
from pathlib import Path

from isal import igzip
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from nmdc_release_ops.mongo.archive import (
    ArchiveDamaged,
    ArchivedCollection,
    Manifest,
    verify,
)
from nmdc_release_ops.mongo.collections import Collection, collection_hashes
from nmdc_release_ops.mongo.connection import Document
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.progress import Progress, Report, silent
from nmdc_release_ops.mongo.raw import RawWriter

_READ_BYTES = 4 * 1024 * 1024
# Decided by the server when it makes the collection, or only true of the server it came from.
_INDEX_PLACE = ("ns",)


class LoadFailed(MongoError):
    """What was loaded is not what the archive holds."""


def load(folder: Path, manifest: Manifest, database: Database[Document], *, report: Report = silent) -> None:
    """Load a whole archive into `database`, which is emptied first, and prove that it is the same.

    Raises:
        ArchiveDamaged: a file is not what was dumped; nothing of the archive has been loaded then.
        LoadFailed: counts or hashes differ after loading.
    """
    verify(folder, manifest.collections)
    database.client.drop_database(database.name)
    for archived in sorted(manifest.collections, key=lambda archived: -archived.bytes):
        _load_collection(folder, archived, database, report)
    hashes = collection_hashes(database, [archived.name for archived in manifest.collections])
    differing = [archived.name for archived in manifest.collections if hashes.get(archived.name) != archived.hash]
    if differing:
        raise LoadFailed(
            f"{', '.join(differing)} came out of the archive {folder} other than the origin hashed them. Re-execute "
            "the run from `dump`."
        )


def create(database: Database[Document], collection: Collection, name: str | None = None) -> None:
    """Make an empty collection with the options of `collection`, called `name` where that is given.

    Its indexes are for `create_indexes`, once the documents are in.
    """
    database.command("create", name or collection.name, **dict(collection.options))


def create_indexes(database: Database[Document], collection: Collection, name: str | None = None) -> None:
    """Make the indexes of `collection` on the collection `name`, all in one scan."""
    indexes = [
        {key: value for key, value in index.items() if key not in _INDEX_PLACE}
        for index in collection.indexes
        if index["name"] != "_id_"
    ]
    if indexes:
        database.command("createIndexes", name or collection.name, indexes=indexes)


def _load_collection(folder: Path, archived: ArchivedCollection, database: Database[Document], report: Report) -> None:
    collection = archived.describe()
    create(database, collection)
    writer = RawWriter(database, collection.name)
    path = folder / archived.file
    try:
        for document in read_documents(path):
            if writer.add(document):
                report(Progress(archived.name, writer.written, archived.documents))
        writer.flush()
    except BulkWriteError as error:
        raise LoadFailed(f"{archived.name} could not be loaded from {path}: {error}") from error
    if writer.written != archived.documents:
        raise ArchiveDamaged(f"{path} holds {writer.written:,} documents, not {archived.documents:,}. Dump again.")
    report(Progress(archived.name, writer.written, archived.documents))
    create_indexes(database, collection)


def read_documents(path: Path) -> Iterator[bytes]:
    """Each document of a file of an archive, compressed or not, as BSON.

    Raises:
        ArchiveDamaged: if the file ends within a document.
    """
    opened = igzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
    with opened as file:
        rest = b""
        while chunk := file.read(_READ_BYTES):
            run = rest + chunk if rest else chunk
            position = 0
            length = len(run)
            while length - position >= 4:
                end = position + int.from_bytes(run[position : position + 4], "little")
                if end > length or end <= position:
                    break
                yield run[position:end]
                position = end
            rest = run[position:]
        if rest:
            raise ArchiveDamaged(f"{path} ends in the middle of a document. Dump again.")
