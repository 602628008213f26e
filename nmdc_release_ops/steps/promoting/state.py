"""How far a promotion has come, kept on disk: each round begins where the one before it ended, on another day if need be."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from nmdc_release_ops.files import write_whole
from nmdc_release_ops.mongo.archive.manifest import ArchivedCollection
from nmdc_release_ops.mongo.difference.changes import ChangeSet
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.transfer.stage import Staged
from nmdc_release_ops.records.data_release import Reconciled, Round

STATE = "state.json"
STAGED_FILE = "staged.sqlite"
"""The digest of each staged document (`mongo.promoting.staged_documents`)."""


class PromotionState(BaseModel):
    """What a promotion has after a round.

    Attributes:
        until: what is staged is what the release would have made of the origin at this moment.
        folder: of the archive's files, brought up to that moment for the collections that migrators touch; relative to the
            promotion's folder.
        collections: describes these files.
        touched: the archive's collections that migrators touch.
        database: where the migrators worked last, on the transformer.
        unloaded: the collections whose documents this database does not hold, because they did not use them.
        changes: what they did.
        hashes: `dbHash` of the collections that they left.
        hashes_before: `dbHash` of the collections before they were migrated, as far as they are known.
        verified_at: a moment at which all staged collections were as they should be.
        wrote: how many documents of each the promotion wrote or deleted since; whatever else is written there is somebody else's.
        migrating_seconds: that migrating and comparing took the last time.
    """

    model_config = ConfigDict(frozen=True)

    until: ClusterTime
    folder: str
    collections: list[ArchivedCollection]
    touched: list[str]
    database: str
    unloaded: list[str]
    changes: ChangeSet
    hashes: dict[str, str]
    hashes_before: dict[str, str]
    staged: list[Staged]
    verified_at: ClusterTime
    wrote: dict[str, int]
    migrating_seconds: float
    rounds: list[Round]

    @property
    def by_name(self) -> Mapping[str, ArchivedCollection]:
        return {one.name: one for one in self.collections}

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The state in the promotion's folder; None if no round was completed, or another version of the project wrote it."""
        try:
            return cls.model_validate_json((folder / STATE).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def describe_result(self, rounds: list[Round], freezes: int) -> Reconciled:
        """What is staged, for the swap.

        Args:
            rounds: those that were made under the freeze, or for it.
            freezes: how often the origin was frozen.
        """
        return Reconciled(
            rounds=rounds,
            until=self.until,
            verified_at=self.verified_at,
            wrote=self.wrote,
            changes=self.changes,
            staged=self.staged,
            hashes_before=self.hashes_before,
            freezes=freezes,
        )

    def write(self, folder: Path) -> None:
        """Keep it.

        Raises:
            FileNotWritten
        """
        write_whole(folder / STATE, self.model_dump_json(indent=1), private=True)
