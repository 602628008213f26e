"""Rolling a release back: its swap is undone by the same renames in reverse order.

What the release had swapped in becomes staged again and stays there until the next release, so that not even
what was written to it since is lost.
"""

from collections.abc import Mapping
from uuid import UUID

from pymongo.client_session import ClientSession
from pymongo.database import Database

from nmdc_release_ops.mongo import ledger
from nmdc_release_ops.mongo.bookkeeping import conclude, is_owed, settle
from nmdc_release_ops.mongo.clock import server_time
from nmdc_release_ops.mongo.collections import find_names
from nmdc_release_ops.mongo.connection import Document
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.generations import STAGED
from nmdc_release_ops.mongo.journal import (
    Journal,
    Move,
    State,
    newest_journal,
    read_journal,
    write_journal,
)
from nmdc_release_ops.mongo.lease import require_lease
from nmdc_release_ops.mongo.moves import Tell, carry_out, drop_staged, find_displaced, find_remaining, ignore, make
from nmdc_release_ops.mongo.since_release import WrittenSince, find_written, find_written_again, refuse_unless_allowed
from nmdc_release_ops.mongo.writes import Fate, Written


class NothingToRollBack(MongoError):
    """There is no swap that could be undone."""


class RollbackImpossible(MongoError):
    """The generation before the release is not what it was."""


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
    origin: Database[Document],
    journal: Journal,
    run_id: str,
    *,
    allow_writes_set_aside: bool = False,
    allow_writes_left_in_place: bool = False,
) -> Journal:
    """Check that the swap can be undone without losing anything, and note in the journal that it is being undone.

    The release holds the origin frozen. A rollback that was begun before is gone on with; what was written since it began is
    noted, and it goes on: half a rollback cannot be left.

    Args:
        run_id: of the run that holds the lease.
        allow_writes_set_aside: go on where people have written to what the release brought.
        allow_writes_left_in_place: go on where people have written to other collections of the release, or may have.

    Returns:
        the journal, with what was written since the swap.

    Raises:
        RollbackImpossible: collections of the generation before are gone; nothing was changed.
        WritesSinceRelease: naming the collections; nothing was changed.
        LeaseLost: the origin was thawed meanwhile; nothing was changed.
    """
    if journal.state is State.ROLLED_BACK:
        return journal
    require_lease(origin.client, journal.release_id, run_id)
    _refuse_if_superseded(origin, journal)
    # A later release that failed before its swap may have left staged collections; nobody needs them any more.
    drop_staged(origin, frozenset(move.uuid for move in journal.moves))
    undoings(journal, find_names(origin))
    if journal.state is State.ROLLING_BACK:
        since = find_written_again(origin, journal)
    else:
        since = find_written(origin, journal)
        refuse_unless_allowed(
            journal, since, set_aside=allow_writes_set_aside, left_in_place=allow_writes_left_in_place
        )

    def write(session: ClientSession) -> Journal:
        require_lease(origin.client, journal.release_id, run_id, session)
        current = read_journal(origin.client, journal.release_id, session) or journal
        if current.state is State.ROLLED_BACK:
            return current
        update = {"state": State.ROLLING_BACK, "written": since.written, "undetermined": since.undetermined}
        undoing = current.model_copy(update=update)
        write_journal(origin.client, undoing, session)
        return undoing

    with origin.client.start_session() as session:
        return session.with_transaction(write)


def perform_rollback(origin: Database[Document], journal: Journal, run_id: str, *, tell: Tell = ignore) -> Journal:
    """Undo the moves of a journal, last first, and record in the ledger that the database is at the earlier version.

    What somebody has made under a name that an earlier collection gets back is moved aside.

    Args:
        tell: gets what the operator has to know: a collection that was moved aside.

    Returns:
        The journal, which says what the ledger lacks, if anything.

    Raises:
        RollbackImpossible: a collection is not where the journal knows it to be.
        SwapBlocked: a name cannot be freed.
        LeaseLost, LateRename: another run goes on in place of this one.
    """
    if journal.state is State.ROLLED_BACK:
        return settle(origin, journal)
    carry_out(origin, journal, run_id, lambda names: undoings(journal, names), make, tell=tell)
    moment = server_time(origin.client)
    done = journal.model_copy(update={"state": State.ROLLED_BACK, "rolled_back_at": moment, "made": 0, "owed": None})
    return conclude(origin, done, ledger.Event.ROLLED_BACK, run_id)


def put_displaced_back(
    origin: Database[Document],
    journal: Journal,
    run_id: str,
    *,
    allow_writes_set_aside: bool = False,
    tell: Tell = ignore,
) -> list[Move]:
    """Put collections back that a run which had lost its lease renamed late; return the renames.

    The release holds the origin frozen.

    Args:
        allow_writes_set_aside: go on where people have made collections under their names since: these are moved aside.

    Raises:
        WritesSinceRelease: people have; nothing was changed.
        And as `perform_rollback`.
    """
    displaced = find_displaced(origin)
    live = set(find_names(origin).values())
    taken = [str(move.target) for move in displaced if move.target in live]
    since = WrittenSince([Written(name=name, fate=Fate.MOVED_ASIDE, writes=None) for name in taken], "")
    refuse_unless_allowed(journal, since, set_aside=allow_writes_set_aside, left_in_place=False)
    carry_out(origin, journal, run_id, lambda names: find_remaining(displaced, names)[0], make, tell=tell)
    return displaced


def undoings(journal: Journal, names: Mapping[UUID, str]) -> list[Move]:
    """The renames that are left to do, in order, where collections have these names. Every one of them is possible.

    A drop is not undone: it concerned an even earlier release. What the release brought, or was to bring, is not needed to
    go back: it may be gone altogether.

    Raises:
        RollbackImpossible: with everything that stands in the way.
    """
    gone = {
        move.uuid for move in journal.moves if move.source.startswith(STAGED) and move.target and move.uuid not in names
    }
    backwards = [
        Move(uuid=move.uuid, source=move.target, target=move.source)
        for move in reversed(journal.moves)
        if move.target is not None and move.uuid not in gone
    ]
    found, problems = find_remaining(backwards, names)
    if problems:
        described = "; ".join(f"{move.source} is not the collection that it was after the swap" for move in problems)
        raise RollbackImpossible(
            f"Release {journal.release_id} cannot be rolled back: {described}. Nothing was renamed. Put them back as they were "
            "and launch `rollback` again, or load the release's archive by hand."
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
