"""The freeze lease: the one document that says which release holds the origin frozen, since when, and how.

It is taken before the origin is frozen and given back after it is thawed: as long as there is one, there may be a freeze to
undo. Each freeze that is over is kept as a document of its own.

The holder of the lease sends a heartbeat every few seconds (`heartbeat`), which distinguishes a working machine from a lost
one. Everything that must not happen twice or too late (the swap, the thaw) first makes sure, in the same transaction, that the
lease is still its own.

All times are the server's: machines do not share a clock, and the time that writes were blocked must not depend on which
machine froze the origin and which thawed it.
"""

import time
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict
from pymongo import MongoClient, ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.state.database import STATE_DATABASE
from nmdc_release_ops.mongo.state.holder import Holder

LEASE = "freeze_lease"
FREEZES = "freezes"
SILENT_SECONDS = 120
"""A holder on another machine that sent no heartbeat for this long is taken for lost; it sends one every 10 seconds."""
WAIT_SECONDS = 15
"""How long a run waits for a thaw to finish, and for an earlier run of its release whose process is ending."""
_ID = "origin"


class LeaseHeld(MongoError):
    """Another release, or another run of the same one, holds the origin."""


class LeaseLost(MongoError):
    """This run held the lease and no longer does: the origin was thawed, or another run has taken over."""


class Strategy(StrEnum):
    """The recorded names of the ways to block writes; `freezing.choose` maps them to their implementations."""

    WRITE_BLOCK = "write_block"
    """`setUserWriteBlockMode`: users without the privilege to bypass it cannot write."""
    DEMOTE_ROLES = "demote_roles"
    """Every other user and role that can write is made read-only, and put back afterwards."""
    NONE = "none"
    """Nobody is blocked. Only for servers without authorization, where a block would refuse the release's own writes too."""


class Lease(BaseModel):
    """The lease on the origin.

    Attributes:
        release_id: of the release that holds it.
        run_id: of the Dagster run that took it.
        holder: the process that executes the run, or the one that thaws the origin.
        beat_at: when the holder sent its last heartbeat.
        silent: how long ago that was when the lease was read.
        frozen_at: when writes were blocked; None while that is being done.
        cluster_time: nothing has been written since then.
        thawing: whether `holder` is about to allow writes again.
        seconds_thawing: for how long that had been tried when the lease was read, by whichever process.
        lifted: whether a delayed thaw of an earlier freeze has lifted this one since `frozen_at`.
    """

    model_config = ConfigDict(frozen=True)

    release_id: str
    run_id: str
    strategy: Strategy
    holder: Holder
    taken_at: datetime
    beat_at: datetime
    silent: timedelta = timedelta()
    frozen_at: datetime | None = None
    cluster_time: ClusterTime | None = None
    thawing: bool = False
    seconds_thawing: float = 0.0
    lifted: bool = False

    @property
    def is_abandoned(self) -> bool:
        """Whether its holder will not give it back: the process has ended, or its machine is lost."""
        return self.holder.is_gone() or (not self.holder.is_local and self.silent.total_seconds() > SILENT_SECONDS)


class Freeze(BaseModel):
    """A freeze that is over, as it is kept in the origin's state database.

    Attributes:
        put_back: number of users and roles that were put back.
        left: a line for each account that was not, because somebody had changed it during the freeze.
    """

    model_config = ConfigDict(frozen=True)

    release_id: str
    run_id: str
    strategy: Strategy
    frozen_at: datetime
    thawed_at: datetime
    thawed_by: str
    put_back: int = 0
    left: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        # Earlier versions recorded the times of two machines, whose clocks may disagree.
        return max(0.0, (self.thawed_at - self.frozen_at).total_seconds())


def current_lease(client: MongoClient[Document], session: ClientSession | None = None) -> Lease | None:
    """The lease on the origin, None where nobody holds one."""
    thawing_ms = {"$subtract": ["$$NOW", {"$ifNull": ["$thawing_since", "$$NOW"]}]}
    pipeline: list[Document] = [
        {"$match": {"_id": _ID}},
        # Versions without a heartbeat recorded none.
        {"$set": {"beat_at": {"$ifNull": ["$beat_at", "$taken_at"]}}},
        {
            "$set": {
                "silent_ms": {"$subtract": ["$$NOW", "$beat_at"]},
                "seconds_thawing": {"$cond": ["$thawing", {"$divide": [thawing_ms, 1_000]}, 0]},
            }
        },
        {"$unset": "_id"},
    ]
    document = next(_leases(client).aggregate(pipeline, session=session), None)
    if document is None:
        return None
    silent = timedelta(milliseconds=document.pop("silent_ms"))
    return Lease.model_validate({**document, "silent": max(silent, timedelta())})


