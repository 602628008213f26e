"""Rolling a release back: its swap is undone by the same renames in reverse order.

What the release had swapped in becomes staged again and stays there until the next release, so that not even
what was written to it since is lost.
"""

from uuid import UUID

from pymongo.client_session import ClientSession
from pymongo.database import Database

from nmdc_release_ops.mongo import ledger
from nmdc_release_ops.mongo.bookkeeping import conclude, is_owed, settle
from nmdc_release_ops.mongo.clock import server_time
from nmdc_release_ops.mongo.collections import list_collections
from nmdc_release_ops.mongo.connection import Document
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.journal import (
    Journal,
    Move,
    State,
    make,
    newest_journal,
    read_journal,
    write_journal,
)
from nmdc_release_ops.mongo.lease import require_lease
from nmdc_release_ops.mongo.staging import STAGED
from nmdc_release_ops.mongo.unchanged import changed_since


class NothingToRollBack(MongoError):
    """There is no swap that could be undone."""


class RollbackImpossible(MongoError):
    """The generation before the release is not what it was."""


class WritesSinceRelease(MongoError):
    """People have written to what the release brought; rolling back would put that aside."""


def release_to_roll_back(origin: Database[Document], release_id: str | None) -> Journal:
    """The journal of the last release that came to its swap, which may have been rolled back already.

    Args:
        release_id: the release that is meant; the last one where None.

    Raises:
        NothingToRollBack: no release came to its swap, or `release_id` is not the last one that did.
    """
    journal = newest_journal(origin.client, origin.name)
    if journal is None:
        raise NothingToRollBack(f"No release has swapped anything into {origin.name}. There is nothing to roll back.")
    if release_id is not None and release_id != journal.release_id:
        raise NothingToRollBack(
            f"Only the last release that came to its swap can be rolled back, and that is {journal.release_id}, not "
            f"{release_id}. Launch `rollback` without release_id, or with that one."
        )
    return journal


def prepare_rollback(
    origin: Database[Document], journal: Journal, run_id: str, *, allow_writes_set_aside: bool = False
) -> Journal:
    """Check that the swap can be undone without losing anything, and note in the journal that it is being undone.

    The release holds the origin frozen. A rollback that was begun before is gone on with.

    Args:
        run_id: of the run that holds the lease.
        allow_writes_set_aside: go on where people have written to what the release brought.

    Raises:
        RollbackImpossible: collections of the generation before are gone or their names taken; nothing was changed.
        WritesSinceRelease: naming the collections; nothing was changed.
        LeaseLost: the origin was thawed meanwhile; nothing was changed.
    """
    if journal.state is State.ROLLED_BACK:
        return journal
    require_lease(origin.client, journal.release_id, run_id)
    _refuse_if_superseded(origin, journal)
    _drop_what_others_staged(origin, journal)
    undoings(origin, journal)
    if journal.state in (State.SWAPPING, State.SWAPPED) and not allow_writes_set_aside:
        _refuse_if_written(origin, journal)

    def write(session: ClientSession) -> Journal:
        require_lease(origin.client, journal.release_id, run_id, session)
        current = read_journal(origin.client, journal.release_id, session) or journal
        if current.state is State.ROLLED_BACK:
            return current
        undoing = current.model_copy(update={"state": State.ROLLING_BACK})
        write_journal(origin.client, undoing, session)
        return undoing

    with origin.client.start_session() as session:
        return session.with_transaction(write)


def perform_rollback(origin: Database[Document], journal: Journal, run_id: str) -> Journal:
    """Undo the moves of a journal, last first, and record in the ledger that the database is at the earlier version.

    Returns:
        The journal, which says what the ledger lacks, if anything.

    Raises:
        RollbackImpossible: a collection is not where the journal knows it to be.
        LeaseLost: another run goes on in place of this one.
    """
    if journal.state is State.ROLLED_BACK:
        return settle(origin, journal)
    for move in undoings(origin, journal):
        require_lease(origin.client, journal.release_id, run_id)
        make(origin, move)
    moment = server_time(origin.client)
    done = journal.model_copy(update={"state": State.ROLLED_BACK, "rolled_back_at": moment, "made": 0, "owed": None})
    return conclude(origin, done, ledger.Event.ROLLED_BACK, run_id)


