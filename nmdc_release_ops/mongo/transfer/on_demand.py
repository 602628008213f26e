"""Loading an archive on demand: a scratch database begins with empty collections, and gets the documents of those in use."""

from pathlib import Path

from pymongo.database import Database

from nmdc_release_ops.mongo.archive.manifest import ArchivedCollection, Manifest
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.collections import Collection, list_collections
from nmdc_release_ops.mongo.server.comparison import State, digest_definition
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.progress import Report, silent
from nmdc_release_ops.mongo.transfer.load import LoadFailed, NotEmpty, create_empty, describe_differences, load_one


class UsedUnloaded(MongoError):
    """A collection was changed in the scratch database although its documents had not been requested."""


class PartialLoad:
    """A scratch database that holds the documents of some collections of an archive.

    Attributes:
        unloaded: the collections whose documents only the archive holds, by name. In the scratch database they are empty.
        hashes_when_loaded: the server's hash of each collection that `load` loaded, as it was then.
    """

    def __init__(
        self, folder: Path, manifest: Manifest, database: Database[Document], *, loaded: bool, report: Report = silent
    ) -> None:
        """Describe a database that holds all documents of an archive, or none of them.

        Args:
            loaded: whether it holds them.
        """
        self._folder = folder
        self._database = database
        self._report = report
        self._archived = {archived.name: archived for archived in manifest.collections}
        self._created = list_collections(database, self._archived)
        self.unloaded: dict[str, ArchivedCollection] = {} if loaded else dict(self._archived)
        self._loaded = set(self._archived) if loaded else set()
        self.hashes_when_loaded: dict[str, str] = {}

    @classmethod
    def begin(
        cls, folder: Path, manifest: Manifest, database: Database[Document], *, report: Report = silent
    ) -> "PartialLoad":
        """Create every collection of an archive, with its options and indexes and without documents, in `database`, which is
        emptied first.

        Raises:
            LoadFailed: options or indexes differ.
        """
        database.client.drop_database(database.name)
        create_empty(manifest, database)
        _require_definitions(folder, manifest, database)
        return cls(folder, manifest, database, loaded=False, report=report)

    @property
    def hashes(self) -> dict[str, str]:
        """What identifies the documents of each collection that is not loaded: usually the origin's hash."""
        return {name: archived.identity for name, archived in self.unloaded.items()}

    def describe(self) -> str:
        """One line for people."""
        documents = sum(self._archived[name].documents for name in self._loaded)
        everything = sum(archived.documents for archived in self._archived.values())
        return f"{len(self._loaded)} of {len(self._archived)} collections, {documents:,} of {everything:,} documents were loaded"

    def load(self, name: str) -> None:
        """Load the documents of a collection unless they are, and prove that they are those that were dumped.

        Raises:
            UsedUnloaded: the collection was changed or dropped before.
            ArchiveDamaged, LoadFailed.
        """
        if (archived := self.unloaded.get(name)) is None:
            return
        try:
            found_hash = load_one(self._folder, archived, self._database, report=self._report)
        except NotEmpty as error:
            raise _used_unloaded(name) from error
        del self.unloaded[name]
        self._loaded.add(name)
        self.hashes_when_loaded[name] = found_hash

    def count_documents(self, name: str) -> int:
        """How many documents a collection has, in the archive if it is not loaded."""
        if name in self.unloaded:
            return self.unloaded[name].documents
        return self._database[name].count_documents({})

    def settle(self) -> None:
        """Forget the collections that a migrator deleted without loading them.

        Raises:
            UsedUnloaded: a collection that is not loaded has documents, or another name or definition than it had.
        """
        found = list_collections(self._database)
        present = {collection.uuid for collection in found.values()}
        for name in list(self.unloaded):
            created, now = self._created[name], found.get(name)
            if created.uuid not in present:
                del self.unloaded[name]
            elif now is None or not self._is_as_created(created, now):
                raise _used_unloaded(name)

    def _is_as_created(self, created: Collection, now: Collection) -> bool:
        return (
            digest_definition(created) == digest_definition(now)
            and self._database[now.name].find_one({}, projection={"_id": 1}) is None
        )


def _used_unloaded(name: str) -> UsedUnloaded:
    return UsedUnloaded(
        f"{name} was renamed or changed in the transformer before its documents were loaded: a migrator does not use the "
        "adapter for everything."
    )


def _require_definitions(folder: Path, manifest: Manifest, database: Database[Document]) -> None:
    created = list_collections(database)
    differing = [
        difference
        for archived in manifest.collections
        for difference in describe_differences(archived, State(created[archived.name]))
    ]
    if differing:
        raise LoadFailed(
            f"The collections of the archive {folder} were created, and are not what was dumped: {'; '.join(differing)}. "
            "Re-execute the run from `dump`."
        )
