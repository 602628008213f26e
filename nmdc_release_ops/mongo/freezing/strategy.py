"""The interface of a freeze strategy. Each strategy is a file of its own; `choose` lists them.

A strategy blocks writes, allows them again, and checks whether they are blocked. `freeze` and `thaw` do what all of them have
in common: the lease, its record, and undoing what failed.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from pymongo import MongoClient
from pymongo.errors import OperationFailure

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.topology import Server
from nmdc_release_ops.mongo.state.lease import Lease, Strategy

DRAIN_SECONDS = 60


class FreezeFailed(MongoError):
    """The origin could not be frozen, or is not frozen any more."""


class NotEngaged(Exception):
    """A strategy could not block writes. `freeze` makes a `FreezeFailed` of it, which also states whether it is undone.

    Attributes:
        cause: what happened.
        remedy: what to do, as far as `cause` does not say it.
    """

    def __init__(self, cause: str, remedy: str = "") -> None:
        self.cause = cause
        self.remedy = remedy
        super().__init__(cause)

    def describe(self, outcome: str) -> str:
        """What happened, the state of the origin (`outcome`), and what to do."""
        return " ".join(part for part in (self.cause, outcome, self.remedy) if part)


@dataclass(frozen=True)
class Preview:
    """What a freeze would do.

    Attributes:
        effect: what it changes besides blocking writes, a sentence; "" where that is nothing.
        warnings: who would still be able to write, and what could not be checked.
    """

    effect: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class PutBack:
    """What was restored when a freeze was lifted.

    Attributes:
        accounts: number of users and roles that are as they were before the freeze.
        left: one line for each account that somebody else changed during the freeze, with what to do about it.
    """

    accounts: int = 0
    left: tuple[str, ...] = ()


@dataclass(frozen=True)
class Leftover:
    """A freeze of this project that outlived its lease.

    Attributes:
        release_id: of the release that froze the origin.
        run_id: of the run that did; "" where it is not recorded.
        effect: what the freeze did.
        remedy: what to do about it.
        outcome: the state once it is undone.
        prevents_release: whether the next release cannot freeze the origin before it is undone.
    """

    release_id: str
    run_id: str
    effect: str
    remedy: str
    outcome: str
    prevents_release: bool

    def __str__(self) -> str:
        return f"Release {self.release_id} {self.effect}. {self.remedy}"


class FreezeStrategy(ABC):
    """One way of blocking writes to the origin.

    Attributes:
        name: as it is recorded in leases and given in the configuration.
        reason: why it is chosen where no other one comes before it, a sentence.
        is_configurable: whether the configuration can ask for it.
        blocks_writes: whether anybody is prevented from writing.
    """

    name: ClassVar[Strategy]
    reason: ClassVar[str]
    is_configurable: ClassVar[bool] = True
    blocks_writes: ClassVar[bool] = True

    @abstractmethod
    def suits(self, server: Server) -> bool:
        """Whether it is meant for this kind of server. If not, it is not considered."""

    @abstractmethod
    def find_obstacles(self, client: MongoClient[Document], server: Server, database: str) -> list[str]:
        """Reasons why the origin cannot be frozen in this way, as clauses; empty where it can. Changes nothing."""

    @abstractmethod
    def preview(self, client: MongoClient[Document], server: Server, database: str) -> Preview:
        """What it would do, where there are no obstacles. Changes nothing."""

    @abstractmethod
    def note_attempt(self, client: MongoClient[Document], lease: Lease) -> Callable[[], None]:
        """Record that this process is about to block writes, if the server would not show afterwards who did.

        Returns:
            A function that deletes the record. `freeze` calls it once the lease says that the origin is frozen, or the
            attempt is undone. Only a process that dies in between leaves the record behind. A no-op where nothing is recorded.
        """

    @abstractmethod
    def engage(self, client: MongoClient[Document], lease: Lease, database: str, drain_timeout: float) -> ClusterTime:
        """Block the writes of others; return a moment since which nobody has written.

        Args:
            database: the one that nobody is to write to.
            drain_timeout: seconds to wait for open transactions, and for writes that have begun, to end.

        Raises:
            NotEngaged: `lift` has to be called.
        """

    @abstractmethod
    def lift_if_it_blocks_us(self, client: MongoClient[Document], refusal: OperationFailure) -> NotEngaged | None:
        """Allow writes at once where the freeze blocks our own; None where it never does.

        Args:
            refusal: the server's answer to our first write after `engage`.
        """

    @abstractmethod
    def engage_again(self, client: MongoClient[Document], drain_timeout: float) -> bool:
        """Block writes again after somebody lifted the freeze of another run by mistake. False where that is left to the run.

        Raises:
            NotEngaged.
        """

    @abstractmethod
    def holds(self, client: MongoClient[Document], lease: Lease) -> bool:
        """Whether the freeze of `lease` is in force: a check that the swap can rely on.

        Raises:
            FreezeFailed: it is, and somebody has become able to write in spite of it.
        """

    @abstractmethod
    def seems_to_hold(self, client: MongoClient[Document], lease: Lease) -> bool:
        """Whether the freeze of `lease` appears to be in force: a quick check, for messages."""

    @abstractmethod
    def lift(self, client: MongoClient[Document], lease: Lease) -> PutBack:
        """Allow writes again, after a freeze or an attempt that failed at any point. Can be repeated.

        Raises:
            StillBlocked, PutBackFailed: repeating it continues.
        """

    @abstractmethod
    def find_leftover(self, client: MongoClient[Document]) -> Leftover | None:
        """A freeze of this project that is in force although no release holds the lease; None where there is none."""

    @abstractmethod
    def undo_leftover(
        self, client: MongoClient[Document], leftover: Leftover, thaw_under_lease: Callable[[], PutBack]
    ) -> PutBack:
        """Lift what `find_leftover` found.

        Args:
            thaw_under_lease: takes the lease in the name of the run that left it, and thaws.
        """
