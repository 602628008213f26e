"""One round of a promotion: read what was written, migrate, compare, validate, stage."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path

import dagster as dg

from nmdc_release_ops.mongo.archive.manifest import Manifest
from nmdc_release_ops.mongo.difference.changes import ChangeSet
from nmdc_release_ops.mongo.promoting.document_file import write_documents
from nmdc_release_ops.mongo.promoting.stage_changes import (
    Differences,
    drop_staged_one,
    find_differences,
    has_definition,
    stage_differences,
)
from nmdc_release_ops.mongo.server.clock import ClusterTime, cluster_time
from nmdc_release_ops.mongo.transfer.stage import Staged
from nmdc_release_ops.records.data_release import Round
from nmdc_release_ops.resources.transformer import TransformerConnection, transformer_database
from nmdc_release_ops.steps.promoting.concerned import Concerned
from nmdc_release_ops.steps.promoting.ids_of_round import IdsOfRound
from nmdc_release_ops.steps.promoting.means import Limit, Means, Rehearsed, Stopwatch
from nmdc_release_ops.steps.promoting.migrating import Migrated, Migrating
from nmdc_release_ops.steps.promoting.result import Result
from nmdc_release_ops.steps.promoting.state import PromotionState
from nmdc_release_ops.steps.promoting.stores import Stores
from nmdc_release_ops.steps.promoting.validating import Documents
from nmdc_release_ops.steps.promoting.written import WrittenDocuments
from nmdc_release_ops.steps.showing.display import log_progress

FILES = "files"
ROUND = "round"
_AGAIN_SECONDS = 0.1
"""What a round takes without a migration, at least."""


class RoundWork:
    """The work of one round.

    Each part may be interrupted. What is staged was validated before; what was validated and not staged is validated again.
    """

    def __init__(
        self,
        context: dg.OpExecutionContext,
        means: Means,
        stores: Stores,
        manifest: Manifest,
        archive: Path,
        state: PromotionState | None,
        rehearsed: Rehearsed | None,
        moment: ClusterTime,
    ) -> None:
        """Args:
        context: of the step, for its log.
        manifest: of the archive that was rehearsed.
        archive: its folder.
        state: after the round before; None in the first.
        rehearsed: what the first round begins with; None in a later one.
        moment: up to which the round goes.
        """
        self._context = context
        self._means = means
        self._stores = stores
        self._manifest = manifest
        self._archive = archive
        self._state = state
        self._rehearsed = rehearsed
        self._moment = moment
        self._number = len(state.rounds) + 1 if state else 1
        self._folder = means.folder / ROUND
        self._files = f"{FILES}-{self._number}-{means.run_id[:8]}"
        database = transformer_database(means.plan.release_id, f"{means.run_id} {self._number}")
        self._scratch = TransformerConnection(means.scratch.uri, means.scratch.database.client[database])

    def carry_out(self, limit: Limit, watch: Stopwatch) -> PromotionState:
        """Do it; return the state after it.

        Args:
            limit: called before each part.
        """
        shutil.rmtree(self._folder, ignore_errors=True)
        (self._folder / "written").mkdir(mode=0o700, parents=True)
        pending, rehearsed = self._stores.pending, self._stores.rehearsed
        with WrittenDocuments(
            self._means.origin.database, pending, rehearsed, self._moment, self._folder / "written"
        ) as written:
            watch.note("read")
            if written.counts or self._state is None:
                self._stores.begin(self._moment, is_first=self._state is None)
            return self._carry_out(written, limit, watch)

    def _carry_out(self, written: WrittenDocuments, limit: Limit, watch: Stopwatch) -> PromotionState:
        state = self._state
        migrates = state is None or any(name in state.touched for name in written.counts)
        began = watch.seconds
        limit(state.migrating_seconds if state is not None and migrates else _AGAIN_SECONDS)
        migrated = self._migrate(written) if migrates else None
        watch.note("migrate")
        anew = self._staged_anew(migrated) if migrated else set()
        differences = self._compare(migrated, anew) if migrated else {}
        watch.note("compare")
        migrating_seconds = watch.seconds - began if migrates or state is None else state.migrating_seconds
        limit(_AGAIN_SECONDS)
        result = self._describe_result(migrated)
        changed = [*self._changed(result, differences, written)]
        ids = self._ids()
        ids.note(result, changed, differences, anew, written)
        watch.note("ids")
        gone = ids.find_gone(result, written)
        tolerated = self._validate(result, changed, gone, written, watch)
        limit(_AGAIN_SECONDS)
        staged = self._stage(migrated, differences, anew) if migrated else list(state.staged if state else [])
        watch.note("stage")
        done = Round(
            until=self._moment,
            written=written.counts,
            migrated=migrates,
            validated=sum(one.file.documents for one in changed),
            tolerated=tolerated,
            staged=sum(one.count for one in differences.values()),
            seconds=watch.seconds,
            parts=watch.parts,
        )
        rounds = [*(state.rounds if state else []), done]
        if migrated is None:
            if state is None:
                raise AssertionError("the first round migrates")
            return state.model_copy(update={"until": self._moment, "rounds": rounds})
        return PromotionState(
            until=self._moment,
            folder=self._files,
            collections=migrated.collections,
            touched=sorted(migrated.touched),
            database=self._scratch.database.name,
            unloaded=sorted(migrated.unloaded),
            changes=migrated.changes,
            hashes=dict(migrated.hashes),
            hashes_before=dict(migrated.hashes_before),
            staged=staged,
            # `catch_up` verifies all of what the first round staged.
            verified_at=state.verified_at if state else cluster_time(self._means.origin.client).next(),
            wrote={name: (state.wrote.get(name, 0) if state else 0) + one.written for name, one in differences.items()},
            migrating_seconds=migrating_seconds,
            rounds=rounds,
        )

    def _describe_result(self, migrated: Migrated | None) -> Result:
        if migrated is not None:
            return Result(
                migrated.changes,
                migrated.touched,
                migrated.collections,
                self._means.folder / self._files,
                self._scratch.database,
                migrated.unloaded,
            )
        if self._state is None:
            raise AssertionError("the first round migrates")
        state = self._state
        return Result(
            state.changes,
            frozenset(state.touched),
            state.collections,
            self._means.folder / state.folder,
            self._scratch.database.client[state.database],
            frozenset(state.unloaded),
        )

    def _migrate(self, written: WrittenDocuments) -> Migrated:
        means, state = self._means, self._state
        migrating = Migrating(self._context, replace(means, scratch=self._scratch))
        if state is None:
            source, manifest, brought_up = self._archive, self._manifest, frozenset[str]()
            unloaded = self._rehearsed.migrated.unloaded if self._rehearsed else []
            touched = frozenset(one.name for one in manifest.collections) - set(unloaded)
        else:
            source = means.folder / state.folder
            manifest = self._manifest.model_copy(update={"collections": state.collections})
            touched = brought_up = frozenset(state.touched)
        return migrating.migrate(
            source,
            manifest,
            touched,
            lambda name: written.since(name, is_brought_up=name in brought_up),
            means.folder / self._files,
        )

    def _compare(self, migrated: Migrated, anew: set[str]) -> dict[str, Differences]:
        """What is to be staged of each collection."""
        return {
            name: find_differences(
                self._scratch.database, name, None if name in anew else self._stores.staged, self._folder / "staged"
            )
            for name in migrated.changes.staged
        }

    def _staged_anew(self, migrated: Migrated) -> set[str]:
        """The collections that are to be staged from the first document on."""
        origin = self._means.origin.database
        staged = {one.name for one in self._state.staged} if self._state else set()
        return {
            name
            for name in migrated.changes.staged
            if name not in staged or not has_definition(origin, migrated.present[name])
        }

    @property
    def _before(self) -> ChangeSet:
        """What the migrators did the last time."""
        if self._state is not None:
            return self._state.changes
        if self._rehearsed is None:
            raise AssertionError("the first round begins with what was rehearsed")
        return self._rehearsed.migrated.changes

    def _changed(
        self, result: Result, differences: dict[str, Differences], written: WrittenDocuments
    ) -> Iterator[Documents]:
        """The documents of the result that are not those that were validated before."""
        yield from (Documents(one.folder, one.documents) for one in differences.values())
        whole = result.placed_anew(self._before)
        for name in sorted(whole):
            yield Documents(self._folder / "whole", write_documents(self._folder / "whole", name, result.read(name)))
        for name, file in written.files.items():
            now = result.name_of(name)
            if now is not None and now not in result.changes.staged and now not in whole:
                yield Documents(written.folder, file.model_copy(update={"name": now}))

    def _ids(self) -> IdsOfRound:
        earlier = self._rehearsed.validation.identifiers_path if self._rehearsed else None
        is_first = self._state is None
        return IdsOfRound(self._stores, self._manifest, self._archive, self._before, earlier, is_first=is_first)

    def _validate(
        self,
        result: Result,
        changed: list[Documents],
        gone: Mapping[str, AbstractSet[str | None]],
        written: WrittenDocuments,
        watch: Stopwatch,
    ) -> int:
        """Validate what changed, and what refers to ids that are gone; return how many violations are tolerated."""
        validation, identities = self._stores.validation, self._stores.identities
        touched = result.touched
        concerned = Concerned(
            self._means.origin.database,
            result.database,
            result.held,
            result.changes.names_after,
            self._moment,
            validation,
            self._folder,
        )
        archived = [Documents(result.folder, one) for one in result.collections if one.name in touched]
        referring: list[Documents] = []

        def find_before(ids: Iterable[str | None]) -> list[Documents]:
            return concerned.before(ids, archived, written, referring, identities)

        duplicates = identities.duplicates()
        tolerated = validation.validate(self._context, changed, identities, duplicates, find_before, self._folder)
        watch.note("validate")
        if gone:
            count = sum(map(len, gone.values()))
            self._context.log.info(f"Looking for documents that refer to {count:,} ids that are gone.")
            referring.extend(concerned.referring(gone, identities))
            tolerated += validation.validate(self._context, referring, identities, {}, find_before, self._folder)
            watch.note("references to what is gone")
        return tolerated

    def _stage(self, migrated: Migrated, differences: dict[str, Differences], anew: set[str]) -> list[Staged]:
        origin, store = self._means.origin.database, self._stores.staged
        for name in anew:
            drop_staged_one(origin, name, store)
        report = log_progress(self._context, "staged", sum(one.count for one in differences.values()))
        staged = [
            stage_differences(
                origin,
                migrated.present[name],
                one,
                store,
                migrated.hashes[name],
                check=self._means.refuse_if_held,
                report=report,
            )
            for name, one in differences.items()
        ]
        for name in {one.name for one in self._state.staged} - differences.keys() if self._state else ():
            drop_staged_one(origin, name, store)
        return staged

    def remove_what_is_over(self, state: PromotionState) -> None:
        """Remove the files and databases of earlier rounds, and of those that were interrupted."""
        for path in self._means.folder.glob(f"{FILES}-*"):
            if path.name != state.folder:
                shutil.rmtree(path, ignore_errors=True)
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._state is not None and self._state.database != state.database:
            self._scratch.database.client.drop_database(self._state.database)
