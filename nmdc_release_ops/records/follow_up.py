"""What `follow_up` found after a release."""

from collections.abc import Sequence
from datetime import datetime

from nmdc_release_ops.records.record import Part, Record
from nmdc_release_ops.units import duration


class WrittenCollection(Part):
    """A collection that people, or programs, wrote to between the swap and the end of the follow-up.

    Attributes:
        judged: documents that were written and exist.
        gone: documents that were written, or were there before, and were deleted.
        is_replaced: whether somebody renamed it or gave another collection its name; then all of its documents were judged.
    """

    collection: str
    judged: int
    gone: int
    is_replaced: bool = False


class FollowedUp(Record):
    """The Runtime runs on the version, and what was written since the swap conforms to it.

    Attributes:
        runtime: what it says of the version of the schema.
        requests: how often it was asked.
        waited: seconds until it said so.
        at: when it ended, by the clock of this machine.
        written: since the swap; empty if nothing was.
        verdict: of what was written, for people.
        tolerated: violations between documents that do not count as failures.
        not_judged: a sentence for everything that could not be determined.
        alldocs: the page of the Runtime's run that rebuilt `alldocs`; "" where that is not configured.
    """

    runtime: str
    requests: int
    waited: float
    at: datetime
    written: Sequence[WrittenCollection] = ()
    verdict: str
    tolerated: int = 0
    not_judged: Sequence[str] = ()
    alldocs: str = ""

    @property
    def judged(self) -> int:
        return sum(one.judged for one in self.written)

    def describe(self) -> str:
        """A few sentences for people."""
        missing = f" {' '.join(self.not_judged)}" if self.not_judged else ""
        rebuilt = " The Runtime rebuilt alldocs." if self.alldocs else ""
        return f"The Runtime {self.runtime} (after {duration(self.waited)}). {self.verdict}{missing}{rebuilt}"
