"""What the migrators made of the origin, as it is compared, validated and staged."""

from collections.abc import Sequence
from dataclasses import dataclass

from pymongo.database import Database

from nmdc_release_ops.mongo.archive.manifest import ArchivedCollection
from nmdc_release_ops.mongo.difference.changes import ChangeSet
from nmdc_release_ops.mongo.server.connection import Document


@dataclass(frozen=True)
class Result:
    """What the migrators made, in this round or an earlier one.

    Attributes:
        touched: the archive's collections that they used.
        collections: describes the archive's files that they began with.
        folder: of these files, relative to the promotion's.
        database: on the transformer.
    """

    changes: ChangeSet
    touched: frozenset[str]
    collections: Sequence[ArchivedCollection]
    folder: str
    database: Database[Document]

    def name_of(self, archived: str) -> str | None:
        """What a collection of the archive is called in the result; None if it is not there any more."""
        renamed = {rename.old: rename.new for rename in self.changes.renamed}
        return None if archived in self.changes.deleted else renamed.get(archived, archived)
