"""The renames that undo a swap, in reverse order, even if some of the earlier collections were dropped."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from pymongo.database import Database

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.collections import find_names
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.state.generations import STAGED
from nmdc_release_ops.mongo.state.journal import Journal, Move
from nmdc_release_ops.mongo.swapping.moves import find_remaining


class RollbackImpossible(MongoError):
    """Collections from before the release were dropped or renamed."""


def find_undoing_moves(journal: Journal, names: Mapping[UUID, str]) -> list[Move]:
    """The renames that are left, in order, given the collections' names. Each of them is possible.

    A drop is not undone: it concerned an even earlier release. The collections that the release brought, or was to bring,
    are not needed for a rollback: they may be gone.

    Raises:
        RollbackImpossible: naming every problem.
    """
    brought = {move.uuid for move in journal.moves if move.brings_in}
    lost = _find_lost(journal, names)
    kept = _find_brought_to_keep(journal, names)
    skipped = {
        *(uuid for uuid in brought if uuid not in names),
        *(uuid for uuid, name in lost.items() if name in journal.accepted_lost),
        *(move.uuid for move in journal.moves if move.brings_in and move.target in journal.accepted_lost),
    }
    backwards = [
        Move(uuid=move.uuid, source=move.target, target=move.source)
        for move in reversed(journal.moves)
        if move.target is not None and move.uuid not in skipped
    ]
    found, problems = find_remaining([*backwards, *kept], names)
    if problems:
        raise RollbackImpossible(_describe_problems(journal, problems, lost))
    return found


def _find_lost(journal: Journal, names: Mapping[UUID, str]) -> dict[UUID, str]:
    """The collections from before the release that no longer exist, with the names that they had."""
    before: dict[UUID, str] = {}
    for move in journal.moves:
        if move.target is not None:
            before.setdefault(move.uuid, move.source)
    return {uuid: name for uuid, name in before.items() if uuid not in names and not name.startswith(STAGED)}


def _find_brought_to_keep(journal: Journal, names: Mapping[UUID, str]) -> list[Move]:
    """The moves that make live what the release brought under names that were accepted as lost.

    Each may be the only copy, and the next release drops what is staged. A collection that somebody loaded by hand under the
    name takes precedence.
    """
    taken = set(names.values())
    return [
        move
        for move in journal.moves
        if move.brings_in and move.target in journal.accepted_lost and move.uuid in names and move.target not in taken
    ]


def accept_losses(journal: Journal, names: Mapping[UUID, str], accept_lost: Sequence[str]) -> Journal:
    """The journal with these names accepted as lost, besides those that an earlier attempt accepted.

    Raises:
        RollbackImpossible: one of them is not lost.
    """
    lost = set(_find_lost(journal, names).values())
    if not_lost := sorted(set(accept_lost) - lost - set(journal.accepted_lost)):
        raise RollbackImpossible(
            f"accept_lost names {', '.join(not_lost)}, and no such collection of release {journal.release_id} was dropped"
            f"{f' (but {_join(lost)} was)' if lost else ''}. Nothing was renamed. Launch `rollback` without that name."
        )
    return journal.model_copy(update={"accepted_lost": sorted({*journal.accepted_lost, *accept_lost})})


def _describe_problems(journal: Journal, problems: Sequence[Move], lost: Mapping[UUID, str]) -> str:
    described = "; ".join(f"{move.source} is not the collection that it was after the swap" for move in problems)
    text = f"Release {journal.release_id} cannot be rolled back: {described}. {state_left(journal)}"
    if any(move.uuid not in lost for move in problems):
        text += " Rename back what was renamed, and launch `rollback` again."
    if dropped := {lost[move.uuid] for move in problems if move.uuid in lost}:
        accepted = _join({*journal.accepted_lost, *dropped})
        text += (
            f" Somebody dropped the earlier version of {_join(dropped)}. To roll back without it, launch `rollback` with "
            f"release_id: {journal.release_id}, accept_lost: [{accepted}]. The collection that has that name now stays live, or "
            "else the one that the release brought, in the form of schema "
            f"{journal.to_version}. Load the documents from the release's archive by hand."
        )
    return text


def state_left(journal: Journal) -> str:
    return "The origin stays frozen." if journal.is_under_way else "Nothing was renamed."


def _join(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def describe_accepted(origin: Database[Document], journal: Journal) -> list[str]:
    """A line for each collection that a rollback did without: which collection has its name now."""
    occupants = {name: uuid for uuid, name in find_names(origin).items()}
    brought = {move.uuid for move in journal.moves if move.brings_in}

    def describe(name: str) -> str:
        if name not in occupants:
            return (
                f"no collection has its name. What the release brought in its place, if anything, is in {STAGED}NAME."
            )
        if occupants[name] in brought:
            return f"the collection that the release brought has its name, in the form of schema {journal.to_version}."
        return f"a collection that somebody created since has its name. Check it against schema {journal.from_version}."

    return [
        f"Somebody dropped {name}, and the rollback was made without it: {describe(name)} The release's archive has its "
        "documents."
        for name in journal.accepted_lost
    ]
