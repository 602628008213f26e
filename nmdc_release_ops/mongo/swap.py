"""The swap: live collections become previous ones, and staged ones live, by renames alone."""

from collections.abc import Iterable, Mapping

from pymongo.client_session import ClientSession
from pymongo.database import Database

from nmdc_release_ops.mongo import ledger
from nmdc_release_ops.mongo.changes import ChangeSet
from nmdc_release_ops.mongo.clock import ClusterTime, now
from nmdc_release_ops.mongo.collections import Collection, list_collections
from nmdc_release_ops.mongo.connection import Document
from nmdc_release_ops.mongo.journal import (
    Journal,
    Move,
    State,
    SwapBlocked,
    SwapUnderWay,
    conclude,
    make,
    note_made,
    read_journal,
    record,
    write_journal,
)
from nmdc_release_ops.mongo.lease import require_lease
from nmdc_release_ops.mongo.staging import PREVIOUS, STAGED, Staged


def prepare_swap(
    origin: Database[Document],
    changes: ChangeSet,
    *,
    release_id: str,
    run_id: str,
    from_version: str,
    to_version: str,
    migrator_module: str,
    staged: Iterable[Staged],
    candidate: str | None = None,
    schema_source: str | None = None,
) -> Journal:
    """Write the journal of a swap. Everything to be swapped in has been staged.

    The previous generation of the release before this one is to be dropped by it: its names are needed.

    Args:
        run_id: of the run that holds the lease.
        staged: every collection that was staged and verified.
        candidate: name of the release candidate, if the data were migrated by one.
        schema_source: where that was built from.

    Raises:
        SwapBlocked: a name that a collection is to get is taken by one that is no part of the release, or what stands under
            a staged name is not what was verified.
        LeaseLost: the origin was thawed meanwhile; nothing was swapped.
    """
    collections = list_collections(origin)
    verified = {one.name: one for one in staged}
    _refuse_if_replaced(collections, verified)
    moves = _moves(changes, collections)
    vacated = {move.source for move in moves}
    for move in moves:
        name = move.target or ""
        if not name.startswith((STAGED, PREVIOUS)) and name in collections and name not in vacated:
            raise SwapBlocked(
                f"The origin already has a collection {name} that is no part of this release. Nothing was "
                "swapped. Rename or drop it, and re-execute the run from `restore`."
            )
    journal = Journal(
        release_id=release_id,
        database=origin.name,
        from_version=from_version,
        to_version=to_version,
        migrator_module=migrator_module,
        candidate=candidate,
        schema_source=schema_source,
        state=State.SWAPPING,
        started_at=now(),
        moves=[*_drops_of_the_generation_before(collections), *moves],
        hashes={name: one.hash for name, one in verified.items()},
    )

    def write(session: ClientSession) -> None:
        require_lease(origin.client, release_id, run_id, session)
        write_journal(origin.client, journal, session)

    with origin.client.start_session() as session:
        session.with_transaction(write)
    return journal


def perform_swap(origin: Database[Document], journal: Journal, run_id: str) -> Journal:
    """Make the moves of a journal that have not been made yet, and record the version in the ledger.

    How far an earlier attempt came is read from the origin; the one move that it may have made without noting it is
    told by its UUID.

    Raises:
        SwapBlocked: a collection is not where the journal knows it to be.
        SwapUnderWay: undoing this swap was begun.
        LeaseLost: another run goes on in place of this one.
    """
    journal = read_journal(origin.client, journal.release_id) or journal
    if journal.state is State.SWAPPED:
        return journal
    if journal.state is not State.SWAPPING:
        raise SwapUnderWay(journal)
    ledger.ensure_view(origin)
    record(origin, ledger.Event.STARTED, journal)
    for number, move in enumerate(journal.moves[journal.made :], start=journal.made + 1):
        require_lease(origin.client, journal.release_id, run_id)
        make(origin, move)
        note_made(origin.client, journal, number)
    moment = ClusterTime.of(origin.client.admin.command("ping")["operationTime"])
    done = journal.model_copy(
        update={
            "state": State.SWAPPED,
            "swapped_at": now(),
            "swapped_cluster_time": moment,
            "made": len(journal.moves),
        }
    )
    conclude(origin, done, ledger.Event.COMPLETED, run_id)
    return done


def _refuse_if_replaced(collections: Mapping[str, Collection], verified: Mapping[str, Staged]) -> None:
    replaced = [
        name
        for name, one in verified.items()
        if STAGED + name not in collections or collections[STAGED + name].uuid != one.uuid
    ]
    if replaced:
        raise SwapBlocked(
            f"What stands under the staged name of {', '.join(replaced)} is not what was verified: somebody else staged or "
            "dropped collections meanwhile. Nothing was swapped. Re-execute the run from `restore`."
        )


def _drops_of_the_generation_before(collections: Mapping[str, Collection]) -> list[Move]:
    return [
        Move(uuid=found.uuid, source=name, target=None)
        for name, found in collections.items()
        if name.startswith(PREVIOUS) and found.uuid is not None
    ]


def _moves(changes: ChangeSet, collections: Mapping[str, Collection]) -> list[Move]:
    """The renames of a swap. A changed collection is replaced by two in a row, to be missing as short as possible;
    names that wander are first vacated and then taken, so that they may even change places."""

    def move(source: str, target: str, original: str | None = None) -> Move:
        found = collections.get(original or source)
        if found is None or found.uuid is None:
            raise SwapBlocked(
                f"{source} is {'not there any more' if found is None else 'a view'}. Nothing was swapped. Re-execute the run "
                "from `restore`; if that does not help, launch a new release."
            )
        return Move(uuid=found.uuid, source=source, target=target)

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
