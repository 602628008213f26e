"""Rolling a release back: its swap is undone by the same renames in reverse order.

What the release had swapped in becomes staged again and stays there until the next release, so that not even
what was written to it since is lost.
"""

from collections.abc import Sequence

from pymongo.client_session import ClientSession
from pymongo.database import Database

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.clock import server_time
from nmdc_release_ops.mongo.server.collections import describe_unrenamable, find_names, list_collections
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.progress import Log, unlogged
from nmdc_release_ops.mongo.state import ledger
from nmdc_release_ops.mongo.state.bookkeeping import conclude, is_owed, settle
from nmdc_release_ops.mongo.state.generations import STAGED
from nmdc_release_ops.mongo.state.journal import (
    Journal,
    Move,
    State,
    SwapBlocked,
    newest_journal,
    read_journal,
    write_journal,
)
from nmdc_release_ops.mongo.state.lease import require_lease
from nmdc_release_ops.mongo.state.written import Fate, Written
from nmdc_release_ops.mongo.swapping.carry_out import carry_out
from nmdc_release_ops.mongo.swapping.displaced import drop_staged, find_displaced
from nmdc_release_ops.mongo.swapping.moves import find_remaining, make
from nmdc_release_ops.mongo.swapping.since_release import (
    WrittenSince,
    find_written,
    find_written_again,
    refuse_unless_allowed,
)
from nmdc_release_ops.mongo.swapping.unchanged import find_differing
from nmdc_release_ops.mongo.swapping.undoing import RollbackImpossible, accept_losses, find_undoing_moves, state_left


class NothingToRollBack(MongoError):
    """There is no swap that could be undone."""


def release_to_roll_back(origin: Database[Document], release_id: str | None) -> Journal:
    """The journal of the last release that reached its swap, which may have been rolled back already.

    Args:
        release_id: the release that is meant; the last one where None.

    Raises:
        NothingToRollBack: no release reached its swap, or `release_id` is not the last one that did.
    """
    journal = newest_journal(origin.client, origin.name)
    if journal is None:
        raise NothingToRollBack(f"No release has swapped anything into {origin.name}. There is nothing to roll back.")
    if release_id is not None and release_id != journal.release_id:
        raise NothingToRollBack(
            f"Only the last release that reached its swap can be rolled back, and that is {journal.release_id}, not "
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
    accept_lost: Sequence[str] = (),
) -> Journal:
    """Check that the swap can be undone without losing anything, and note in the journal that it is being undone.

    The release holds the origin frozen. A rollback that has begun already continues, whatever was written since it began;
    what was written is recorded.

    Args:
        run_id: of the run that holds the lease.
        allow_writes_set_aside: continue where people have written to what the release brought.
        allow_writes_left_in_place: continue where people have written to other collections of the release, or where that cannot
            be determined.
        accept_lost: names of collections that were dropped, to roll back without. A collection that has such a name now
            stays there; if there is none, the one that the release brought.

    Returns:
        the journal, with what was written since the swap.

    Raises:
        SwapBlocked: a view or a time series occupies a name that is needed; nothing was changed.
        RollbackImpossible: collections of the generation before are gone, or `accept_lost` names one that is not; nothing was
            changed.
        WritesSinceRelease: naming the collections; nothing was changed.
        LeaseLost: the origin was thawed meanwhile; nothing was changed.
    """
    if journal.state is State.ROLLED_BACK:
        return journal
    require_lease(origin.client, journal.release_id, run_id)
    refuse_if_superseded(origin, journal)
    # A later release that failed before its swap may have left staged collections. Nobody needs them.
    drop_staged(origin, frozenset(move.uuid for move in journal.moves))
    names = find_names(origin)
    accepted = accept_losses(journal, names, accept_lost)
    left = find_undoing_moves(accepted, names)
    if unrenamable := describe_unrenamable(
        list_collections(origin, indexes_of=()), (move.target for move in left if move.target)
    ):
        raise SwapBlocked(f"{' '.join(unrenamable)} {state_left(journal)} Then launch `rollback` again.")
    if journal.state is State.ROLLING_BACK:
        since = _without(find_written_again(origin, journal), accepted.accepted_lost)
    else:
        since = _without(find_written(origin, journal), accepted.accepted_lost)
        refuse_unless_allowed(
            journal, since, set_aside=allow_writes_set_aside, left_in_place=allow_writes_left_in_place
        )

    def write(session: ClientSession) -> Journal:
        require_lease(origin.client, journal.release_id, run_id, session)
        current = read_journal(origin.client, journal.release_id, session) or journal
        if current.state is State.ROLLED_BACK:
            return current
        update = {
            "state": State.ROLLING_BACK,
            "written": since.written,
            "undetermined": since.undetermined,
            "accepted_lost": accepted.accepted_lost,
        }
        undoing = current.model_copy(update=update)
        write_journal(origin.client, undoing, session)
        return undoing

    with origin.client.start_session() as session:
        return session.with_transaction(write)


