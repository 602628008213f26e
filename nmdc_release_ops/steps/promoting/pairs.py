"""Which collections of the origin are compared after a promotion, and with what."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import UUID

from nmdc_release_ops.mongo.archive.blocks import read_documents
from nmdc_release_ops.mongo.archive.manifest import ArchivedCollection
from nmdc_release_ops.mongo.promoting.comparing import Digested, digest_documents
from nmdc_release_ops.mongo.promoting.staged_documents import StagedDocuments
from nmdc_release_ops.mongo.state.journal import Journal
from nmdc_release_ops.steps.promoting.state import PromotionState


@dataclass(frozen=True)
class Pair:
    """A collection of the origin, and what it should hold.

    Attributes:
        place: its name on the origin.
        uuid: None for a collection that stayed where it was.
        is_result: whether it was swapped in; if not, migrators began with it.
        is_in_use: whether people write to it since the swap.
        documents: how many it should hold.
        wanted: reads what it should hold.
    """

    place: str
    uuid: UUID | None
    is_result: bool
    is_in_use: bool
    documents: int
    wanted: Callable[[], Digested]


def list_pairs(state: PromotionState, folder: Path, staged: StagedDocuments, journal: Journal) -> list[Pair]:
    """What was swapped in, and what migrators began with.

    Args:
        state: after the last round.
        folder: of the promotion.
        staged: what was staged.
        journal: of the swap.
    """
    return [*_list_result(staged, journal), *_list_source(state, folder / state.folder, journal)]


def _list_result(staged: StagedDocuments, journal: Journal) -> Iterator[Pair]:
    for move in journal.moves:
        if move.brings_in and move.target is not None:
            name = move.target
            wanted = partial(staged.digests, name)
            yield Pair(name, move.uuid, is_result=True, is_in_use=True, documents=staged.count(name), wanted=wanted)


def _list_source(state: PromotionState, files: Path, journal: Journal) -> Iterator[Pair]:
    """What was swapped out, to which nobody writes, and what migrators used and left as it is, to which people write.

    The files of the collections that migrators use were brought up to the last moment at which people wrote to one of them.
    """
    places: list[tuple[str, str, UUID | None, bool]] = [
        (before, place, uuid, False) for uuid, (before, place) in journal.swapped_out.items()
    ]
    places += [(before, after, None, True) for after, before in sorted(state.changes.kept.items())]
    for before, place, uuid, is_in_use in places:
        if before not in state.touched:
            # Neither copied nor swapped: a collection that is swapped out was used.
            continue
        file = state.by_name[before]
        wanted = partial(_digest_file, files, file)
        yield Pair(place, uuid, is_result=False, is_in_use=is_in_use, documents=file.documents, wanted=wanted)


def _digest_file(folder: Path, file: ArchivedCollection) -> Digested:
    return digest_documents(read_documents(folder, file))
