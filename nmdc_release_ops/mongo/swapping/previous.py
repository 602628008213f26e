"""Which previous collections a release may drop: those whose documents live on in what replaced them."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from pymongo.database import Database

from nmdc_release_ops.mongo.server.collections import find_names
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.state.generations import PREVIOUS, is_ours
from nmdc_release_ops.mongo.state.journal import Journal, Move, State, list_journals


def find_superseded(origin: Database[Document]) -> list[Move]:
    """The drops of the previous collections that nobody needs any more."""
    names = find_names(origin)
    journals = list_journals(origin.client, origin.name)
    return [
        Move(uuid=uuid, source=name, target=None)
        for uuid, name in sorted(names.items(), key=lambda item: item[1])
        if name.startswith(PREVIOUS) and _is_superseded(uuid, name, journals, names)
    ]


def find_kept(origin: Database[Document]) -> list[str]:
    """Names of the previous collections that no release drops: somebody made them, or they may be the only copy."""
    superseded = {move.uuid for move in find_superseded(origin)}
    return sorted(
        name for uuid, name in find_names(origin).items() if name.startswith(PREVIOUS) and uuid not in superseded
    )


def _is_superseded(uuid: UUID, name: str, journals: Sequence[Journal], names: Mapping[UUID, str]) -> bool:
    """Whether a release swapped the collection out, and the very collections that it brought are still live.

    A collection of the same name is not enough: an application makes an empty one when it creates its indexes.

    Args:
        journals: newest first.
    """
    journal = next((one for one in journals if uuid in one.places), None)
    if journal is None or journal.state is not State.SWAPPED or journal.places[uuid] != name:
        return False
    live = name.removeprefix(PREVIOUS)
    brought = {move.uuid: str(move.target) for move in journal.moves if move.brings_in}
    successors = [one for one, place in brought.items() if place == live]
    if not successors:
        # The release took the name away. Any collection that it brought under a new name may have the documents.
        swapped_out = set(journal.places.values())
        successors = [one for one, place in brought.items() if PREVIOUS + place not in swapped_out]
    return all(_is_live(one, journals, names) for one in successors)


def _is_live(uuid: UUID, journals: Iterable[Journal], names: Mapping[UUID, str]) -> bool:
    """Whether a collection is where the newest release that knows it put it."""
    place = next((one.places[uuid] for one in journals if uuid in one.places), None)
    return place is not None and names.get(uuid) == place and not is_ours(place)
