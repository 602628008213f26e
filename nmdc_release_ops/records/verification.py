"""What was compared once more after a promotion."""

from collections.abc import Sequence
from datetime import datetime

from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.records.record import Part
from nmdc_release_ops.units import duration, size


class ComparedCollection(Part):
    """A collection that holds what it should.

    Attributes:
        collection: its name on the origin.
        documents: how many it should hold, and was compared with.
        at_the_swap: whether it was read as it was at the moment of the swap. If not, it was read as it was later.
        left_out: documents that were not compared, because people wrote them since the swap.
    """

    collection: str
    documents: int
    at_the_swap: bool
    left_out: int


class Verification(Part):
    """What was compared once more after a promotion: everything that it compared was the same.

    Attributes:
        at: when it ended, by the clock of the machine that compared.
        swap: the moment of the swap; None if nothing was compared.
        result: the collections that were swapped in, compared with what was migrated and validated.
        source: those that the migrators began with, as they are or were just before the swap, compared with what the migrators
            began with.
        bytes: of BSON, of the documents that were read.
        not_compared: a sentence for each collection that could not be compared, or one for all of them.
    """

    at: datetime
    swap: ClusterTime | None = None
    result: Sequence[ComparedCollection] = ()
    source: Sequence[ComparedCollection] = ()
    bytes: int = 0
    seconds: float = 0
    not_compared: Sequence[str] = ()

    @property
    def compared(self) -> list[ComparedCollection]:
        return [*self.result, *self.source]

    @property
    def left_out(self) -> int:
        return sum(one.left_out for one in self.compared)

    def describe(self) -> str:
        """One line for people."""
        if not self.compared:
            return "No collection was compared."
        documents = sum(one.documents for one in self.compared)
        left = f"; {self.left_out:,} documents that people wrote since were left out" if self.left_out else ""
        return (
            f"{len(self.compared)} collections with {documents:,} documents ({size(self.bytes)}) are what was migrated and "
            f"validated{left}. It took {duration(self.seconds)}."
        )
