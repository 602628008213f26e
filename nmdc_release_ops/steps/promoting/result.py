"""What the migrators made, as a round sees it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pymongo.database import Database

from nmdc_release_ops.mongo.archive.blocks import read_documents
from nmdc_release_ops.mongo.archive.manifest import ArchivedCollection
from nmdc_release_ops.mongo.difference.changes import ChangeSet
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.raw import read_raw, split


@dataclass(frozen=True)
class Result:
    """What the migrators made, in this round or an earlier one.

    Attributes:
        touched: the archive's collections that they used, in this migration or an earlier one.
        collections: describes the archive's files that they began with.
        folder: of these files; those of touched collections are brought up.
        database: on the transformer.
        unloaded: the collections whose documents it does not hold.
    """

    changes: ChangeSet
    touched: frozenset[str]
    collections: Sequence[ArchivedCollection]
    folder: Path
    database: Database[Document]
    unloaded: frozenset[str]

    @property
    def held(self) -> frozenset[str]:
        """The collections whose documents the transformer holds."""
        return frozenset(self.changes.names_after) - self.unloaded

    def name_of(self, archived: str) -> str | None:
        """What a collection of the archive is called in the result; None if it is not there any more."""
        renamed = {rename.old: rename.new for rename in self.changes.renamed}
        return None if archived in self.changes.deleted else renamed.get(archived, archived)

    def placed_anew(self, before: ChangeSet) -> set[str]:
        """The collections that need not be staged, and were staged, missing or others in an earlier result."""
        return {name for name, old in self.changes.kept.items() if before.kept.get(name) != old}

    def read(self, name: str) -> Iterator[bytes]:
        """Every document of a touched collection, as BSON.

        Raises:
            ArchiveDamaged
        """
        if name in self.held:
            yield from (document for run in read_raw(self.database[name]) for document in split(run))
            return
        for archived in self.collections:
            if archived.name == name:
                yield from read_documents(self.folder, archived)
