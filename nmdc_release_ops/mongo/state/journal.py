"""The journal of a swap: all its moves, recorded in the origin's state database before the first is made.

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
from pymongo.write_concern import WriteConcern

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.state.database import STATE_DATABASE
from nmdc_release_ops.mongo.state.generations import PREVIOUS, STAGED
from nmdc_release_ops.mongo.state.ledger import LATEST_VERSION, Event
from nmdc_release_ops.mongo.state.written import Written

JOURNAL = "journal"
# Journals without a number are older than those with one.
_NEWEST_FIRST = [("number", DESCENDING), ("started_at", DESCENDING)]


class SwapBlocked(MongoError):
    """A move of a swap or of a rollback cannot be made."""


class SwapUnderWay(MongoError):
    """A swap is half done: the origin stays frozen until the swap is finished or undone, so that nobody writes to it."""

    def __init__(self, journal: "Journal") -> None:
        if journal.state is State.ROLLING_BACK:
            text = (
                f"The origin stays frozen on purpose: undoing the swap of release {journal.release_id} was begun and is "
                "not finished. Launch the job `rollback` to finish it."
            )
        else:
            text = (
                f"The origin stays frozen on purpose: the swap of release {journal.release_id} was begun and is not "
                "finished. Re-execute its run from failure to finish it, or launch the job `rollback` to undo it."
            )
        super().__init__(text)


class AlreadySwapped(MongoError):
    """A step that comes before the swap was re-executed after it."""


class ReleaseRolledBack(MongoError):
    """A run was re-executed although its release was rolled back since: only a new release swaps in again."""

    def __init__(self, journal: "Journal") -> None:
        when = f" at {journal.rolled_back_at:%Y-%m-%d %H:%M:%S} UTC" if journal.rolled_back_at else ""
        super().__init__(
            f"Release {journal.release_id} was rolled back{when}: its run does not swap in again what somebody took back. "
            "Nothing was done. Launch a new release when the cause is corrected; do not re-execute this run."
        )


class State(StrEnum):
    """How far a swap, or its rollback, is."""

    SWAPPING = "swapping"
    SWAPPED = "swapped"
    ROLLING_BACK = "rolling back"
    ROLLED_BACK = "rolled back"


class Move(BaseModel):
    """The collection with this UUID is renamed from `source` to `target`, or dropped if `target` is None."""

    model_config = ConfigDict(frozen=True)

    uuid: UUID
    source: str
    target: str | None

    @property
    def brings_in(self) -> bool:
        """Whether it makes a staged collection live."""
        return self.source.startswith(STAGED) and self.target is not None and not self.target.startswith(STAGED)


class Owed(BaseModel):
    """What a finished swap or rollback could not write into the ledger.

    Attributes:
        event: None where the ledger has the event and only its view is wrong.
        why: the server's message.
        newest: id of the ledger's newest event at that time; None where that is unknown.
    """

    model_config = ConfigDict(frozen=True)

    event: Event | None
    why: str
    newest: str | None = None

    def __str__(self) -> str:
        lacks = (
            f"lacks the event {self.event}"
            if self.event
            else f"has the event, but its view {LATEST_VERSION} does not show it"
        )
        return (
            f"The ledger {lacks}: {self.why} Correct the cause; then frozen_origin_watchdog writes what is missing within half a "
            "minute, as does re-executing this step. Until then releases use the journal's version."
        )


class Intruder(BaseModel):
    """A collection that somebody created under a name that a swap or a rollback needed, and that was moved aside.

    Attributes:
        name: its name before.
        kept_as: its name since.
    """

    model_config = ConfigDict(frozen=True)

    uuid: UUID
    name: str
    kept_as: str
    found_at: datetime


class Journal(BaseModel):
    """The swap of one release.

    Attributes:
        number: counts the swaps of a database; None where an earlier version wrote the journal.
        moves: in the order in which they are made. Dropping the generation before the last comes first.
        made: how many of them are known to have been made, for messages only: the origin itself shows which are left.
        hashes: `dbHash` of every collection that was staged, by its name after the swap.
        hashes_before: `dbHash` of every collection that is swapped out, by its name before the swap; empty where an earlier
            version wrote the journal.
        unchanged_since: a moment before the swap began at which they had these hashes.
        written_in_swap: collections that somebody who bypassed the freeze wrote to since then and before the swap was over; None
            where that was not checked.
        swapped_cluster_time: everything that was written later came after the swap.
        migrator_module: last module of the migration path, for the ledger.
        owed: what the ledger lacks; None where it lacks nothing.
        managed: names of all collections of the release, as they are after it; empty where an earlier version wrote the
            journal.
        intruders: in the order in which they were found, those of earlier attempts included.
        written: what users had written between the swap and the rollback.
        undetermined: why there may be more, a message; "" where there is not.
        accepted_lost: names of collections that somebody dropped and a rollback cannot restore; what the release brought under
            these names stays live.
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
        """The name that each collection of the swap will have, after the swap or after its rollback, depending on the state.

        Where a loss was accepted, what the release brought may stay live or be staged, and is left out.
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
        """Whether some moves may have been made and others not, so that the origin has to stay frozen."""
        return self.state in (State.SWAPPING, State.ROLLING_BACK)

    @property
    def is_in_force(self) -> bool:
        """Whether the release was swapped in and not rolled back."""
        return self.state is State.SWAPPED


def read_journal(
    client: MongoClient[Document], release_id: str, session: ClientSession | None = None
) -> Journal | None:
    """The journal of a release, None where it has not reached its swap."""
    document = journals(client).find_one({"_id": release_id}, session=session)
    return None if document is None else _journal(document)


def is_swap_under_way(client: MongoClient[Document], release_id: str) -> bool:
    """Whether the swap of the release, or its rollback, was begun and is not finished."""
    journal = read_journal(client, release_id)
    return journal is not None and journal.is_under_way


def refuse_if_swapped(client: MongoClient[Document], release_id: str) -> None:
    """Refuse to dump a release again after its swap: its archive holds the data from before.

    Raises:
        SwapUnderWay, AlreadySwapped, ReleaseRolledBack.
    """
    journal = read_journal(client, release_id)
    if journal is None:
        return
    if journal.state is State.ROLLED_BACK:
        raise ReleaseRolledBack(journal)
    if journal.is_under_way:
        raise SwapUnderWay(journal)
    raise AlreadySwapped(
        f"Release {release_id} was swapped in at {journal.swapped_at:%Y-%m-%d %H:%M:%S} UTC; dumping now would overwrite the "
        "archive of the data from before. If `restore` or `unfreeze` is left to do, re-execute the run from there. Otherwise "
        "launch a new release."
    )


def newest_journal(
    client: MongoClient[Document], database: str, session: ClientSession | None = None
) -> Journal | None:
    """The journal of the last release of a database that reached its swap; None where there was none."""
    document = journals(client).find_one({"database": database}, sort=_NEWEST_FIRST, session=session)
    return None if document is None else _journal(document)


def list_journals(client: MongoClient[Document], database: str) -> list[Journal]:
    """The journals of all releases of a database that reached their swap, newest first."""
    return [_journal(document) for document in journals(client).find({"database": database}, sort=_NEWEST_FIRST)]


def journals_in_force(client: MongoClient[Document], database: str) -> list[Journal]:
    """The journals of the releases of a database that swapped and were not rolled back, newest first."""
    return [journal for journal in list_journals(client, database) if journal.is_in_force]


def write_journal(client: MongoClient[Document], journal: Journal, session: ClientSession | None = None) -> None:
    """Save the whole journal."""
    document = journal.model_dump(mode="json", exclude={"release_id"})
    journals(client).replace_one({"_id": journal.release_id}, document, upsert=True, session=session)


def note_made(client: MongoClient[Document], journal: Journal, made: int) -> None:
    """Record how many moves have been made, unless the swap is no longer under way. It is for people to read, so nobody waits
    until the server has it on its disk.
    """
    under_way = {
        "_id": journal.release_id,
        "state": State.SWAPPING,
        "started_at": journal.model_dump(mode="json")["started_at"],
    }
    journals(client).with_options(write_concern=WriteConcern(1)).update_one(under_way, {"$set": {"made": made}})


def note_intruder(client: MongoClient[Document], journal: Journal, intruder: Intruder) -> None:
    """Record which collection is about to be moved aside."""
    journals(client).update_one({"_id": journal.release_id}, {"$push": {"intruders": intruder.model_dump(mode="json")}})


def journals(client: MongoClient[Document]) -> Any:
    """The collection of journals, by release."""
    return client[STATE_DATABASE][JOURNAL]


def _journal(document: Document) -> Journal:
    release_id = document.pop("_id")
    return Journal.model_validate({"release_id": release_id, **document})