def undoings(origin: Database[Document], journal: Journal) -> list[Move]:
    """The renames that are left to do, in order, as the origin stands now. Every one of them is possible.

    A drop is not undone: it concerned an even earlier release.

    Raises:
        RollbackImpossible: with everything that stands in the way.
    """
    names: dict[UUID | None, str] = {found.uuid: name for name, found in list_collections(origin).items()}
    passed: dict[UUID, set[str]] = {}
    for move in journal.moves:
        passed.setdefault(move.uuid, set()).add(move.source)
    found = []
    problems = []
    for move in reversed(journal.moves):
        if move.target is None:
            continue
        passed[move.uuid].discard(move.target)
        if names.get(move.uuid) in passed[move.uuid]:
            # The swap did not come to this move, or it was undone before.
            continue
        if move.uuid not in names and move.brings_in and move.target not in names.values():
            # What the release brought, or was to bring, is gone altogether: going back does not need it.
            continue
        if names.get(move.uuid) != move.target:
            problems.append(f"{move.target} is not the collection that it was after the swap")
        elif move.source in names.values():
            problems.append(f"the name {move.source} is taken")
        else:
            found.append(Move(uuid=move.uuid, source=move.target, target=move.source))
        # Also after a problem, so that what only follows from it is not told as another one.
        names[move.uuid] = move.source
    if problems:
        raise RollbackImpossible(
            f"Release {journal.release_id} cannot be rolled back: {'; '.join(problems)}. Nothing was renamed. Put them back "
            "as they were and launch `rollback` again, or load the release's archive by hand."
        )
    return found


def _refuse_if_superseded(origin: Database[Document], journal: Journal) -> None:
    """After its swap, a release can be rolled back only while nobody has migrated the database further.

    Raises:
        RollbackImpossible: the ledger's newest event is another one's.
    """
    if journal.state is not State.SWAPPED or is_owed(origin, journal):
        return
    try:
        last = ledger.last_event(origin)
    except ledger.LedgerUnusable:
        # Then nobody can have recorded anything; whether data changed is looked at besides.
        return
    if last is not None and last.release_id != journal.release_id:
        raise RollbackImpossible(
            f"Release {journal.release_id} cannot be rolled back: the ledger's newest event is of another migration, from "
            f"{last.from_version} to {last.to_version} at {last.created_at}. Nothing was renamed. Undo that one first, with "
            "the tool that made it."
        )


def _drop_what_others_staged(origin: Database[Document], journal: Journal) -> None:
    """A later release that failed before its swap may have left staged collections; nobody needs them any more."""
    ours = {move.uuid for move in journal.moves}
    for name, found in list_collections(origin).items():
        if name.startswith(STAGED) and found.uuid not in ours:
            origin.drop_collection(name)


def _refuse_if_written(origin: Database[Document], journal: Journal) -> None:
    """Compare what the release brought with what is there now.

    Raises:
        WritesSinceRelease: naming the collections that differ.
    """
    live = list_collections(origin)
    brought = {
        move.target: journal.hashes[move.target]
        for move in journal.moves
        if move.brings_in
        and move.target in journal.hashes
        and move.target in live
        and live[move.target].uuid == move.uuid
    }
    written = changed_since(origin, journal.swapped_cluster_time, brought)
    if written:
        raise WritesSinceRelease(
            f"{', '.join(written)} were written to since release {journal.release_id} swapped them in. Rolling back would put "
            f"these writes aside, under {STAGED}NAME, where they stay only until the next release. Nothing was renamed. Save "
            "what has to be kept, and launch `rollback` with allow_writes_set_aside: true."
        )
