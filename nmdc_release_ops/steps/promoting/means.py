"""What a promotion works with."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nmdc_release_ops.mongo.state.lease import LeaseHeld, current_lease, describe_holder
from nmdc_release_ops.records.data_release import MigratedDatabase, ReleasePlan, ValidationReport
from nmdc_release_ops.resources.origin import OriginConnection
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.schema import SchemaReleasesResource, SchemaWorkerResource
from nmdc_release_ops.resources.transformer import TransformerConnection


@dataclass(frozen=True)
class Means:
    """The servers and processes that a promotion uses.

    Attributes:
        scratch: a database on the transformer; each migration has one of its own there.
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
        return self.home.promotion(self.plan)


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


Limit = Callable[[float], None]
"""Called with the seconds that the next part will take, approximately; raises if that is too long."""
