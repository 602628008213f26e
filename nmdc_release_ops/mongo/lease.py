"""The freeze lease: the one document that says which release holds the origin frozen, since when, and how.

It is taken before the origin is frozen and given back after it is thawed, so that whoever finds it knows that
there may be something to undo. What a lease was is kept afterwards, one document per freeze.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict
from pymongo import MongoClient
from pymongo.errors import DuplicateKeyError

from nmdc_release_ops.mongo.clock import ClusterTime, now
from nmdc_release_ops.mongo.connection import Document
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.holder import Holder
from nmdc_release_ops.mongo.privileges import STATE_DATABASE

LEASE = "freeze_lease"
FREEZES = "freezes"
_ID = "origin"


class LeaseHeld(MongoError):
    """Another release holds the origin."""


class Strategy(StrEnum):
    """How writes are kept out."""

    WRITE_BLOCK = "write_block"
    """`setUserWriteBlockMode`: users without the privilege to bypass it cannot write."""
    NONE = "none"
    """Nobody is kept out. Only for servers without authorization, where a block keeps the release itself out too."""


class Lease(BaseModel):
    """Who holds the origin.

    Attributes:
        release_id: of the release that holds it.
        run_id: of the Dagster run that took it.
        holder: the process that the run is executed by.
        frozen_at: when writes were blocked; None while that is being done.
        cluster_time: nothing has been written since then.
    """

    model_config = ConfigDict(frozen=True)

    release_id: str
    run_id: str
    strategy: Strategy
    holder: Holder
    taken_at: datetime
    frozen_at: datetime | None = None
    cluster_time: ClusterTime | None = None


class Freeze(BaseModel):
    """A freeze that is over, as it is kept in the origin's state database."""

    model_config = ConfigDict(frozen=True)

    release_id: str
    run_id: str
    strategy: Strategy
    frozen_at: datetime
    thawed_at: datetime
    thawed_by: str

    @property
    def seconds(self) -> float:
        return (self.thawed_at - self.frozen_at).total_seconds()


def current_lease(client: MongoClient[Document]) -> Lease | None:
    """The lease on the origin, None where nobody holds one."""
    found = _leases(client).find_one({"_id": _ID}, {"_id": False})
    return Lease.model_validate(found) if found else None


def take_lease(client: MongoClient[Document], release_id: str, run_id: str, strategy: Strategy) -> Lease:
    """Take the lease, or take it over from an earlier run of the same release.

    Raises:
        LeaseHeld: saying who holds it.
    """
    lease = Lease(release_id=release_id, run_id=run_id, strategy=strategy, holder=Holder.this_process(), taken_at=now())
    try:
        _leases(client).insert_one({"_id": _ID, **lease.model_dump()})
        return lease
    except DuplicateKeyError:
        pass
    holder = current_lease(client)
    if holder is None:
        return take_lease(client, release_id, run_id, strategy)
    if holder.release_id != release_id:
        raise LeaseHeld(describe_holder(holder))
    # A re-executed run goes on where the one before it died.
    ours = holder.model_copy(update={"run_id": run_id, "holder": Holder.this_process()})
    _leases(client).replace_one({"_id": _ID, "release_id": release_id}, {"_id": _ID, **ours.model_dump()})
    return ours


def record_frozen(client: MongoClient[Document], lease: Lease, cluster_time: ClusterTime) -> Lease:
    """Note in the lease that writes are blocked from now on."""
    frozen = lease.model_copy(update={"frozen_at": now(), "cluster_time": cluster_time})
    _leases(client).replace_one({"_id": _ID, "release_id": lease.release_id}, {"_id": _ID, **frozen.model_dump()})
    return frozen


def release_lease(client: MongoClient[Document], lease: Lease, thawed_by: str) -> None:
    """Give the lease back and keep what it was."""
    if lease.frozen_at:
        freeze = Freeze(thawed_at=now(), thawed_by=thawed_by, **lease.model_dump(include=_KEPT))
        client[STATE_DATABASE][FREEZES].replace_one(
            {"release_id": freeze.release_id, "frozen_at": freeze.frozen_at}, freeze.model_dump(), upsert=True
        )
    _leases(client).delete_one({"_id": _ID, "release_id": lease.release_id})


def freezes_of(client: MongoClient[Document], release_id: str) -> list[Freeze]:
    """Every freeze that a release has had, oldest first."""
    found = client[STATE_DATABASE][FREEZES].find({"release_id": release_id}, {"_id": False}).sort("frozen_at")
    return [Freeze.model_validate(freeze) for freeze in found]


def describe_holder(lease: Lease) -> str:
    """Who holds the origin and what to do about it, for errors."""
    return (
        f"Release {lease.release_id} (run {lease.run_id}, {lease.holder}) has held the origin since "
        f"{lease.taken_at:%Y-%m-%d %H:%M:%S} UTC. Wait until it is done; if its run is over, launch the job `unfreeze`."
    )


_KEPT = {"release_id", "run_id", "strategy", "frozen_at"}


def _leases(client: MongoClient[Document]) -> Any:
    # Aware datetimes: what is compared and printed must not depend on the machine's time zone.
    options = client.codec_options.with_options(tz_aware=True)
    return client[STATE_DATABASE].get_collection(LEASE, codec_options=options)
