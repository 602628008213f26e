"""The journal of a swap: every move, listed before the first is made, in the origin's state database.

A collection keeps its UUID when it is renamed, so that after a crash each move of the journal can be told to have
happened or not.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from pymongo import DESCENDING, MongoClient
from pymongo.client_session import ClientSession
from pymongo.database import Database

from nmdc_release_ops.mongo import ledger
from nmdc_release_ops.mongo.clock import ClusterTime
from nmdc_release_ops.mongo.collections import list_collections
from nmdc_release_ops.mongo.connection import Document
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.lease import require_lease
from nmdc_release_ops.mongo.privileges import STATE_DATABASE
from nmdc_release_ops.mongo.staging import PREVIOUS, STAGED

JOURNAL = "journal"


class SwapBlocked(MongoError):
    """A move of a swap, or of its undoing, cannot be made."""


class SwapUnderWay(MongoError):
    """Half a swap must not be seen by writers: the origin stays frozen until it is finished or undone."""

    def __init__(self, journal: "Journal") -> None:
        if journal.state is State.ROLLING_BACK:
            text = (
                f"The origin stays frozen on purpose: undoing the swap of release {journal.release_id} was begun and is "
                "not finished. Launch the job `rollback` to finish it."
            )
        else:
            text = (
                f"The origin stays frozen on purpose: the swap of release {journal.release_id} was begun and is not "
                "finished. Re-execute its run from `restore` to finish it, or launch the job `rollback` to undo it."
            )
        super().__init__(text)


class AlreadySwapped(MongoError):
    """A step before the swap was to be repeated after it."""


class State(StrEnum):
    """How far a swap, or its undoing, is."""

    SWAPPING = "swapping"
    SWAPPED = "swapped"
    ROLLING_BACK = "rolling back"
    ROLLED_BACK = "rolled back"


class Move(BaseModel):
    """What happens to the collection with this UUID: it goes from one name to another, or (target None) is dropped."""

    model_config = ConfigDict(frozen=True)

    uuid: UUID
    source: str
    target: str | None

    @property
    def brings_in(self) -> bool:
        """Whether a staged collection becomes a live one by it."""
        return self.source.startswith(STAGED) and self.target is not None and not self.target.startswith(STAGED)


class Journal(BaseModel):
    """The swap of one release.

    Attributes:
        moves: in the order in which they are made. Dropping the generation before the last comes first.
        made: how many of them are known to have been made; the one after may have been, too.
        hashes: `dbHash` of every collection that was staged, by the name it is to have.
        swapped_cluster_time: everything that was written since then came after the swap.
        migrator_module: last module of the migration path, for the ledger.
        candidate: name of the release candidate that was released; None for a published release.
        schema_source: where the candidate was built from.
    """

    model_config = ConfigDict(frozen=True)

    release_id: str
    database: str
    from_version: str
    to_version: str
    migrator_module: str
    candidate: str | None = None
    schema_source: str | None = None
    state: State
    started_at: datetime
    swapped_at: datetime | None = None
    swapped_cluster_time: ClusterTime | None = None
    rolled_back_at: datetime | None = None
    moves: list[Move]
    made: int = 0
    hashes: Mapping[str, str]

    @property
    def is_under_way(self) -> bool:
        """Whether some moves may have been made and others not: then the origin has to stay frozen."""
        return self.state in (State.SWAPPING, State.ROLLING_BACK)


def read_journal(
    client: MongoClient[Document], release_id: str, session: ClientSession | None = None
) -> Journal | None:
    """The journal of a release, None where it has not come to its swap."""
    found = journals(client).find_one({"_id": release_id}, session=session)
    return None if found is None else _journal(found)


def is_swap_under_way(client: MongoClient[Document], release_id: str) -> bool:
    """Whether a swap of the release, or its undoing, was begun and is not finished."""
    journal = read_journal(client, release_id)
    return journal is not None and journal.is_under_way


def refuse_if_swapped(client: MongoClient[Document], release_id: str) -> None:
    """A release that came to its swap is not dumped again: its archive is what was there before.

    Raises:
        SwapUnderWay, AlreadySwapped.
    """
    journal = read_journal(client, release_id)
    if journal is None or journal.state is State.ROLLED_BACK:
        return
    if journal.is_under_way:
        raise SwapUnderWay(journal)
    raise AlreadySwapped(
        f"Release {release_id} was swapped in at {journal.swapped_at:%Y-%m-%d %H:%M:%S} UTC; dumping now would overwrite the "
        "archive of what was there before. Re-execute the run from `restore` or `unfreeze` if that is what is left to do, or "
        "launch a new release."
    )


def newest_journal(client: MongoClient[Document], database: str) -> Journal | None:
    """The journal of the last release of a database that came to its swap; None where there was none."""
    found = journals(client).find_one({"database": database}, sort=[("started_at", DESCENDING)])
    return None if found is None else _journal(found)


def write_journal(client: MongoClient[Document], journal: Journal, session: ClientSession | None = None) -> None:
    """Put the whole journal down."""
    document = journal.model_dump(mode="json", exclude={"release_id"})
    journals(client).replace_one({"_id": journal.release_id}, document, upsert=True, session=session)


def note_made(client: MongoClient[Document], journal: Journal, made: int) -> None:
    """Note how many moves have been made."""
    journals(client).update_one({"_id": journal.release_id}, {"$set": {"made": made}})


def make(origin: Database[Document], move: Move) -> None:
    """Make one move, unless it has been made already.

    Raises:
        SwapBlocked: the collection is not where the journal knows it to be.
    """
    names = [move.source] if move.target is None else [move.source, move.target]
    found = list_collections(origin, names)
    is_at_source = move.source in found and found[move.source].uuid == move.uuid
    if move.target is None:
        if is_at_source:
            origin.drop_collection(move.source)
        return
    if move.target in found and found[move.target].uuid == move.uuid:
        return
    if not is_at_source:
        raise SwapBlocked(
            f"Renaming {move.source} to {move.target} is not possible: {move.source} is not the collection it was. Somebody "
            "renamed or dropped it while the origin was frozen. The origin stays frozen; what was swapped out is under "
            f"{PREVIOUS}NAME. Put the collection with UUID {move.uuid} back under {move.source}, and try again."
        )
    origin[move.source].rename(move.target)


def conclude(origin: Database[Document], done: Journal, event: ledger.Event, run_id: str) -> None:
    """Write the last event into the ledger and the last state into the journal: both or neither, and only by the holder.

    Raises:
        LeaseLost: another run goes on in place of this one.
    """

    def write(session: ClientSession) -> None:
        require_lease(origin.client, done.release_id, run_id, session)
        record(origin, event, done, session)
        write_journal(origin.client, done, session)

    with origin.client.start_session() as session:
        session.with_transaction(write)


def record(
    origin: Database[Document], event: ledger.Event, journal: Journal, session: ClientSession | None = None
) -> None:
    """Write an event of this release into the ledger."""
    ledger.record(
        origin,
        event,
        from_version=journal.from_version,
        to_version=journal.to_version,
        migrator_module=journal.migrator_module,
        release_id=journal.release_id,
        session=session,
    )


def journals(client: MongoClient[Document]) -> Any:
    """The collection that they are kept in, by release."""
    return client[STATE_DATABASE][JOURNAL]


def _journal(found: Document) -> Journal:
    release_id = found.pop("_id")
    return Journal.model_validate({"release_id": release_id, **found})
