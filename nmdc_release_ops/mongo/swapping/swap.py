"""The swap: live collections become previous ones, and staged ones live, by renames alone."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from uuid import UUID

from pymongo.database import Database

from nmdc_release_ops.mongo.difference.changes import ChangeSet
from nmdc_release_ops.mongo.server.clock import ClusterTime, cluster_time, server_time
from nmdc_release_ops.mongo.server.collections import (
    Collection,
    collection_hashes,
    describe_unrenamable,
    list_collections,
)
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.progress import Log, unlogged
from nmdc_release_ops.mongo.state.bookkeeping import begin, conclude, settle
from nmdc_release_ops.mongo.state.generations import PREVIOUS, STAGED, describe_too_long, is_ours
from nmdc_release_ops.mongo.state.journal import (
    Journal,
    Move,
    State,
    SwapBlocked,
    SwapUnderWay,
    note_made,
    read_journal,
)
from nmdc_release_ops.mongo.state.ledger import Event
from nmdc_release_ops.mongo.swapping.carry_out import carry_out
from nmdc_release_ops.mongo.swapping.displaced import require_placed
from nmdc_release_ops.mongo.swapping.moves import find_remaining, make
from nmdc_release_ops.mongo.swapping.previous import find_superseded
from nmdc_release_ops.mongo.swapping.writes_in_swap import find_written_in_swap, refuse_if_written
from nmdc_release_ops.mongo.transfer.stage import Staged


@dataclass(frozen=True)
class SwappedRelease:
    """The release that a swap makes live.

    Attributes:
        migrator_module: last module of the migration path, for the ledger.
        candidate: name of the release candidate, if the data were migrated by one.
        schema_source: where the candidate was built from.
    """

    release_id: str
    from_version: str
    to_version: str
    migrator_module: str
    candidate: str | None = None
    schema_source: str | None = None


def prepare_swap(
    origin: Database[Document],
    changes: ChangeSet,
    release: SwappedRelease,
    run_id: str,
    *,
    staged: Iterable[Staged],
    managed: Iterable[str] = (),
    hashes_before: Mapping[str, str] | None = None,
    unchanged_since: ClusterTime | None = None,
) -> Journal:
    """Write the journal of a swap. Everything to be swapped in has been staged.

    The swap first drops the previous generation that the release before this one left, except what may be the only copy: that
    is moved aside if its name is needed.

    Args:
        run_id: of the run that holds the lease.
        staged: every collection that was staged and verified.
        managed: names of all collections of the release, whether they exist or not.
        hashes_before: `dbHash` of every collection that is swapped out; None to ask the server.
        unchanged_since: a moment after which the origin was seen to hash so.

    Raises:
        SwapBlocked: a target name is too long, or taken by a collection that is not part of the release; a staged collection is
            not the one that was verified; or a collection that should be live is not.
        LeaseLost: the origin was thawed meanwhile; nothing was swapped.
        LedgerUnusable: the ledger refuses the swap's first event; nothing was swapped.
    """
    since = unchanged_since or cluster_time(origin.client)
    verified = {one.name: one for one in staged}
    collections = list_collections(origin, indexes_of={STAGED + name for name in verified})
    _refuse_if_replaced(collections, verified)
    require_placed(origin)
    moves = _plan_moves(changes, collections)
    _refuse_if_names_do_not_fit(origin.name, moves, collections)
    before = read_journal(origin.client, release.release_id)
    journal = Journal(
        **asdict(release),
        database=origin.name,
        state=State.SWAPPING,
        started_at=server_time(origin.client),
        moves=[*find_superseded(origin), *moves],
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


def perform_swap(origin: Database[Document], journal: Journal, run_id: str, *, log: Log = unlogged) -> Journal:
    """Make the moves of a journal that have not been made yet, and record the version in the ledger.

    The collections' UUIDs on the origin show how far an earlier attempt got. A collection that somebody who bypasses the
    freeze creates under a name that is needed is moved aside. Every attempt compares what it is about to swap out with what was
    dumped; what is written between that check and the rename is reported.

    Args:
        log: receives messages for the operator: which collections were moved aside, or written to.

    Returns:
        The journal, which records what the ledger lacks, if anything.

    Raises:
        SwapBlocked: a collection is not where the journal expects it, a name cannot be freed, or somebody wrote to a
            collection that is to be swapped out.
        FreezeFailed: somebody lifted the freeze.
        SwapUnderWay: a rollback of this swap has begun.
        LeaseLost, LateRename: another run has taken over.
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
        lambda names: _find_moves(under_way, names, log),
        make,
        check=lambda move: refuse_if_written(origin, under_way, move),
        note=lambda left: note_made(origin.client, under_way, len(under_way.moves) - left),
        log=log,
    )
    moment = cluster_time(origin.client)
    done = journal.model_copy(
        update={
            "state": State.SWAPPED,
            "swapped_at": server_time(origin.client),
            "swapped_cluster_time": moment,
            "written_in_swap": find_written_in_swap(origin, journal, log),
            "made": len(journal.moves),
        }
    )
    return conclude(origin, done, Event.COMPLETED, run_id)


