"""The swap: live collections become previous ones, and staged ones live, by renames alone.

A journal in the origin's state database lists every rename before the first is made. A collection keeps its UUID
when it is renamed, so that after a crash each rename of the journal can be told to have happened or not.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from pymongo import MongoClient
from pymongo.database import Database

from nmdc_release_ops.mongo import ledger
from nmdc_release_ops.mongo.changes import ChangeSet
from nmdc_release_ops.mongo.clock import now
from nmdc_release_ops.mongo.collections import Collection, list_collections
from nmdc_release_ops.mongo.connection import Document
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.privileges import STATE_DATABASE
from nmdc_release_ops.mongo.staging import PREVIOUS, STAGED, drop_generation

JOURNAL = "journal"


class SwapBlocked(MongoError):
    """A rename of the swap cannot be made."""


class State(StrEnum):
    """How far a swap is."""

    SWAPPING = "swapping"
    SWAPPED = "swapped"


class Move(BaseModel):
    """One rename: the collection with this UUID goes from one name to another."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    uuid: UUID
    source: str
    target: str


class Journal(BaseModel):
    """The swap of one release.

    Attributes:
        moves: in the order in which they are made.
        made: how many of them are known to have been made; the one after may have been, too.
        migrator_module: last module of the migration path, for the ledger.
    """

    model_config = ConfigDict(frozen=True)

    release_id: str
    database: str
    from_version: str
    to_version: str
    migrator_module: str
    state: State
    started_at: datetime
    swapped_at: datetime | None = None
    moves: list[Move]
    made: int = 0


def read_journal(client: MongoClient[Document], release_id: str) -> Journal | None:
    """The journal of a release, None where it has not come to its swap."""
    found = _journals(client).find_one({"_id": release_id})
    return None if found is None else Journal.model_validate({"release_id": release_id, **found})


def is_swap_under_way(client: MongoClient[Document], release_id: str) -> bool:
    """Whether a swap of the release was begun and is not finished: then the origin has to stay frozen."""
    journal = read_journal(client, release_id)
    return journal is not None and journal.state is State.SWAPPING


def prepare_swap(
    origin: Database[Document],
    changes: ChangeSet,
    *,
    release_id: str,
    from_version: str,
    to_version: str,
    migrator_module: str,
) -> Journal:
    """Write the journal of a swap. Everything to be swapped in has been staged.

    The previous generation of the release before this one is dropped here: its names are needed.

    Raises:
        SwapBlocked: a name that a collection is to get is taken by one that is no part of the release.
    """
    collections = list_collections(origin)
    moves = _moves(changes, collections)
    vacated = {move.source for move in moves}
    for move in moves:
        if not move.target.startswith((STAGED, PREVIOUS)) and move.target in collections and move.target not in vacated:
            raise SwapBlocked(
                f"The origin already has a collection {move.target} that is no part of this release. Nothing was "
                "swapped. Rename or drop it, and re-execute the run from `plan`."
            )
    drop_generation(origin, PREVIOUS)
    journal = Journal(
        release_id=release_id,
        database=origin.name,
        from_version=from_version,
        to_version=to_version,
        migrator_module=migrator_module,
        state=State.SWAPPING,
        started_at=now(),
        moves=moves,
    )
    _write(origin.client, journal)
    return journal


def perform_swap(origin: Database[Document], journal: Journal) -> Journal:
    """Make the moves of a journal that have not been made yet, and record the version in the ledger.

    How far an earlier attempt came is read from the origin; the one move that it may have made without noting it is
    told by its UUID.

    Raises:
        SwapBlocked: a collection is not where the journal knows it to be.
    """
    journal = read_journal(origin.client, journal.release_id) or journal
    if journal.state is State.SWAPPED:
        return journal
    ledger.ensure_view(origin)
    # An attempt may have got as far as the last line but one: its events are there then, and not to be repeated.
    last = ledger.last_event(origin) or {}
    if (last.get("release_id"), last.get("event")) != (journal.release_id, ledger.Event.COMPLETED):
        _record(origin, ledger.Event.STARTED, journal)
    for number, move in enumerate(journal.moves[journal.made :], start=journal.made + 1):
        _make(origin, move)
        _journals(origin.client).update_one({"_id": journal.release_id}, {"$set": {"made": number}})
    _record(origin, ledger.Event.COMPLETED, journal)
    done = journal.model_copy(update={"state": State.SWAPPED, "swapped_at": now(), "made": len(journal.moves)})
    _write(origin.client, done)
    return done


def _moves(changes: ChangeSet, collections: dict[str, Collection]) -> list[Move]:
    """The renames of a swap. A changed collection is replaced by two in a row, to be missing as short as possible;
    names that wander are first vacated and then taken, so that they may even change places."""

    def move(source: str, target: str, original: str | None = None) -> Move:
        uuid = collections[original or source].uuid
        if uuid is None:
            raise SwapBlocked(f"{source} is a view. Nothing was swapped.")
        return Move(uuid=uuid, source=source, target=target)

    replaced = [step for name in changes.changed for step in (move(name, PREVIOUS + name), move(STAGED + name, name))]
    vacated = [move(name, PREVIOUS + name) for name in changes.deleted]
    taken = [move(STAGED + name, name) for name in changes.created]
    for rename in changes.renamed:
        if rename.changed:
            vacated.append(move(rename.old, PREVIOUS + rename.old))
            taken.append(move(STAGED + rename.new, rename.new))
        else:
            vacated.append(move(rename.old, STAGED + rename.new))
            taken.append(move(STAGED + rename.new, rename.new, original=rename.old))
    return replaced + vacated + taken


def _make(origin: Database[Document], move: Move) -> None:
    found = list_collections(origin, [move.source, move.target])
    if move.target in found and found[move.target].uuid == move.uuid:
        return
    if move.source not in found or found[move.source].uuid != move.uuid:
        raise SwapBlocked(
            f"The swap stopped before renaming {move.source} to {move.target}: {move.source} is not the collection it "
            "was. Somebody renamed or dropped it while the origin was frozen. The origin stays frozen; what was "
            f"swapped out is under {PREVIOUS}NAME. Put the collection with UUID {move.uuid} back, and re-execute the run from "
            "`restore`."
        )
    origin[move.source].rename(move.target)


def _record(origin: Database[Document], event: ledger.Event, journal: Journal) -> None:
    ledger.record(
        origin,
        event,
        from_version=journal.from_version,
        to_version=journal.to_version,
        migrator_module=journal.migrator_module,
        release_id=journal.release_id,
    )


def _write(client: MongoClient[Document], journal: Journal) -> None:
    document = journal.model_dump(mode="json", exclude={"release_id"})
    _journals(client).replace_one({"_id": journal.release_id}, document, upsert=True)


def _journals(client: MongoClient[Document]) -> Any:
    return client[STATE_DATABASE][JOURNAL]
