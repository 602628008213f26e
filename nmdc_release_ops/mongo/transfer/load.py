"""Loading an archive into a scratch database."""

from pathlib import Path
from typing import Any

from pymongo.database import Database
from pymongo.errors import BulkWriteError

from nmdc_release_ops.mongo.archive.blocks import read_documents, read_runs
from nmdc_release_ops.mongo.archive.manifest import ArchivedCollection, Manifest, verify
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.collections import (
    Collection,
    collection_hashes,
    list_collections,
)
from nmdc_release_ops.mongo.server.comparison import State, compare_collections
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.progress import Progress, Report, silent
from nmdc_release_ops.mongo.server.raw import RawWriter, may_hold_empty_timestamp

# The wire version of MongoDB 5.0. A server of this version or later takes a `commitQuorum`, whatever its feature
# compatibility; a standalone never does.
_MONGODB_5 = 13
# Only valid on the server that the index came from.
_INDEX_PLACE = ("ns",)


class LoadFailed(MongoError):
    """The loaded collections differ from the archive."""


class NotEmpty(LoadFailed):
    """A collection that is to be loaded is not there, or has documents already."""


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
        documents = database[archived.name].count_documents({})
        differing += describe_differences(archived, State(made[archived.name], documents, hashes.get(archived.name)))
    differing += [
        f"{name} is not in the archive" for name in made.keys() - {archived.name for archived in manifest.collections}
    ]
    if differing:
        raise LoadFailed(
            f"The archive {folder} was loaded, and the result is not what was dumped: {'; '.join(differing)}. Re-execute "
            "the run from `dump`."
        )


def describe_differences(archived: ArchivedCollection, found: State) -> list[str]:
    """What differs between a collection of an archive and one that was made of it; for people."""
    # An archive that somebody else dumped holds no hashes.
    was = State(archived.describe(), archived.documents, archived.hash or None)
    return [f"{archived.name} has {difference}" for difference in compare_collections(was, found)]


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

    Each block is verified before it is uncompressed.

    Raises:
        ArchiveDamaged: its file is not what was dumped. The collection is loaded in part.
        LoadFailed: the server refused a document. The collection is loaded in part.
    """
    collection = archived.describe()
    create(database, collection)
    _insert(folder, archived, database, report)
    # Nobody reads the transformer's other members, if it has any.
    create_indexes(database, collection, wait_for_members=False)


def create_empty(manifest: Manifest, database: Database[Document]) -> None:
    """Create every collection of an archive with its options and indexes, and without documents."""
    for archived in manifest.collections:
        collection = archived.describe()
        create(database, collection)
        create_indexes(database, collection, wait_for_members=False)


def load_one(
    folder: Path, archived: ArchivedCollection, database: Database[Document], *, report: Report = silent
) -> str:
    """Load the documents of one collection of an archive into the empty collection of its name, and verify the result; return
    their hash.

    Each block is verified before it is uncompressed. The collection's options stay as they are, and so do its indexes: they
    are dropped before, and created again after the documents, because that is faster.

    Raises:
        ArchiveDamaged: the file is not what was dumped. The collection is loaded in part.
        NotEmpty: there is no such collection, or it has documents.
        LoadFailed: the server refused a document, or the number or the hash of the documents differ after loading.
    """
    name = archived.name
    collection = list_collections(database, [name]).get(name)
    if collection is None or database[name].find_one({}, {"_id": 1}, hint=[("$natural", 1)]) is not None:
        state = "does not exist" if collection is None else "is not empty"
        raise NotEmpty(
            f"{name} cannot be loaded from {folder}: the collection {state}. Re-execute the run from `migrate`."
        )
    database[name].drop_indexes()
    _insert(folder, archived, database, report)
    create_indexes(database, collection, wait_for_members=False)
    documents = database[name].count_documents({})
    found_hash = collection_hashes(database, [name])[name]
    if documents != archived.documents or found_hash != (archived.hash or found_hash):
        raise LoadFailed(
            f"{name} was loaded from {folder}, and the result is not what was dumped: it has {documents} documents with hash "
            f"{found_hash} instead of {archived.documents} with {archived.hash or 'an unknown one'}. Re-execute the run from "
            "`dump`."
        )
    return found_hash


def _insert(folder: Path, archived: ArchivedCollection, database: Database[Document], report: Report) -> None:
    """Insert the documents of a collection, in the archive's order, which migrators see.

    Inserting is a hundred times slower than reading blocks, so blocks are not read ahead.
    """
    writer = RawWriter(database, archived.name)
    try:
        for document in read_documents(folder, archived):
            if writer.add(document):
                report(Progress(archived.name, writer.written, archived.documents))
        writer.flush()
    except BulkWriteError as error:
        raise LoadFailed(f"{archived.name} could not be loaded from {folder / archived.file}: {error}") from error
    report(Progress(archived.name, writer.written, archived.documents))


def may_hold_empty_timestamps(folder: Path, archived: ArchivedCollection) -> bool:
    """`may_hold_empty_timestamp` of a collection of an archive.

    Raises:
        ArchiveDamaged: see `read_runs`.
    """
    return any(
        may_hold_empty_timestamp(run)
        for number in range(1, len(archived.blocks) + 1)
        for run in read_runs(folder, archived, number)
    )
