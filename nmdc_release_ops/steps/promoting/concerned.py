"""Documents that a round does not change, and that it may concern: those that refer to what is gone, and what violations name."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from itertools import islice
from pathlib import Path
from typing import Any

from pymongo import ReadPreference
from pymongo.database import Database

from nmdc_release_ops.mongo.delta.keys import key_of
from nmdc_release_ops.mongo.delta.read import find_at, read_at
from nmdc_release_ops.mongo.promoting.document_file import write_documents
from nmdc_release_ops.mongo.promoting.identities import Identities
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.raw import read_raw, split
from nmdc_release_ops.steps.promoting.validating import DeltaValidation, Documents
from nmdc_release_ops.steps.promoting.written import WrittenDocuments

_IDS_AT_ONCE = 1_000
_ANYWHERE = ""
"""Stands for the collection of an id of which it is not known."""


class Concerned:
    """Finds documents in the release's result, at one moment.

    A collection that the migrators used is read in the transformer; any other one in the origin, where it stays as it is.
    """

    def __init__(
        self,
        origin: Database[Document],
        scratch: Database[Document],
        held: AbstractSet[str],
        present: Iterable[str],
        moment: ClusterTime,
        validation: DeltaValidation,
        folder: Path,
    ) -> None:
        """Args:
        held: the collections whose documents the transformer holds.
        present: names of all collections of the result.
        folder: for files of documents.
        """
        self._origin = origin.with_options(read_preference=ReadPreference.SECONDARY_PREFERRED)
        self._scratch = scratch
        self._held = held
        self._present = sorted(present)
        self._moment = moment
        self._validation = validation
        self._folder = folder

    def referring(self, gone: Mapping[str, AbstractSet[str | None]], identities: Identities) -> list[Documents]:
        """The documents that have one of these ids in a field that may refer to it, and that the round did not change.

        Args:
            gone: ids by the collection where they were; under "" those of which that is not known.

        Raises:
            MomentGone, FileNotWritten.
        """
        found = []
        for name in self._present:
            ids: set[str | None] = set()
            slots: set[str] = set()
            for collection, some in gone.items():
                targets = set(self._present) if collection == _ANYWHERE else {collection}
                if more := self._validation.slots(name, targets):
                    slots |= more
                    ids |= some
            if slots:
                file = write_documents(self._folder / "referring", name, self._find(name, slots, ids, identities))
                found.append(Documents(self._folder / "referring", file))
        return found

    def _find(
        self, name: str, slots: AbstractSet[str], ids: AbstractSet[str | None], identities: Identities
    ) -> Iterator[bytes]:
        found: set[bytes] = set()
        for condition in _conditions(slots, ids):
            for document in self._search(name, condition):
                if (key := key_of(document)) not in found and not identities.is_changed(name, key):
                    found.add(key)
                    yield document

    def _search(self, name: str, condition: Mapping[str, Any]) -> Iterator[bytes]:
        if name not in self._held:
            yield from find_at(self._origin, name, condition, self._moment)
            return
        for run in read_raw(self._scratch[name], filter=condition):
            yield from split(run)

    def before(
        self,
        ids: Iterable[str | None],
        archived: Iterable[Documents],
        written: WrittenDocuments,
        referring: Iterable[Documents],
        identities: Identities,
    ) -> list[Documents]:
        """The origin's documents, before the migration, that violations may be compared with.

        Args:
            ids: that violations name.
            archived: every document of the collections that migrators touch.
            referring: as `referring` found them.

        Raises:
            MomentGone, FileNotWritten.
        """
        found = list(archived)
        theirs = {one.file.name for one in found}
        found += [Documents(written.folder, file) for name, file in written.files.items() if name not in theirs]
        wanted = list(ids)
        live = {one.file.name: one for one in referring if one.file.name not in theirs}
        for name in self._present:
            if name in theirs or name in self._held:
                continue
            keys = set(identities.keys(wanted, name)) if self._validation.has_ids(name) else set()
            if name in live:
                keys |= {key_of(document) for document in live[name].read()}
            keys = {key for key in keys if not written.contains(name, key)}
            if keys:
                documents = (one for _, one in read_at(self._origin, name, keys, self._moment) if one is not None)
                found.append(
                    Documents(self._folder / "named", write_documents(self._folder / "named", name, documents))
                )
        return found


def _conditions(slots: AbstractSet[str], ids: AbstractSet[str | None]) -> Iterator[Mapping[str, Any]]:
    if None in ids:
        yield {"$or": [{slot: {"$type": "null"}} for slot in sorted(slots)]}
    texts = iter(sorted(one for one in ids if one is not None))
    while some := list(islice(texts, _IDS_AT_ONCE)):
        yield {"$or": [{slot: {"$in": some}} for slot in sorted(slots)]}


def add_unplaced(gone: dict[str, set[str | None]], ids: Iterable[str | None]) -> None:
    """Add ids of which it is not known in which collection they were."""
    gone.setdefault(_ANYWHERE, set()).update(ids)
