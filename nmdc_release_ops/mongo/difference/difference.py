"""What a migration did to the documents: how many were added, removed and changed, at which paths, with samples.

The state before is an archive, the state after a database that was loaded from it and migrated. Everything streams, and
the origin is frozen meanwhile: only collections that changed are read.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Set
from functools import partial
from itertools import islice
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from pymongo.database import Database

from nmdc_release_ops.mongo.archive.blocks import read_documents
from nmdc_release_ops.mongo.archive.manifest import ArchivedCollection, Manifest
from nmdc_release_ops.mongo.difference.changes import ChangeSet
from nmdc_release_ops.mongo.difference.matching import Matching
from nmdc_release_ops.mongo.difference.paths import Change, Kind, changes
from nmdc_release_ops.mongo.difference.samples import MOST_SAMPLES, Sample, Samples, added_sample, removed_sample
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.progress import Progress, Report, silent

MOST_PATHS = 200
"""Changes that are counted separately, per collection. Where keys are data their number is unlimited."""
_REPORT_EVERY = 10_000

ReadBefore = Callable[[], Iterable[bytes]]
"""Returns the documents of a collection's earlier state, each time from the start."""


class CollectionCounts(BaseModel):
    """How many documents of a collection were added, removed, changed, and left unchanged to the last byte.

    Attributes:
        before: its name before the migration; None where it was created.
        after: its name now; None where it was deleted.
    """

    model_config = ConfigDict(frozen=True)

    before: str | None
    after: str | None
    added: int
    removed: int
    changed: int
    unchanged: int

    @property
    def name(self) -> str:
        """For people."""
        if self.before and self.after and self.before != self.after:
            return f"{self.before} → {self.after}"
        return self.after or f"{self.before}"

    @property
    def fate(self) -> str:
        """What happened to the collection, for people."""
        if self.before is None:
            return "created"
        if self.after is None:
            return "deleted"
        return "changed" if self.before == self.after else "renamed and changed"

    def describe(self) -> str:
        """One line for people."""
        return (
            f"{self.name}: {self.changed:,} changed, {self.added:,} added, {self.removed:,} removed, "
            f"{self.unchanged:,} unchanged"
        )


class ChangedPath(BaseModel):
    """A change, and the number of documents in which it happened at least once. Attributes as `Change`."""

    model_config = ConfigDict(frozen=True)

    path: str
    kind: Kind
    detail: str
    documents: int

    @property
    def change(self) -> Change:
        return Change(self.path, self.kind, self.detail)


class CollectionDifference(BaseModel):
    """One collection before and after.

    Attributes:
        paths: most frequent first, at most `MOST_PATHS`.
        elsewhere: documents with changes at paths that are not listed.
        changed, added, removed: samples. There may be no sample of added documents although some were added.
    """

    model_config = ConfigDict(frozen=True)

    counts: CollectionCounts
    paths: list[ChangedPath]
    elsewhere: int
    changed: list[Sample]
    added: list[Sample]
    removed: list[Sample]

    def describe(self) -> str:
        """One line for people."""
        if not self.paths:
            return self.counts.describe()
        often = "; ".join(f"{path.change}: {path.documents:,}" for path in self.paths[:3])
        return f"{self.counts.describe()}; most often {often}"


class Difference(BaseModel):
    """A whole database before and after.

    Attributes:
        renamed: collections of which only the name changed, as (before, after).
        untouched: collections that did not change.
        used: those of them that a migrator used nevertheless.
    """

    model_config = ConfigDict(frozen=True)

    collections: list[CollectionDifference]
    renamed: list[tuple[str, str]]
    untouched: list[str]
    used: list[str] = []


def find_difference(
    folder: Path,
    manifest: Manifest,
    database: Database[Document],
    change_set: ChangeSet,
    *,
    used: Container[str] = (),
    report: Report = silent,
) -> Difference:
    """Compare an archive with the database that was loaded from it and migrated.

    Args:
        folder: of the archive.
        change_set: which collections changed; untouched ones are not read.
        used: the collections that migrators used.

    Raises:
        ArchiveDamaged: a file of the archive is not what was loaded.
    """
    archived = {collection.name: collection for collection in manifest.collections}
    names: list[tuple[str | None, str | None]] = [
        *((name, name) for name in change_set.changed),
        *((rename.old, rename.new) for rename in change_set.renamed if rename.changed),
        *((None, name) for name in change_set.created),
        *((name, None) for name in change_set.deleted),
    ]
    return Difference(
        collections=[
            _compare(folder, archived[before] if before else None, database, after, report)
            for before, after in sorted(names, key=lambda pair: pair[1] or pair[0] or "")
        ],
        renamed=[(rename.old, rename.new) for rename in change_set.renamed if not rename.changed],
        untouched=change_set.untouched,
        used=[name for name in change_set.untouched if name in used],
    )


def _compare(
    folder: Path, archived: ArchivedCollection | None, database: Database[Document], after: str | None, report: Report
) -> CollectionDifference:
    if archived is None:
        before: ReadBefore = tuple
        name, total = None, 0
    else:
        before = partial(read_documents, folder, archived)
        name, total = archived.name, archived.documents
    if after is None:
        counts = CollectionCounts(before=name, after=None, added=0, removed=total, changed=0, unchanged=0)
        removed = [removed_sample(was) for was in islice(before(), MOST_SAMPLES)]
        return CollectionDifference(counts=counts, paths=[], elsewhere=0, changed=[], added=[], removed=removed)
    collection = database[after]
    matching = Matching(collection)
    paths, samples, removed = _Paths(), Samples(), []
    done = gone = changed = 0
    for was, now in matching.pairs(before()):
        done += 1
        if now is None:
            gone += 1
            if len(removed) < MOST_SAMPLES:
                removed.append(removed_sample(was))
        elif was != now:
            changed += 1
            found = changes(was, now)
            paths.count(found)
            samples.consider(was, now, found)
        if done % _REPORT_EVERY == 0:
            report(Progress(after, done, total))
    report(Progress(after, done, total))
    added = collection.count_documents({}) - (done - gone)
    return CollectionDifference(
        counts=CollectionCounts(
            before=name,
            after=after,
            added=added,
            removed=gone,
            changed=changed,
            unchanged=done - gone - changed,
        ),
        paths=paths.list_changes(),
        elsewhere=paths.elsewhere,
        changed=samples.choose(),
        added=[added_sample(now) for now in matching.added(MOST_SAMPLES, before)] if added else [],
        removed=removed,
    )


class _Paths:
    """Counts in how many documents each change happened, for at most `MOST_PATHS` different changes.

    Attributes:
        elsewhere: documents with a change that is not among those.
    """

    def __init__(self) -> None:
        self._documents: Counter[Change] = Counter()
        self.elsewhere = 0

    def count(self, found: Set[Change]) -> None:
        """Count the changes of one document."""
        known = found & self._documents.keys()
        new = sorted(found - known)[: MOST_PATHS - len(self._documents)]
        self._documents.update([*known, *new])
        self.elsewhere += len(known) + len(new) < len(found)

    def list_changes(self) -> list[ChangedPath]:
        """Most frequent first, and outer paths before inner ones."""

        def rank(item: tuple[Change, int]) -> tuple[int, int, Change]:
            return -item[1], item[0].path.count("."), item[0]

        return [
            ChangedPath(path=change.path, kind=change.kind, detail=change.detail, documents=documents)
            for change, documents in sorted(self._documents.items(), key=rank)
        ]
