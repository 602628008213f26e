"""What a round changes about the ids of documents, and which ids are gone after it."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from itertools import chain
from pathlib import Path

from nmdc_release_ops.mongo.archive.blocks import read_documents
from nmdc_release_ops.mongo.archive.manifest import Manifest
from nmdc_release_ops.mongo.difference.changes import ChangeSet
from nmdc_release_ops.mongo.promoting.identities import group_by_collection, id_of
from nmdc_release_ops.mongo.promoting.stage_changes import Differences
from nmdc_release_ops.steps.promoting.concerned import add_unplaced
from nmdc_release_ops.steps.promoting.result import Result
from nmdc_release_ops.steps.promoting.stores import Stores
from nmdc_release_ops.steps.promoting.validating import Documents
from nmdc_release_ops.steps.promoting.written import WrittenDocuments


class IdsOfRound:
    """The ids of all documents, brought up to what a round makes of them."""

    def __init__(
        self,
        stores: Stores,
        manifest: Manifest,
        archive: Path,
        before: ChangeSet,
        earlier: Path | None,
        *,
        is_first: bool,
    ) -> None:
        """Args:
        manifest: of the archive that was rehearsed.
        archive: its folder.
        before: what the migrators did the last time.
        earlier: the ids of all documents when they were rehearsed; only needed in the first round.
        is_first: whether no round was completed before.
        """
        self._stores = stores
        self._manifest = manifest
        self._archive = archive
        self._before = before
        self._earlier = earlier
        self._is_first = is_first

    def note(
        self,
        result: Result,
        changed: Iterable[Documents],
        differences: Mapping[str, Differences],
        anew: AbstractSet[str],
        written: WrittenDocuments,
    ) -> None:
        """Note the ids of the documents that changed, or are gone."""
        identities, has_ids = self._stores.identities, self._stores.validation.has_ids
        whole = result.placed_anew(self._before)
        if self._is_first:
            self._fill(result)
        gone = set(self._before.names_after) - set(result.changes.names_after)
        for name in filter(has_ids, {*whole, *anew, *gone}):
            identities.empty(name)
        for name, deleted in ((name, one.deleted) for name, one in differences.items() if has_ids(name)):
            identities.remove(name, deleted)
        for name in written.files:
            now = result.name_of(name)
            if now is not None and has_ids(now) and now not in result.changes.staged and now not in whole:
                identities.remove(now, written.deleted(name))
        for one in changed:
            if has_ids(one.file.name):
                identities.put(one.file.name, one.read())

    def _fill(self, result: Result) -> None:
        """Note the ids of everything that is not staged, as it was rehearsed."""
        identities = self._stores.identities
        for one in self._manifest.collections:
            now = result.name_of(one.name)
            if now is not None and now not in result.changes.staged and self._stores.validation.has_ids(now):
                identities.fill(now, read_documents(self._archive, one))
        identities.finish_filling()

    def find_gone(self, result: Result, written: WrittenDocuments) -> dict[str, set[str | None]]:
        """The ids that documents had and none has now, by collection."""
        identities = self._stores.identities
        gone = identities.gone()
        if self._is_first and self._earlier is not None:
            # The others were noted as they were rehearsed, before what changed was.
            same = dict(self._before.kept.items() & result.changes.kept.items())
            before = {*self._before.names_after, *result.changes.names_after} - same.keys()
            gone = chain(gone, identities.missing(self._earlier, sorted(before)))
        grouped = group_by_collection(gone)
        unmigrated = (
            one
            for name in written.files.keys() & result.touched
            for one in map(id_of, written.read(name))
            if isinstance(one, str)
        )
        if absent := set(identities.absent(unmigrated)):
            add_unplaced(grouped, absent)
        return grouped
