"""Staging what came out different: the staged collections become what the migrators made, without being written as a whole."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from bson.raw_bson import RawBSONDocument
from pymongo import DeleteOne
from pymongo.database import Database
from pymongo.errors import PyMongoError

from nmdc_release_ops.mongo.archive.blocks import read_documents
from nmdc_release_ops.mongo.archive.manifest import ArchivedCollection
from nmdc_release_ops.mongo.delta.keys import equal_to, key_of, one_of
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.promoting.document_file import write_documents
from nmdc_release_ops.mongo.promoting.staged_documents import StagedDocuments
from nmdc_release_ops.mongo.server.collections import Collection, list_collections
from nmdc_release_ops.mongo.server.comparison import State, compare_collections
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.progress import Progress, Report, silent
from nmdc_release_ops.mongo.server.raw import RAW, RawWriter, read_raw, split
from nmdc_release_ops.mongo.server.renaming import drop_collection
from nmdc_release_ops.mongo.state.generations import STAGED
from nmdc_release_ops.mongo.state.lease import LeaseHeld
from nmdc_release_ops.mongo.transfer.load import create, create_indexes
from nmdc_release_ops.mongo.transfer.stage import Staged, StagingFailed

_AT_ONCE = 1_000


class Differences:
    """What has to be written so that a staged collection becomes the migrated one.

    Attributes:
        documents: those that are new or different, in a file of `folder`.
        deleted: the keys of those that are gone.
        written: how many documents of the staged collection were written or deleted; not those that were as they should be.
    """

    def __init__(self, folder: Path, documents: ArchivedCollection, deleted: Sequence[bytes]) -> None:
        self.folder = folder
        self.documents = documents
        self.deleted = deleted
        self.written = 0

    @property
    def count(self) -> int:
        """How many documents have to be written or deleted."""
        return self.documents.documents + len(self.deleted)

    def read(self) -> Iterator[bytes]:
        """The documents that are new or different, as BSON."""
        return read_documents(self.folder, self.documents)


def find_differences(
    transformer: Database[Document], name: str, staged: StagedDocuments | None, folder: Path
) -> Differences:
    """Compare a collection of the transformer with what is staged of it.

    Args:
        staged: None if everything is to be staged anew.
        folder: for the file of documents.

    Raises:
        FileNotWritten.
        OSError: the disk is full, for example.
    """

    def documents() -> Iterator[bytes]:
        for run in read_raw(transformer[name]):
            yield from split(run)

    if staged is None:
        return Differences(folder, write_documents(folder, name, documents()), [])
    before = staged.count(name)
    changed = write_documents(folder, name, staged.differing(name, documents()))
    gone = staged.others(name, map(key_of, documents())) if staged.matched < before else []
    return Differences(folder, changed, gone)


def stage_differences(
    origin: Database[Document],
    source: Collection,
    differences: Differences,
    staged: StagedDocuments,
    hash_: str,
    *,
    check: Callable[[], None] = lambda: None,
    report: Report = silent,
) -> Staged:
    """Write the differences to the staged collection, which is created if it is missing, and compare what was written.

    Args:
        source: the migrated collection.
        staged: what is staged now; it is kept up to date.
        hash_: `dbHash` of the migrated collection.
        check: called before each write, and may raise to stop there.

    Raises:
        StagingFailed: the origin refused documents or indexes, or has others than were written.
        FileNotWritten.
    """
    name = STAGED + source.name
    found = list_collections(origin, [name]).get(name)
    try:
        if found is None:
            _create(origin, source, differences, staged, check, report)
        elif differences.count:
            _update(origin, source.name, differences, staged, check, report)
    except (PyMongoError, MongoError) as error:
        if isinstance(error, StagingFailed | LeaseHeld):
            raise
        raise StagingFailed(
            f"{source.name} could not be staged on the origin: {error}. Its live collections are unchanged. Correct the cause "
            "and re-execute the run from this step."
        ) from error
    created = list_collections(origin, [name]).get(name)
    if created is None or created.uuid is None:
        raise StagingFailed(
            f"{source.name} was staged, but the origin has no collection {name}. Its live collections are unchanged. Re-execute "
            "the run from `catch_up`."
        )
    if wrong := compare_collections(State(source), State(created)):
        raise StagingFailed(
            f"The staged collection of {source.name} has another definition than the migrated one ({wrong[0]}). Its live "
            "collections are unchanged. Re-execute the run from `catch_up`."
        )
    return Staged(
        name=source.name,
        uuid=created.uuid,
        documents=staged.count(source.name),
        indexes=len(created.indexes),
        hash=hash_,
    )


def require_same(origin: Database[Document], staged: Sequence[Staged]) -> None:
    """Make sure that the staged collections are those that were staged, with as many indexes.

    Raises:
        StagingFailed
    """
    found = list_collections(origin, [STAGED + one.name for one in staged])
    for one in staged:
        present = found.get(STAGED + one.name)
        if present is None or not one.is_same(present):
            raise StagingFailed(
                f"Somebody else dropped or replaced {STAGED}{one.name}, or changed its indexes, since it was staged. The "
                "origin's live collections are unchanged. Re-execute the run from `catch_up`, which stages again."
            )


def drop_staged_one(origin: Database[Document], name: str, staged: StagedDocuments) -> None:
    """Drop the staged collection of `name`, if there is one.

    Raises:
        FileNotWritten.
    """
    for one in list_collections(origin, [STAGED + name]).values():
        if one.uuid is not None:
            drop_collection(origin, one.uuid, STAGED + name)
    staged.drop(name)


def has_definition(origin: Database[Document], source: Collection) -> bool:
    """Whether the staged collection is there, with the options and indexes of the migrated one."""
    found = list_collections(origin, [STAGED + source.name]).get(STAGED + source.name)
    return found is not None and not compare_collections(State(source), State(found))


def _create(
    origin: Database[Document],
    source: Collection,
    differences: Differences,
    staged: StagedDocuments,
    check: Callable[[], None],
    report: Report,
) -> None:
    check()
    staged.drop(source.name)
    create(origin, source, STAGED + source.name)
    for _ in _insert(origin, source.name, differences, staged, check, report):
        pass
    create_indexes(origin, source, STAGED + source.name)
    verify_staged(origin, source.name, staged)


def _update(
    origin: Database[Document],
    name: str,
    differences: Differences,
    staged: StagedDocuments,
    check: Callable[[], None],
    report: Report,
) -> None:
    collection = origin.get_collection(STAGED + name, codec_options=RAW)
    # All of them before the first is written: an `_id` may have become another one that the server holds for equal, and what a
    # unique index has of one may be another's now.
    keys = chain(differences.deleted, map(key_of, differences.read()))
    while some_keys := list(islice(keys, _AT_ONCE)):
        check()
        staged.forget(name, some_keys)
        deletions = [DeleteOne(equal_to(key)) for key in some_keys]
        differences.written += collection.bulk_write(deletions, ordered=False).deleted_count
    staged.note(name, [], differences.deleted)
    for some in _insert(origin, name, differences, staged, check, report):
        verify_staged(origin, name, staged, [key_of(document) for document in some])


def _insert(
    origin: Database[Document],
    name: str,
    differences: Differences,
    staged: StagedDocuments,
    check: Callable[[], None],
    report: Report,
) -> Iterator[list[bytes]]:
    """Insert the documents, which are not there; give those that were inserted, some at a time."""
    writer = RawWriter(origin, STAGED + name)
    documents = differences.read()
    while some := list(islice(documents, _AT_ONCE)):
        check()
        staged.forget(name, map(key_of, some))
        for document in some:
            writer.add(document)
        writer.flush()
        differences.written += len(some)
        staged.note(name, some, [])
        report(Progress(name, differences.written, max(differences.written, differences.count)))
        yield some


def verify_staged(
    origin: Database[Document],
    name: str,
    staged: StagedDocuments,
    keys: Sequence[bytes] | None = None,
    report: Report = silent,
) -> None:
    """Read staged documents, and compare each with what was migrated and validated.

    Args:
        keys: of those to read; None for all, and then their number is compared too.

    Raises:
        StagingFailed
    """
    condition = {} if keys is None else one_of(keys)
    collection = origin.get_collection(STAGED + name, codec_options=RAW)
    expected = staged.count_noted(name) if keys is None else len(keys)

    def documents() -> Iterator[bytes]:
        done = 0
        for run in read_raw(collection, filter=condition):
            for document in split(run):
                done += 1
                yield document
            report(Progress(name, done, max(done, expected)))

    wrong = next(staged.unlike(name, documents()), None)
    if wrong is not None or staged.matched != expected:
        what = (
            f"it has {staged.matched:,} documents instead of {expected:,}"
            if wrong is None
            else f"the document {RawBSONDocument(wrong, RAW)['_id']!r} is another one"
        )
        raise StagingFailed(
            f"The staged collection of {name} is not what was migrated and validated: {what}. Somebody else wrote to "
            f"{STAGED}{name}. The origin's live collections are unchanged. Re-execute the run from `catch_up`, which stages "
            "again."
        )
