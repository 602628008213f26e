"""The swap: live collections become previous ones, and staged ones live, by renames alone."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from pymongo.database import Database

from nmdc_release_ops.mongo.bookkeeping import begin, conclude, settle
from nmdc_release_ops.mongo.changes import ChangeSet
from nmdc_release_ops.mongo.clock import ClusterTime, cluster_time, server_time
from nmdc_release_ops.mongo.collections import Collection, collection_hashes, list_collections
from nmdc_release_ops.mongo.connection import Document
from nmdc_release_ops.mongo.generations import PREVIOUS, STAGED, describe_too_long, is_ours
from nmdc_release_ops.mongo.journal import (
    Journal,
    Move,
    State,
    SwapBlocked,
    SwapUnderWay,
    list_journals,
    note_made,
    read_journal,
)
from nmdc_release_ops.mongo.ledger import Event
from nmdc_release_ops.mongo.moves import (
    Tell,
    carry_out,
    find_remaining,
    ignore,
    make,
    require_placed,
)
from nmdc_release_ops.mongo.staging import Staged
from nmdc_release_ops.mongo.writes_in_swap import find_written_in_swap, refuse_if_written


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
    managed: Iterable[str] = (),
    hashes_before: Mapping[str, str] | None = None,
    unchanged_since: ClusterTime | None = None,
    candidate: str | None = None,
    schema_source: str | None = None,
) -> Journal:
    """Write the journal of a swap. Everything to be swapped in has been staged.

    The previous generation of the release before this one is to be dropped by it: its names are needed.

    Args:
        run_id: of the run that holds the lease.
        staged: every collection that was staged and verified.
        managed: names of all collections that the release is about, whether they exist or not.
        hashes_before: `dbHash` of every collection that is swapped out; the server is asked where it is not known.
        unchanged_since: a moment after which the origin was seen to hash so.
        candidate: name of the release candidate, if the data were migrated by one.
        schema_source: where that was built from.

    Raises:
        SwapBlocked: a name that a collection is to get is taken by one that is no part of the release, or too long, or what
            stands under a staged name is not what was verified, or a collection that should be live is not.
        LeaseLost: the origin was thawed meanwhile; nothing was swapped.
        LedgerUnusable: the ledger does not take the swap's first event; nothing was swapped.
    """
    since = unchanged_since or cluster_time(origin.client)
    collections = list_collections(origin)
    verified = {one.name: one for one in staged}
    _refuse_if_replaced(collections, verified)
    require_placed(origin)
    moves = _moves(changes, collections)
    _refuse_if_names_do_not_fit(origin.name, moves, collections)
    before = read_journal(origin.client, release_id)
    journal = Journal(
        release_id=release_id,
        database=origin.name,
        from_version=from_version,
        to_version=to_version,
        migrator_module=migrator_module,
        candidate=candidate,
        schema_source=schema_source,
        state=State.SWAPPING,
        started_at=server_time(origin.client),
        moves=[*_drops_of_the_generation_before(origin, collections), *moves],
        hashes={name: one.hash for name, one in verified.items()},
        unchanged_since=since,
        managed=sorted({*managed, *changes.names_after}),
        intruders=before.intruders if before else (),
    )
    names = {name for name, _ in journal.swapped_out.values()}
    hashes = collection_hashes(origin, names) if hashes_before is None else hashes_before
    return begin(
        origin, journal.model_copy(update={"hashes_before": {name: hashes[name] for name in sorted(names)}}), run_id
    )


def perform_swap(origin: Database[Document], journal: Journal, run_id: str, *, tell: Tell = ignore) -> Journal:
    """Make the moves of a journal that have not been made yet, and record the version in the ledger.

    How far an earlier attempt came is seen from the origin, by the collections' UUIDs. What somebody who bypasses the freeze
    makes under a name that is needed is moved aside. What is about to be swapped out is compared with what was dumped, by every
    attempt; what is written between that look and the rename is told.

    Args:
        tell: gets what the operator has to know: a collection that was moved aside, or written to.

    Returns:
        The journal, which says what the ledger lacks, if anything.

    Raises:
        SwapBlocked: a collection is not where the journal knows it to be, or a name cannot be freed, or somebody wrote to a
            collection that is to be swapped out.
        FreezeFailed: somebody lifted the freeze.
        SwapUnderWay: undoing this swap was begun.
        LeaseLost, LateRename: another run goes on in place of this one.
    """
    journal = read_journal(origin.client, journal.release_id) or journal
    if journal.state is State.SWAPPED:
        return settle(origin, journal)
    if journal.state is not State.SWAPPING:
        raise SwapUnderWay(journal)
    under_way = journal
    carry_out(
        origin,
        journal,
        run_id,
        lambda names: _find_moves(under_way, names),
        make,
        look=lambda move: refuse_if_written(origin, under_way, move),
        note=lambda left: note_made(origin.client, under_way, len(under_way.moves) - left),
        tell=tell,
    )
    moment = cluster_time(origin.client)
    done = journal.model_copy(
        update={
            "state": State.SWAPPED,
            "swapped_at": server_time(origin.client),
            "swapped_cluster_time": moment,
            "written_in_swap": find_written_in_swap(origin, journal, tell),
            "made": len(journal.moves),
        }
    )
    return conclude(origin, done, Event.COMPLETED, run_id)


def _find_moves(journal: Journal, names: Mapping[UUID, str]) -> list[Move]:
    """The moves of a swap that are left where collections have these names.

    Raises:
        SwapBlocked: one of them cannot be made.
    """
    moves, problems = find_remaining(journal.moves, names)
    if problems:
        described = "; ".join(
            f"{move.source} (UUID {move.uuid}), which is to become {move.target}, is not there under that name"
            for move in problems
        )
        raise SwapBlocked(
            f"The swap of release {journal.release_id} cannot go on: {described}. Somebody renamed or dropped it while the "
            f"origin was frozen. The origin stays frozen; what was swapped out is under {PREVIOUS}NAME. Put the collection with "
            "that UUID back under its name and re-execute the run from `restore`, or launch `rollback`."
        )
    return moves


def _refuse_if_names_do_not_fit(database: str, moves: Iterable[Move], collections: Mapping[str, Collection]) -> None:
    names = {name for move in moves for name in (move.source, move.target) if name}
    vacated = {move.source for move in moves}
    live = {name for name in names if not is_ours(name)}
    if too_long := describe_too_long(database, live):
        raise SwapBlocked(f"{' '.join(too_long)} Nothing was swapped.")
    taken = sorted(
        move.target
        for move in moves
        if move.target in live and move.target in collections and move.target not in vacated
    )
    if taken:
        raise SwapBlocked(
            f"The origin already has a collection {', '.join(taken)} that is no part of this release. Nothing was "
            "swapped. Rename or drop it, and re-execute the run from `restore`."
        )


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


def _drops_of_the_generation_before(origin: Database[Document], collections: Mapping[str, Collection]) -> list[Move]:
    """What the release before swapped out, unless it is the only copy that is left."""
    journals = list_journals(origin.client, origin.name)
    return [
        Move(uuid=found.uuid, source=name, target=None)
        for name, found in collections.items()
        if name.startswith(PREVIOUS)
        and found.uuid is not None
        and _is_superseded(
            found.uuid, name, next((one for one in journals if found.uuid in one.places), None), collections
        )
    ]


def _is_superseded(uuid: UUID, name: str, journal: Journal | None, collections: Mapping[str, Collection]) -> bool:
    """Whether a previous collection can be dropped: another one is live in its place, or a release took the place away.

    Args:
        journal: of the newest swap that knows the collection.
    """
    live = name.removeprefix(PREVIOUS)
    if journal is None:
        return live in collections
    was_swapped_out = journal.state is State.SWAPPED and journal.places[uuid] == name
    return was_swapped_out and (live in collections or live not in journal.places.values())


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
            # Never by way of a staged name: those are dropped by whoever stages.
            vacated.append(move(rename.old, PREVIOUS + rename.old))
            taken.append(move(PREVIOUS + rename.old, rename.new, original=rename.old))
    return replaced + vacated + taken
