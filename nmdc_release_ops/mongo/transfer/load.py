"""Loading an archive into a scratch database."""

from collections.abc import Iterator
from gzip import BadGzipFile
from pathlib import Path
from typing import Any, cast

from isal import igzip, igzip_lib
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.collections import (
    Collection,
    collection_hashes,
    list_collections,
)
from nmdc_release_ops.mongo.server.comparison import State, compare_collections
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.progress import Progress, Report, silent
from nmdc_release_ops.mongo.server.raw import BrokenBson, RawWriter, may_hold_empty_timestamp, split_stream
from nmdc_release_ops.mongo.transfer.archive import (
    ArchiveDamaged,
    ArchivedCollection,
    HashedFile,
    Manifest,
    verify,
)

_READ_BYTES = 4 * 1024 * 1024
# The wire version of MongoDB 5.0. A server of this version or later takes a `commitQuorum`, whatever its feature
# compatibility; a standalone never does.
_MONGODB_5 = 13
# The library's stubs declare its exception class as an instance.
_NOT_GZIPPED = (EOFError, BadGzipFile, cast("type[Exception]", igzip_lib.IsalError))
# Only valid on the server that the index came from.
_INDEX_PLACE = ("ns",)


class LoadFailed(MongoError):
    """The loaded collections differ from the archive."""


def load(folder: Path, manifest: Manifest, database: Database[Document], *, report: Report = silent) -> None:
    """Load a whole archive into `database`, which is emptied first, with the driver, and verify the result.

    Raises:
        ArchiveDamaged: a file is not what was dumped. Nothing was loaded, unless the file changed after it was verified.
        LoadFailed: counts, hashes, options or indexes differ after loading.
    """
    verify(folder, manifest)
    database.client.drop_database(database.name)
    for archived in sorted(manifest.collections, key=lambda archived: -archived.bytes):
        load_collection(folder, archived, database, report=report)
    prove(folder, manifest, database)


def prove(folder: Path, manifest: Manifest, database: Database[Document]) -> None:
    """Compare a database with the archive that was loaded into it.

    Raises:
        LoadFailed: naming the collections that differ, and in what.
    """
    made = list_collections(database)
    hashes = collection_hashes(database, made)
    differing = []
    for archived in manifest.collections:
        if archived.name not in made:
            differing.append(f"{archived.name} is missing")
            continue
        # An archive that somebody else dumped holds no hashes.
        was = State(archived.describe(), archived.documents, archived.hash or None)
        documents = database[archived.name].count_documents({})
        loaded = State(made[archived.name], documents, hashes.get(archived.name))
        differing += [f"{archived.name} has {difference}" for difference in compare_collections(was, loaded)]
    differing += [
        f"{name} is not in the archive" for name in made.keys() - {archived.name for archived in manifest.collections}
    ]
    if differing:
        raise LoadFailed(
            f"The archive {folder} was loaded, and the result is not what was dumped: {'; '.join(differing)}. Re-execute "
            "the run from `dump`."
        )


def create(database: Database[Document], collection: Collection, name: str | None = None) -> None:
    """Create an empty collection with the options of `collection`, named `name` if given.

    `create_indexes` adds its indexes after the documents.
    """
    database.command("create", name or collection.name, **dict(collection.options))


def create_indexes(
    database: Database[Document], collection: Collection, name: str | None = None, *, wait_for_members: bool = True
) -> None:
    """Create the indexes of `collection` on the collection `name`, all in one scan.

    Args:
        wait_for_members: whether all voting members of the replica set must have built them. Even a set of one node takes
            a tenth of a second for that, for each collection that has documents.
    """
    # An index that compares by bytes is listed without a collation; created so, it would inherit the collection's.
    collation = {"collation": {"locale": "simple"}} if "collation" in collection.options else {}
    indexes = [
        {**collation, **{key: value for key, value in index.items() if key not in _INDEX_PLACE}}
        for index in collection.indexes
        # The server creates both with the collection.
        if index["name"] != "_id_" and not index.get("clustered")
    ]
    if indexes:
        database.command(
            "createIndexes",
            name or collection.name,
            indexes=indexes,
            **({} if wait_for_members else _no_quorum(database)),
        )


def _no_quorum(database: Database[Document]) -> dict[str, Any]:
    hello = database.command("hello")
    return {"commitQuorum": 0} if "setName" in hello and hello["maxWireVersion"] >= _MONGODB_5 else {}


def load_collection(
    folder: Path, archived: ArchivedCollection, database: Database[Document], *, report: Report = silent
) -> None:
    """Load one collection of an archive into a database that does not have it, with the driver, without verifying the result.

    Raises:
        ArchiveDamaged: its file changed after it was verified, or cannot be read.
        LoadFailed: the server refused a document.
    """
    collection = archived.describe()
    create(database, collection)
    writer = RawWriter(database, collection.name)
    path = folder / archived.file
    try:
        with path.open("rb") as opened:
            file = HashedFile(opened)
            for document in read_documents(file, path):
                if writer.add(document):
                    report(Progress(archived.name, writer.written, archived.documents))
            writer.flush()
            file.read_on()
    except BulkWriteError as error:
        raise LoadFailed(f"{archived.name} could not be loaded from {path}: {error}") from error
    if (file.digest.hexdigest(), writer.written) != (archived.sha256, archived.documents):
        raise ArchiveDamaged(
            f"{path} changed after it was verified and while it was loaded. Find out who writes to it, and dump again."
        )
    report(Progress(archived.name, writer.written, archived.documents))
    # Nobody reads the transformer's other members, if it has any.
    create_indexes(database, collection, wait_for_members=False)


def read_documents(file: HashedFile, path: Path) -> Iterator[bytes]:
    """Each document of a file of an archive, as BSON.

    Args:
        file: at its start, gzipped.
        path: for errors.

    Raises:
        ArchiveDamaged: it is not gzipped, or ends within a document.
    """
    try:
        yield from split_stream(_uncompress(file, path))
    except BrokenBson as error:
        raise ArchiveDamaged(f"{path} {error}. Dump again.") from error


def file_may_hold_empty_timestamp(path: Path) -> bool:
    """`may_hold_empty_timestamp` of a file of an archive.

    Raises:
        ArchiveDamaged: it is not gzipped.
    """
    rest = b""
    with path.open("rb") as opened:
        for chunk in _uncompress(HashedFile(opened), path):
            run = rest + chunk
            if may_hold_empty_timestamp(run):
                return True
            # Keep what could be the start of one: the zeros follow a field's name, which holds none.
            rest = run[run.rstrip(b"\0").rfind(b"\0") + 1 :]
    return False


def _uncompress(file: HashedFile, path: Path) -> Iterator[bytes]:
    try:
        with igzip.IGzipFile(fileobj=file, mode="rb") as uncompressed:
            while chunk := uncompressed.read(_READ_BYTES):
                yield chunk
    except _NOT_GZIPPED as error:
        raise ArchiveDamaged(f"{path} cannot be decompressed: {error}. Dump again.") from error
