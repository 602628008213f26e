"""The single moves of a swap or of its rollback: making one, and finding out which are left."""

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from pymongo.database import Database

from nmdc_release_ops.mongo.server.collections import find_names
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.renaming import NameTaken, NotThere, drop_collection, rename_collection
from nmdc_release_ops.mongo.state.generations import is_ours
from nmdc_release_ops.mongo.state.journal import Move

TRIES = 20
"""How often to free a name for one move, to undo a late move, and to check all moves again."""

Make = Callable[[Database[Document], Move], None]


def make(origin: Database[Document], move: Move) -> None:
    """Make one move, unless it has been made already.

    Raises:
        NameTaken: by another collection.
        NotThere: the collection has another name than the move expects.
        Busy: a transaction or an index build blocks the rename.
    """
    name = find_names(origin).get(move.uuid)
    if name == move.target:
        return
    if name != move.source:
        raise NotThere(move.source)
    if move.target is None:
        drop_collection(origin, move.uuid, move.source)
    else:
        rename_collection(origin, move.uuid, move.source, move.target)


def find_remaining(moves: Sequence[Move], names: Mapping[UUID, str]) -> tuple[list[Move], list[Move]]:
    """The moves that are left, in order, each from the collection's present name; and the moves that cannot be made.

    Args:
        names: present names of the collections.
    """
    known = {(move.uuid, name) for move in moves for name in (move.source, move.target)}
    where: dict[UUID, str | None] = dict(names)
    left, problems = [], []
    for number, move in enumerate(moves):
        name = where.get(move.uuid)
        if name in {ahead.target for ahead in moves[number:] if ahead.uuid == move.uuid}:
            continue
        if name is not None and (is_ours(name) or (move.uuid, name) in known):
            left.append(Move(uuid=move.uuid, source=name, target=move.target))
        elif move.target is not None:
            problems.append(move)
        # Also after a problem, so that its consequences are not reported as further problems.
        where[move.uuid] = move.target
    return left, problems


def rename_if_there(origin: Database[Document], uuid: UUID, name: str, new: str) -> bool:
    try:
        rename_collection(origin, uuid, name, new)
    except (NameTaken, NotThere):
        return False
    return True