def take_lease(client: MongoClient[Document], release_id: str, run_id: str, strategy: Strategy) -> Lease:
    """Take the lease, or take it over from an earlier run of the same release that is over.

    Raises:
        LeaseHeld: another release or run holds it.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        ours = _take_free(client, release_id, run_id, strategy) or _take_over(client, release_id, run_id)
        if ours is not None:
            return ours
        # The origin is being thawed, or the lease was given back since, or its run is ending: it will be free in a moment.
        held = current_lease(client)
        if held is not None and time.monotonic() > deadline:
            raise LeaseHeld(describe_holder(held))
        time.sleep(0.2)


def _take_free(client: MongoClient[Document], release_id: str, run_id: str, strategy: Strategy) -> Lease | None:
    """Take the lease by one write that also sets its first heartbeat; None where somebody holds it."""
    ours = {
        "release_id": release_id,
        "run_id": run_id,
        "strategy": strategy,
        "holder": Holder.this_process().model_dump(),
        "frozen_at": None,
        "cluster_time": None,
        "thawing": False,
    }
    moments = {"_id": _ID, "taken_at": "$$NOW", "beat_at": "$$NOW"}
    try:
        taken = _leases(client).find_one_and_update(
            # Every lease names its release, so none matches: the upsert inserts ours, or fails on the _id of an existing one.
            {"_id": _ID, "release_id": {"$exists": False}},
            [{"$replaceWith": {"$mergeObjects": [{"$literal": ours}, moments]}}],
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
    except DuplicateKeyError:
        return None
    return Lease.model_validate(taken)


def _take_over(client: MongoClient[Document], release_id: str, run_id: str) -> Lease | None:
    """Take the lease over from an earlier run of the same release; None where the caller should try again.

    Raises:
        LeaseHeld: by another release.
    """
    held = current_lease(client)
    if held is None:
        return None
    holder = Holder.this_process()
    is_free = held.is_abandoned or held.holder == holder
    is_ending = held.thawing or held.release_id == release_id
    if is_ending and not is_free:
        return None
    if held.release_id != release_id:
        raise LeaseHeld(describe_holder(held))
    seen: Document = {"_id": _ID, "release_id": release_id, "run_id": held.run_id, "holder": held.holder.model_dump()}
    if not held.holder.is_local:
        # A holder that was taken for lost and has sent a heartbeat since keeps it.
        seen["beat_at"] = held.beat_at
    # A re-executed run continues where the one before it died.
    ours = {"run_id": run_id, "holder": holder.model_dump(), "thawing": False}
    taken = _leases(client).find_one_and_update(
        seen,
        [{"$replaceWith": {"$mergeObjects": ["$$ROOT", {"$literal": ours}, {"beat_at": "$$NOW"}]}}],
        return_document=ReturnDocument.AFTER,
    )
    return Lease.model_validate(taken) if taken else None


def beat(client: MongoClient[Document], lease: Lease) -> bool:
    """Send a heartbeat; return whether the lease is still this holder's."""
    beaten = _leases(client).update_one(
        {"_id": _ID, "run_id": lease.run_id, "holder": lease.holder.model_dump()}, [{"$set": {"beat_at": "$$NOW"}}]
    )
    return bool(beaten.matched_count)


def require_lease(
    client: MongoClient[Document], release_id: str, run_id: str, session: ClientSession | None = None
) -> None:
    """Make sure that the lease is still held by this process for this run.

    Within a transaction, nobody else can take the lease or begin to thaw before the transaction has ended.

    Raises:
        LeaseLost: if it is not.
    """
    mine = {"_id": _ID, "release_id": release_id, "run_id": run_id, "holder": Holder.this_process().model_dump()}
    held = _leases(client).update_one({**mine, "thawing": False}, [{"$set": {"beat_at": "$$NOW"}}], session=session)
    if not held.matched_count:
        raise LeaseLost(
            f"Run {run_id} no longer holds the lease: the origin was thawed, or another run of release {release_id} took over. "
            "This run changed nothing more. Re-execute it if no other run of the release is in progress."
        )


