"""What a promotion keeps on disk besides its state."""

from dataclasses import dataclass

from nmdc_release_ops.mongo.delta.delta import Delta
from nmdc_release_ops.mongo.promoting.identities import Identities
from nmdc_release_ops.mongo.promoting.staged_documents import StagedDocuments
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.steps.promoting.validating import DeltaValidation


@dataclass(frozen=True)
class Stores:
    """What a promotion keeps on disk besides its state.

    Attributes:
        pending: what was written since the last complete round.
        rehearsed: what was written before, since the rehearsal.
        staged: the staged documents.
        identities: the ids of all documents of the result.
    """

    pending: Delta
    rehearsed: Delta
    staged: StagedDocuments
    identities: Identities
    validation: DeltaValidation

    def begin(self, moment: ClusterTime, *, is_first: bool) -> None:
        """A round begins; what an interrupted one changed is taken back.

        Args:
            moment: up to which it goes.
            is_first: whether no round was completed before.

        Raises:
            FileNotWritten
        """
        self.settle(None)
        if is_first:
            self.identities.clear()
        for one in (self.identities, self.staged):
            one.round.begin(_name(moment))

    def settle(self, completed: ClusterTime | None) -> None:
        """Keep what the round up to the moment `completed` changed; take back what another one did.

        Raises:
            FileNotWritten
        """
        for one in (self.identities, self.staged):
            if (begun := one.round.name) is None:
                continue
            if completed is not None and begun == _name(completed):
                one.commit()
            else:
                one.roll_back()


def _name(moment: ClusterTime) -> str:
    return f"{moment.seconds}:{moment.increment}"
