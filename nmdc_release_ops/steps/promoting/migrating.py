"""Migrating what was rehearsed once more, with what people wrote since."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from nmdc_release_ops.mongo.archive.links import link_files
from nmdc_release_ops.mongo.archive.manifest import ArchivedCollection, Manifest
from nmdc_release_ops.mongo.archive.merge import merge
from nmdc_release_ops.mongo.delta.delta import Contains
from nmdc_release_ops.mongo.difference.changes import ChangeSet, compare, snapshot
from nmdc_release_ops.mongo.server.collections import Collection
from nmdc_release_ops.mongo.transfer.load import load
from nmdc_release_ops.mongo.transfer.on_demand import PartialLoad, UsedUnloaded
from nmdc_release_ops.steps.planning.migrators import run_migrators
from nmdc_release_ops.steps.promoting.means import Means


@dataclass(frozen=True)
class Written:
    """What was written to a collection since its file in the archive was brought up last.

    Attributes:
        contains: whether the document with a key was written or deleted.
        read: gives those that exist, as BSON.
    """

    contains: Contains
    read: Callable[[], Iterable[bytes]]


@dataclass(frozen=True)
class Migrated:
    """What the migrators made.

    Attributes:
        collections: describes the archive's files that they began with.
        touched: the archive's collections that they used, in this migration or an earlier one.
        present: the collections that they left.
        hashes: `dbHash` of these.
        hashes_before: `dbHash` of the archive's collections, as far as it is known.
        unloaded: the collections that they left as they were, and whose documents the transformer does not hold.
    """

    collections: list[ArchivedCollection]
    touched: frozenset[str]
    changes: ChangeSet
    present: Mapping[str, Collection]
    hashes: Mapping[str, str]
    hashes_before: Mapping[str, str]
    unloaded: frozenset[str]


class Migrating:
    """Runs a plan's migrators on an archive whose files are brought up to a later moment."""

    def __init__(self, context: dg.OpExecutionContext, means: Means) -> None:
        """Args:
        context: of the step, for its log.
        means: `scratch` is the migrators' database, which is emptied first.
        """
        self._context = context
        self._means = means

    def migrate(
        self,
        source: Path,
        manifest: Manifest,
        touched: frozenset[str],
        written: Callable[[str], Written | None],
        folder: Path,
    ) -> Migrated:
        """Bring up the files of the collections that migrators touch, and run the migrators on them.

        Args:
            source: folder of the archive's files.
            manifest: describes them.
            touched: the collections that migrators are known to touch.
            written: what was written to a collection; None if nothing was.
            folder: for the files that are brought up.

        Raises:
            MigratorFailed, MigratorTimedOut, WorkerDied, ArchiveDamaged, LoadFailed, FileNotWritten.
            OSError: the disk is full, for example.
        """
        names = frozenset(one.name for one in manifest.collections)
        # What is not loaded is not linked: `oplog.bson` belongs to the archive as it was.
        manifest = manifest.model_copy(update={"other_files": {}})
        link_files(source, manifest.digests, folder)
        up_to_date: set[str] = set()
        while True:
            manifest = _bring_up(folder, manifest, touched - up_to_date, written)
            up_to_date |= touched
            try:
                made = self._run(folder, manifest, touched, everything=False)
            except UsedUnloaded as error:
                self._context.log.warning(f"{error} Everything is loaded, and the migrators run again from the first.")
                touched = names
                manifest = _bring_up(folder, manifest, touched - up_to_date, written)
                return self._run(folder, manifest, touched, everything=True)
            touched = made.touched
            # What they used for the first time must be as it is now, too.
            if all(written(name) is None for name in touched - up_to_date):
                return made

    def _run(self, folder: Path, manifest: Manifest, touched: frozenset[str], *, everything: bool) -> Migrated:
        means = self._means
        database = means.scratch.database
        if everything:
            load(folder, manifest, database)
            contents = PartialLoad(folder, manifest, database, loaded=True)
        else:
            contents = PartialLoad.begin(folder, manifest, database)
        before = snapshot(database, contents.hashes)
        run_migrators(self._context, means.plan, contents, means.scratch, means.home, means.schema, means.worker)
        before = before.with_hashes(contents.hashes_when_loaded)
        after = snapshot(database, contents.hashes)
        names = {one.name for one in manifest.collections}
        identities = {one.identity for one in manifest.collections if not one.hash}
        return Migrated(
            collections=manifest.collections,
            touched=touched | (names - contents.unloaded.keys()),
            changes=compare(before, after),
            present=after.collections,
            hashes=after.hashes,
            hashes_before={name: one for name, one in before.hashes.items() if one not in identities},
            unloaded=frozenset(contents.unloaded),
        )


def _bring_up(
    folder: Path, manifest: Manifest, names: Iterable[str], written: Callable[[str], Written | None]
) -> Manifest:
    """Merge what was written into the files of some collections."""
    wanted = set(names)
    collections = []
    for one in manifest.collections:
        new = written(one.name) if one.name in wanted else None
        if new is not None:
            # Its hash was that of the documents before.
            one = merge(folder, one.model_copy(update={"hash": ""}), new.contains, new.read())
        collections.append(one)
    return manifest.model_copy(update={"collections": collections})
