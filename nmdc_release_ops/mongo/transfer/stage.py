"""Staging: a collection is written beside the live one, and verified to be what was validated, before any swap."""

from typing import Protocol
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from pymongo.database import Database
from pymongo.errors import PyMongoError

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.collections import (
    Collection,
    collection_hashes,
    collection_size,
    list_collections,
)
from nmdc_release_ops.mongo.server.comparison import State, compare_collections
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.progress import Progress, Report, silent
from nmdc_release_ops.mongo.server.raw import RawWriter, read_raw, split
from nmdc_release_ops.mongo.server.renaming import drop_collection
from nmdc_release_ops.mongo.state.generations import STAGED
from nmdc_release_ops.mongo.state.lease import LeaseLost
from nmdc_release_ops.mongo.transfer.load import create, create_indexes


class StagingFailed(MongoError):
    """A staged collection is not the one that was validated, or could not be written."""


class Staged(BaseModel):
    """A collection beside the live one, ready to take its place.

    Attributes:
        uuid: of the collection that was verified; only that one is swapped in.
        hash: the server's hash of it, equal to the one of the validated collection.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    uuid: UUID
    documents: int
    indexes: int
    hash: str

    def is_same(self, found: Collection) -> bool:
        """Whether a collection is this one, with as many indexes."""
        return found.uuid == self.uuid and len(found.indexes) == self.indexes


class Copy(Protocol):
    """Copies the documents and indexes of a collection of the transformer to a name that is free in the origin."""

    def __call__(self, source: Collection, staged_name: str) -> None: ...


def stage(
    transformer: Database[Document],
    origin: Database[Document],
    name: str,
    expected_hash: str,
    *,
    report: Report = silent,
) -> Staged:
    """Copy the collection `name` of the transformer, with the driver, into the origin under its staged name, and verify it.

    Arguments and errors as `stage_with`.
    """

    total = collection_size(transformer, name).documents

    def copy(source: Collection, staged_name: str) -> None:
        create(origin, source, staged_name)
        writer = RawWriter(origin, staged_name)
        for run in read_raw(transformer[name]):
            for document in split(run):
                if writer.add(document):
                    report(Progress(name, writer.written, max(total, writer.written)))
        writer.flush()
        report(Progress(name, writer.written, writer.written))
        create_indexes(origin, source, staged_name)

    return stage_with(copy, transformer, origin, name, expected_hash)


def stage_with(
    copy: Copy, transformer: Database[Document], origin: Database[Document], name: str, expected_hash: str
) -> Staged:
    """Copy the collection `name` of the transformer into the origin under its staged name, and verify it.


    A collection that an earlier attempt left under that name is dropped first.

    Args:
        copy: copies the documents and indexes.
        expected_hash: `dbHash` of the collection that was validated.

    Raises:
        StagingFailed: the origin refused documents or indexes, or counts, hash, options or indexes differ.
    """
    staged_name = STAGED + name
    source = list_collections(transformer, [name]).get(name)
    if source is None:
        raise StagingFailed(f"The transformer no longer has a collection {name}. Re-execute the run from `migrate`.")
    total = transformer[name].count_documents({})
    try:
        for left in list_collections(origin, [staged_name]).values():
            if left.uuid is not None:
                drop_collection(origin, left.uuid, staged_name)
        copy(source, staged_name)
    except LeaseLost:
        raise
    except (PyMongoError, MongoError) as error:
        raise StagingFailed(
            f"{name} could not be staged on the origin: {error}. Its live collections are unchanged. Correct the cause "
            "and re-execute the run from `restore`."
        ) from error
    created = list_collections(origin, [staged_name]).get(staged_name)
    if created is None or created.uuid is None:
        raise StagingFailed(
            f"{name} was staged, but the origin has no collection {staged_name}. Its live collections are unchanged. Re-execute "
            "the run from `restore`."
        )
    found_hash = collection_hashes(origin, [staged_name])[staged_name]
    documents = origin[staged_name].count_documents({})
    differences = compare_collections(State(source, total, expected_hash), State(created, documents, found_hash))
    if differences:
        found = "; ".join(
            f"{name} was validated with {one.what} {one.before} and staged with {one.now}" for one in differences
        )
        raise StagingFailed(f"{found}. The origin's live collections are unchanged. Re-execute the run from `migrate`.")
    return Staged(name=name, uuid=created.uuid, documents=documents, indexes=len(created.indexes), hash=found_hash)