def record_frozen(client: MongoClient[Document], lease: Lease, cluster_time: ClusterTime) -> Lease:
    """Record in the lease that writes are blocked from now on.

    Raises:
        LeaseLost: if somebody thawed the origin meanwhile.
    """
    recorded = _leases(client).find_one_and_update(
        {"_id": _ID, "run_id": lease.run_id, "thawing": False},
        [{"$set": {"frozen_at": "$$NOW", "cluster_time": {"$literal": cluster_time.model_dump()}, "lifted": False}}],
        return_document=ReturnDocument.AFTER,
    )
    if recorded is None:
        raise LeaseLost(f"The origin was thawed while run {lease.run_id} was freezing it. Re-execute the run.")
    return Lease.model_validate(recorded)


def note_lifted(client: MongoClient[Document], lease: Lease) -> bool:
    """Record in the lease of another run that its freeze was lifted; return whether that run still holds it.

    The run then continues only after it has frozen the origin again.
    """
    recorded = _leases(client).update_one(
        {"_id": _ID, "run_id": lease.run_id, "holder": lease.holder.model_dump(), "thawing": False},
        {"$set": {"lifted": True}},
    )
    return bool(recorded.matched_count)


def begin_thaw(client: MongoClient[Document], lease: Lease, session: ClientSession | None = None) -> Lease | None:
    """Take the lease over for thawing: from now on its run cannot swap. None where another process has taken it over."""
    thawing = lease.model_copy(update={"holder": Holder.this_process(), "thawing": True})
    # The watchdog tries again and again, and each attempt is a heartbeat too.
    since = {"$cond": ["$thawing", {"$ifNull": ["$thawing_since", "$$NOW"]}, "$$NOW"]}
    ours = {"thawing": True, "thawing_since": since, "beat_at": "$$NOW"}
    taken = _leases(client).update_one(
        {"_id": _ID, "release_id": lease.release_id, "run_id": lease.run_id, "holder": lease.holder.model_dump()},
        [{"$set": {"holder": {"$literal": thawing.holder.model_dump()}, **ours}}],
        session=session,
    )
    return thawing if taken.matched_count else None


def release_lease(
    client: MongoClient[Document], lease: Lease, thawed_by: str, *, put_back: int = 0, left: tuple[str, ...] = ()
) -> None:
    """Give the lease back, and record the freeze that it was for."""
    if lease.frozen_at:
        freeze = {
            **lease.model_dump(include=_OF_A_FREEZE),
            "thawed_by": thawed_by,
            "put_back": put_back,
            "left": list(left),
        }
        # An earlier attempt may have recorded this and stopped before it gave the lease back: writes have been allowed since
        # then. The thaw is never recorded as before the freeze: the primary, and so the clock, may have changed.
        thawed_at = {"$ifNull": ["$thawed_at", {"$max": ["$$NOW", lease.frozen_at]}]}
        client[STATE_DATABASE][FREEZES].update_one(
            {"release_id": lease.release_id, "frozen_at": lease.frozen_at},
            [{"$replaceWith": {"$mergeObjects": ["$$ROOT", {"$literal": freeze}, {"thawed_at": thawed_at}]}}],
            upsert=True,
        )
    _leases(client).delete_one({"_id": _ID, "run_id": lease.run_id, "holder": lease.holder.model_dump()})


def freezes_of(client: MongoClient[Document], release_id: str) -> list[Freeze]:
    """All freezes of a release that are over, oldest first."""
    # By _id, in the order in which they ended: the times that earlier versions recorded come from several clocks.
    documents = client[STATE_DATABASE][FREEZES].find({"release_id": release_id}).sort("_id")
    return [Freeze.model_validate(freeze) for freeze in documents]


def describe_holder(lease: Lease) -> str:
    """Who holds the origin and what to do about it."""
    return (
        f"Release {lease.release_id} (run {lease.run_id}, {lease.holder}) has held the origin since "
        f"{lease.taken_at:%Y-%m-%d %H:%M:%S} UTC. Wait until it is done. If its run is over, launch the job `unfreeze`, "
        "which reports the state of the origin and thaws it if that is safe."
    )


_OF_A_FREEZE = {"release_id", "run_id", "strategy", "frozen_at"}


def _leases(client: MongoClient[Document]) -> Any:
    # Timezone-aware datetimes: comparisons and messages must not depend on the machine's time zone.
    options = client.codec_options.with_options(tz_aware=True)
    return client[STATE_DATABASE].get_collection(LEASE, codec_options=options)