def perform_rollback(origin: Database[Document], journal: Journal, run_id: str, *, log: Log = unlogged) -> Journal:
    """Undo the moves of a journal, last first, and record in the ledger that the database is at the earlier version.

    A collection that somebody created under a name that an earlier collection gets back is moved aside.

    Args:
        log: receives messages for the operator: which collections were moved aside.

    Returns:
        The journal, which records what the ledger lacks, if anything.

    Raises:
        RollbackImpossible: a collection is not where the journal expects it.
        SwapBlocked: a name cannot be freed.
        LeaseLost, LateRename: another run has taken over.
    """
    if journal.state is State.ROLLED_BACK:
        return settle(origin, journal)
    carry_out(origin, journal, run_id, lambda names: find_undoing_moves(journal, names), make, log=log)
    moment = server_time(origin.client)
    done = journal.model_copy(update={"state": State.ROLLED_BACK, "rolled_back_at": moment, "made": 0, "owed": None})
    return conclude(origin, done, ledger.Event.ROLLED_BACK, run_id)


def put_displaced_back(
    origin: Database[Document],
    journal: Journal,
    run_id: str,
    *,
    allow_writes_set_aside: bool = False,
    log: Log = unlogged,
) -> list[Move]:
    """Put back collections that a run renamed after it had lost its lease; return the renames.

    The release holds the origin frozen.

    Args:
        allow_writes_set_aside: continue where people have created collections under their names since: these are moved aside; or
            have written to one that should not be live: it is staged again.

    Raises:
        WritesSinceRelease: they have, and that is not allowed; nothing was changed.
        And as `perform_rollback`.
    """
    displaced = find_displaced(origin)
    live = set(find_names(origin).values())
    taken = [str(move.target) for move in displaced if move.target in live]
    brought = {
        move.source: journal.hashes[move.source]
        for move in displaced
        if str(move.target).startswith(STAGED) and move.source in journal.hashes
    }
    fates = [
        *((name, Fate.MOVED_ASIDE) for name in taken),
        *((name, Fate.SET_ASIDE) for name in find_differing(origin, brought, None)),
    ]
    since = WrittenSince([Written(name=name, fate=fate, writes=None) for name, fate in fates], "")
    refuse_unless_allowed(journal, since, set_aside=allow_writes_set_aside, left_in_place=False)
    carry_out(origin, journal, run_id, lambda names: find_remaining(displaced, names)[0], make, log=log)
    return displaced


def _without(since: WrittenSince, names: Sequence[str]) -> WrittenSince:
    """Leave out what was written under names whose collections stay as they are."""
    return WrittenSince([one for one in since.written if one.name not in names], since.undetermined)


def refuse_if_superseded(origin: Database[Document], journal: Journal) -> None:
    """After its swap, a release can be rolled back only while nobody has migrated the database further.

    Raises:
        RollbackImpossible: the ledger's newest event belongs to another migration; nothing was changed.
    """
    if superseded := describe_superseded(origin, journal):
        raise RollbackImpossible(
            f"Release {journal.release_id} cannot be rolled back: {superseded} Nothing was renamed. Undo that one first, with "
            "the tool that made it."
        )


def describe_superseded(origin: Database[Document], journal: Journal) -> str:
    """The migration that the ledger has after a release that was swapped in, a clause; empty if there is none."""
    if journal.state is not State.SWAPPED or is_owed(origin, journal):
        return ""
    try:
        last = ledger.last_event(origin)
    except ledger.LedgerUnusable:
        # Then nobody can have recorded an event. Whether data changed is checked separately.
        return ""
    if last is None or last.release_id == journal.release_id:
        return ""
    return (
        f"the ledger's newest event is of another migration, from {last.from_version} to {last.to_version} at "
        f"{last.created_at}."
    )
