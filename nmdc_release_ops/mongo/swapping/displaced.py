"""Collections that a run renamed after it had lost its lease: finding them, reporting them and putting them back."""

from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from pymongo.database import Database

from nmdc_release_ops.mongo.server.collections import find_names
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.renaming import Busy, drop_collection
from nmdc_release_ops.mongo.state.generations import STAGED, is_ours
from nmdc_release_ops.mongo.state.journal import Journal, Move, SwapBlocked, list_journals
from nmdc_release_ops.mongo.swapping.moves import TRIES, rename_if_there


def find_displaced(origin: Database[Document]) -> list[Move]:
    """Collections that should be live but have one of a release's names, or the other way round, each with the move that puts
    it back.

    A run that renamed them after it had lost its lease, and was killed before it could check, leaves them there. Swaps that
    are under way are left out.
    """
    names = find_names(origin)
    occupants = {name: uuid for uuid, name in names.items()}
    places: dict[UUID, tuple[str, Journal]] = {}
    for journal in list_journals(origin.client, origin.name):
        for uuid, place in journal.places.items():
            places.setdefault(uuid, (place, journal))
    wanted = {place for place, _ in places.values()}

    def is_misnamed(uuid: UUID, name: str) -> bool:
        place, journal = places[uuid]
        if is_ours(name):
            return not is_ours(place)
        # A name that is not in the journal, or that its own collection has left, was given by hand, on purpose.
        known = {name for move in journal.moves if move.uuid == uuid for name in (move.source, move.target)}
        return is_ours(place) and name in known and name not in wanted

    def is_occupied_rightly(place: str) -> bool:
        # Journals without a number are in the order of other machines' clocks, which may be wrong.
        occupant = occupants.get(place)
        return occupant in places and places[occupant][0] == place

    return [
        Move(uuid=uuid, source=names[uuid], target=place)
        for uuid, (place, journal) in places.items()
        if uuid in names
        and names[uuid] != place
        and is_misnamed(uuid, names[uuid])
        and not journal.is_under_way
        and not is_occupied_rightly(place)
    ]


def require_placed(origin: Database[Document]) -> None:
    """Check that every collection is where the last swap, or its rollback, put it.

    Raises:
        SwapBlocked: naming those that are not.
    """
    if displaced := find_displaced(origin):
        raise SwapBlocked(f"{' '.join(describe_displaced(displaced))} Nothing was swapped.")


def describe_displaced(displaced: Sequence[Move]) -> list[str]:
    """A line for each, with what to do."""
    return [
        f"The collection {move.target} is called {move.source}: a run renamed it after it had lost its lease. Launch the job "
        f"`rollback`, which puts it back (and does nothing else, if the last release is rolled back already); or, while "
        f'{move.target} is free, rename it by hand: db.getCollection("{move.source}").renameCollection("{move.target}").'
        for move in displaced
    ]


def find_place(origin: Database[Document], uuid: UUID) -> str | None:
    """The name that a collection should have by the newest swap that it was part of; None where there is none."""
    for journal in list_journals(origin.client, origin.name):
        if uuid in journal.places:
            return journal.places[uuid]
    return None


def drop_staged(origin: Database[Document], keep: frozenset[UUID] = frozenset()) -> None:
    """Drop every staged collection except those to `keep`, and except one that should be live and was renamed late."""
    misplaced = {move.uuid for move in find_displaced(origin)}
    for uuid, name in find_names(origin).items():
        if name.startswith(STAGED) and uuid not in keep | misplaced:
            drop_collection(origin, uuid, name)


def put_back_if_late(origin: Database[Document], move: Move) -> str:
    """Undo a rename that this run made after it had lost its lease; return the message for the operator, or "".

    Another run may be working at the same time: it finds each collection by its UUID.
    """
    message = ""
    for _ in range(TRIES):
        is_renamed = find_names(origin).get(move.uuid) == move.target
        if move.target is None or not is_renamed or find_place(origin, move.uuid) != move.source:
            return message
        message = (
            f"This run renamed {move.source} to {move.target} after it had lost its lease and another run had taken over. The "
            "rename was undone. In between, readers did not find the collection."
        )
        with suppress(Busy):
            rename_if_there(origin, move.uuid, move.target, move.source)
    return (
        f"This run had lost its lease when it renamed {move.source} to {move.target}, and the rename cannot be "
        f"undone: another collection is called {move.source} now, or a transaction or an index build blocks it. Nothing is lost. "
        "Launch the job `rollback`, which puts it back."
    )
