"""The journal of a swap: every move, listed before the first is made, in the origin's state database.

A collection keeps its UUID when it is renamed, so that after a crash the UUIDs show which moves of the journal
were made.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from pymongo import DESCENDING, MongoClient
from pymongo.client_session import ClientSession

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.state.database import STATE_DATABASE
from nmdc_release_ops.mongo.state.generations import PREVIOUS, STAGED
from nmdc_release_ops.mongo.state.ledger import LATEST_VERSION, Event
from nmdc_release_ops.mongo.state.written import Written

JOURNAL = "journal"
# Those without a number are all older than those with one.
_NEWEST_FIRST = [("number", DESCENDING), ("started_at", DESCENDING)]


class SwapBlocked(MongoError):
    """A move of a swap, or of its undoing, cannot be made."""


class SwapUnderWay(MongoError):
    """A swap is half done: the origin stays frozen until it is finished or undone, so that nobody writes to it meanwhile."""

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


class Owed(BaseModel):
    """What a finished swap or rollback could not write into the ledger.

    Attributes:
        event: None where the ledger has the event and only its view is wrong.
        why: in the server's words.
        newest: id of the ledger's newest event at that time; None where that is unknown.
    """

    model_config = ConfigDict(frozen=True)

    event: Event | None
    why: str
    newest: str | None = None

    def __str__(self) -> str:
        lacks = (
            f"lacks the event {self.event}" if self.event else f"has it, and its view {LATEST_VERSION} does not say so"
        )
        return (
            f"The ledger {lacks}: {self.why} Correct the cause; then frozen_origin_watchdog writes what is missing within half a "
            "minute, as does re-executing this step. Until then releases use the journal's version."
        )


class Intruder(BaseModel):
    """A collection that somebody created under a name that a swap or a rollback needed, and that was moved aside.

    Attributes:
        name: that it had.
        kept_as: its name from then on.
    """

    model_config = ConfigDict(frozen=True)

    uuid: UUID
    name: str
    kept_as: str
    found_at: datetime


class Journal(BaseModel):
    """The swap of one release.

    Attributes:
        number: counts the swaps of a database; None in journals of versions that did not number them.
        moves: in the order in which they are made. Dropping the generation before the last comes first.
        made: how many of them are known to have been made, for people; the origin itself shows what is left.
        hashes: `dbHash` of every collection that was staged, by the name it is to have.
        hashes_before: `dbHash` of every collection that is swapped out, by the name it had; empty where an earlier version wrote
            it.
        unchanged_since: a moment before the swap began at which they hashed so.
        written_in_swap: collections that somebody who bypassed the freeze wrote to since then and before the swap was over; None
            where nobody looked.
        swapped_cluster_time: everything that was written since then came after the swap.
        migrator_module: last module of the migration path, for the ledger.
        owed: what the ledger lacks; None where it lacks nothing.
        managed: names of all collections of the release, as they are after it; empty in journals of versions that did not
            record them.
        intruders: in the order in which they were found, those of earlier attempts included.
        written: what people had written since the swap, at the time of the rollback.
        undetermined: why there may be more than that, for people; "" where that is all.
        accepted_lost: names of collections that somebody dropped and a rollback goes back without; what the release brought
            under these names stays live.
        candidate: name of the release candidate that was released; None for a published release.
        schema_source: where the candidate was built from.
    """

    model_config = ConfigDict(frozen=True)

    release_id: str
    number: int | None = None
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
    hashes_before: Mapping[str, str] = {}
    unchanged_since: ClusterTime | None = None
    written_in_swap: Sequence[str] | None = None
    owed: Owed | None = None
    managed: Sequence[str] = ()
    intruders: Sequence[Intruder] = ()
    written: Sequence[Written] = ()
    undetermined: str = ""
    accepted_lost: Sequence[str] = ()

    @property
    def version(self) -> str | None:
        """The version that the database is at afterwards; None while the swap or rollback is under way."""
        return {State.SWAPPED: self.to_version, State.ROLLED_BACK: self.from_version}.get(self.state)

    @property
    def places(self) -> dict[UUID, str]:
        """The name that each collection of the swap is to have, going forward or back as the state says.

        Where a loss was accepted, what the release brought may stay live or be staged, and has no place.
        """
        places: dict[UUID, str] = {}
        for move in self.moves:
            if move.target is None:
                continue
            if self.state in (State.SWAPPING, State.SWAPPED):
                places[move.uuid] = move.target
            elif not (move.brings_in and move.target in self.accepted_lost):
                places.setdefault(move.uuid, move.source)
        return places

    @property
    def swapped_out(self) -> dict[UUID, tuple[str, str]]:
        """The collections that are not live after the swap, with their names before and after it."""
        last = {move.uuid: move.target for move in self.moves}
        return {
            move.uuid: (move.source, move.target)
            for move in self.moves
            if move.target is not None and move.target.startswith(PREVIOUS) and last[move.uuid] == move.target
        }

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


def newest_journal(
    client: MongoClient[Document], database: str, session: ClientSession | None = None
) -> Journal | None:
    """The journal of the last release of a database that came to its swap; None where there was none."""
    found = journals(client).find_one({"database": database}, sort=_NEWEST_FIRST, session=session)
    return None if found is None else _journal(found)


def list_journals(client: MongoClient[Document], database: str) -> list[Journal]:
    """The journals of all releases of a database that came to their swap, the newest first."""
    return [_journal(found) for found in journals(client).find({"database": database}, sort=_NEWEST_FIRST)]


def journals_in_force(client: MongoClient[Document], database: str) -> list[Journal]:
    """The journals of the releases of a database that swapped and were not rolled back, newest first."""
    return [journal for journal in list_journals(client, database) if journal.state is State.SWAPPED]


def write_journal(client: MongoClient[Document], journal: Journal, session: ClientSession | None = None) -> None:
    """Put the whole journal down."""
    document = journal.model_dump(mode="json", exclude={"release_id"})
    journals(client).replace_one({"_id": journal.release_id}, document, upsert=True, session=session)


def note_made(client: MongoClient[Document], journal: Journal, made: int) -> None:
    """Record how many moves have been made, unless the swap is no longer under way."""
    under_way = {
        "_id": journal.release_id,
        "state": State.SWAPPING,
        "started_at": journal.model_dump(mode="json")["started_at"],
    }
    journals(client).update_one(under_way, {"$set": {"made": made}})


def note_intruder(client: MongoClient[Document], journal: Journal, intruder: Intruder) -> None:
    """Record which collection is about to be moved aside."""
    journals(client).update_one({"_id": journal.release_id}, {"$push": {"intruders": intruder.model_dump(mode="json")}})


def journals(client: MongoClient[Document]) -> Any:
    """The collection that they are kept in, by release."""
    return client[STATE_DATABASE][JOURNAL]


def _journal(found: Document) -> Journal:
    release_id = found.pop("_id")
    return Journal.model_validate({"release_id": release_id, **found})