def _find_moves(journal: Journal, names: Mapping[UUID, str], log: Log) -> list[Move]:
    """The moves of a swap that are left, given the collections' names.

    The swap can continue without a collection that was only to be kept as a previous one: it may have been dropped.

    Args:
        log: receives which of those were dropped, once no move is left.

    Raises:
        SwapBlocked: one of them cannot be made.
    """
    dropped = {
        uuid: place for uuid, place in journal.places.items() if place.startswith(PREVIOUS) and uuid not in names
    }
    moves, problems = find_remaining([move for move in journal.moves if move.uuid not in dropped], names)
    if problems:
        described = "; ".join(
            f"{move.source} (UUID {move.uuid}), which is to become {move.target}, "
            + (f"is called {names[move.uuid]}" if move.uuid in names else "was dropped")
            for move in problems
        )
        raise SwapBlocked(
            f"The swap of release {journal.release_id} cannot continue: {described}. Somebody bypassed the freeze. The origin "
            f"stays frozen; what was swapped out is under {PREVIOUS}NAME. Rename back what was renamed and re-execute the run "
            "from failure. If a collection was dropped, launch `rollback`; if the rollback needs that collection, its error "
            "names the option accept_lost."
        )
    if not moves:
        for name in dropped.values():
            log(
                f"Somebody dropped {name.removeprefix(PREVIOUS)}, which the release replaced or removed, while the origin was "
                f"frozen: there is no {name}. The release is complete without it, but can be rolled back only with "
                "accept_lost. The release's archive has its documents."
            )
    return moves


def _refuse_if_names_do_not_fit(database: str, moves: Iterable[Move], collections: Mapping[str, Collection]) -> None:
    names = {name for move in moves for name in (move.source, move.target) if name}
    vacated = {move.source for move in moves}
    live = {name for name in names if not is_ours(name)}
    if too_long := describe_too_long(database, live):
        raise SwapBlocked(f"{' '.join(too_long)} Nothing was swapped.")
    if unrenamable := describe_unrenamable(collections, names - live):
        raise SwapBlocked(f"{' '.join(unrenamable)} Nothing was swapped. Then re-execute the run from `restore`.")
    taken = sorted(
        move.target
        for move in moves
        if move.target in live and move.target in collections and move.target not in vacated
    )
    if taken:
        raise SwapBlocked(
            f"The origin already has a collection {', '.join(taken)} that is not part of this release. Nothing was "
            "swapped. Rename or drop it, and re-execute the run from `restore`."
        )


def _refuse_if_replaced(collections: Mapping[str, Collection], verified: Mapping[str, Staged]) -> None:
    replaced = [
        name
        for name, one in verified.items()
        if STAGED + name not in collections or not one.is_same(collections[STAGED + name])
    ]
    if replaced:
        raise SwapBlocked(
            f"The staged collection of {', '.join(replaced)} is not the one that was verified: somebody else staged or dropped "
            "collections or indexes at the same time. Nothing was swapped. Re-execute the run from `restore`; that of a "
            "promotion from `catch_up`."
        )


def _plan_moves(changes: ChangeSet, collections: Mapping[str, Collection]) -> list[Move]:
    """The renames of a swap. A changed collection is replaced by two in a row, so that it is missing for as short as
    possible. Names that move are first vacated and then taken, so that two collections may even swap names."""

    def move(source: str, target: str, original: str | None = None) -> Move:
        collection = collections.get(original or source)
        if collection is None or collection.uuid is None:
            raise SwapBlocked(
                f"{source} is {'gone' if collection is None else 'a view'}. Nothing was swapped. Re-execute the run "
                "from `restore`; if that does not help, launch a new release."
            )
        return Move(uuid=collection.uuid, source=source, target=target)

    replaced = [step for name in changes.changed for step in (move(name, PREVIOUS + name), move(STAGED + name, name))]
    vacated = [move(name, PREVIOUS + name) for name in changes.deleted]
    taken = [move(STAGED + name, name) for name in changes.created]
    for rename in changes.renamed:
        if rename.changed:
            vacated.append(move(rename.old, PREVIOUS + rename.old))
            taken.append(move(STAGED + rename.new, rename.new))
        else:
            # Never through a staged name: the next staging drops those.
            vacated.append(move(rename.old, PREVIOUS + rename.old))
            taken.append(move(PREVIOUS + rename.old, rename.new, original=rename.old))
    return replaced + vacated + taken
