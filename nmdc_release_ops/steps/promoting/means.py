"""What a promotion works with."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nmdc_release_ops.mongo.delta.delta import Delta
from nmdc_release_ops.mongo.promoting.identities import Identities
from nmdc_release_ops.mongo.promoting.staged_documents import StagedDocuments
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.state.lease import LeaseHeld, current_lease, describe_holder
from nmdc_release_ops.records.data_release import MigratedDatabase, ReleasePlan, ValidationReport
from nmdc_release_ops.resources.origin import OriginConnection
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.schema import SchemaReleasesResource, SchemaWorkerResource
from nmdc_release_ops.resources.transformer import TransformerConnection
from nmdc_release_ops.steps.promoting.validating import DeltaValidation


@dataclass(frozen=True)
class Means:
    """The servers and processes that a promotion uses.

    Attributes:
        scratch: the transformer; each migration has a database of its own there.
    """

    run_id: str
    plan: ReleasePlan
    origin: OriginConnection
    scratch: TransformerConnection
    home: ReleaseHomeResource
    schema: SchemaReleasesResource
    worker: SchemaWorkerResource

    def refuse_if_held(self) -> None:
        """Make sure that no other release holds the origin: it stages, too.

        Raises:
            LeaseHeld
        """
        lease = current_lease(self.origin.client)
        if lease is not None and lease.release_id != self.plan.release_id:
            raise LeaseHeld(describe_holder(lease))

    @property
    def folder(self) -> Path:
        return self.home.release(self.plan) / "promotion"


@dataclass(frozen=True)
class Rehearsed:
    """What the first round begins with."""

    migrated: MigratedDatabase
    validation: ValidationReport


class Stopwatch:
    """How long the parts of a round take, by name."""

    def __init__(self) -> None:
        self._started = self._last = time.monotonic()
        self.parts: dict[str, float] = {}

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def note(self, part: str) -> None:
        """A part ends now."""
        now = time.monotonic()
        self.parts[part] = round(self.parts.get(part, 0) + now - self._last, 4)
        self._last = now


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


Limit = Callable[[float], None]
"""Called with the seconds that the next part will take, approximately; raises if that is too long."""
