"""A promotion whose rounds a test drives, and what a release, begun at the same moment, would make of the origin."""

import itertools
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.jobs import HOOKS
from nmdc_release_ops.lineage import collect_digests
from nmdc_release_ops.mongo.delta.keys import key_of
from nmdc_release_ops.mongo.difference.changes import ChangeSet
from nmdc_release_ops.mongo.server.clock import cluster_time
from nmdc_release_ops.mongo.server.collections import Collection, list_collections
from nmdc_release_ops.mongo.server.comparison import State, compare_collections
from nmdc_release_ops.mongo.server.raw import read_raw, split
from nmdc_release_ops.mongo.state.generations import STAGED
from nmdc_release_ops.mongo.transfer.dump import dump
from nmdc_release_ops.records.data_release import (
    Archive,
    CaughtUp,
    Integrity,
    MigratedDatabase,
    ReleasePlan,
    ValidationReport,
)
from nmdc_release_ops.resources.origin import OriginConnection, OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.schema import SchemaReleasesResource, SchemaWorkerResource
from nmdc_release_ops.resources.transformer import TransformerConnection, TransformerResource, transformer_database
from nmdc_release_ops.schema.packages.candidate import release_named
from nmdc_release_ops.schema.report import SUMMARY, VIOLATIONS
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops.steps.choose import choose
from nmdc_release_ops.steps.freeze import freeze
from nmdc_release_ops.steps.judging.validating import describe_file, require_summary, run_validation
from nmdc_release_ops.steps.promoting.means import Means, Rehearsed
from nmdc_release_ops.steps.promoting.migrating import Migrated, Migrating
from nmdc_release_ops.steps.promoting.opening import open_promotion
from nmdc_release_ops.steps.promoting.promotion import Promotion
from nmdc_release_ops.steps.reconcile import reconcile
from nmdc_release_ops.steps.restore import restore
from nmdc_release_ops.steps.shared.failures import DocumentsInvalid
from nmdc_release_ops.steps.showing.verdict import count_intolerable
from nmdc_release_ops.steps.unfreeze import unfreeze
from nmdc_release_ops_tests.steps.random_writes import RandomWriter
from nmdc_release_ops_tests.workplace import Workplace

Documents = dict[bytes, bytes]


@dataclass(frozen=True)
class Expected:
    """What a release would have made of the origin.

    Attributes:
        documents: of each collection after it, by key.
        definitions: its collections.
        violations: that would have stopped it, one line each; None if that was not asked.
    """

    changes: ChangeSet
    documents: Mapping[str, Documents]
    definitions: Mapping[str, Collection]
    violations: list[str] | None


@dataclass
class Driven:
    """A promotion between its steps `choose` and `freeze`."""

    context: dg.OpExecutionContext
    plan: ReleasePlan
    archive: Archive
    migrated: MigratedDatabase
    validation: ValidationReport
    origin: OriginConnection
    home: ReleaseHomeResource
    transformer: TransformerResource
    schema: SchemaReleasesResource
    worker: SchemaWorkerResource
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def rehearsed(self) -> Rehearsed:
        return Rehearsed(self.migrated, self.validation)

    @contextmanager
    def open(self) -> Iterator[Promotion]:
        """The promotion, as a step opens it."""
        with open_promotion(
            self.context, self.plan, self.archive, self.origin, self.home, self.transformer, self.schema, self.worker
        ) as promotion:
            yield promotion

    def expect(self, *, validate: bool = True) -> Expected:
        """Dump the origin, migrate and validate everything. Nobody may write meanwhile."""
        number = next(self._numbers)
        folder = self.home.path / "expected" / f"{self.context.run_id}-{number}"
        database = transformer_database(self.plan.release_id, f"{self.context.run_id} expected {number}")
        with self.transformer.open(self.plan, database) as scratch:
            moment = cluster_time(self.origin.client)
            manifest = dump(
                self.origin.database,
                self.plan.managed,
                folder / "archive",
                release_id=self.plan.release_id,
                cluster_time=moment,
            )
            means = Means(self.context.run_id, self.plan, self.origin, scratch, self.home, self.schema, self.worker)
            migrating = Migrating(self.context, means)
            made = migrating.migrate(
                folder / "archive", manifest, frozenset(), lambda _name: None, folder / "brought-up"
            )
            files = {one.name: describe_file(folder / "archive", one) for one in manifest.collections}
            counts = {one.name: one.documents for one in manifest.collections}
            found = Expected(
                made.changes,
                documents_of_result(self.origin, scratch, made),
                made.present,
                self._validate(scratch, made, files, counts, folder) if validate else None,
            )
            scratch.database.client.drop_database(database)
        shutil.rmtree(folder)
        return found

    def _validate(
        self,
        scratch: TransformerConnection,
        made: Migrated,
        files: Mapping[str, Mapping[str, Any]],
        counts: Mapping[str, int],
        folder: Path,
    ) -> list[str]:
        """As `validate` does it."""
        environment = self.schema.environments.prepare(release_named(self.plan.target))
        untouched = made.changes.untouched
        documents = {
            name: counts[name] if name in untouched else scratch.database[name].count_documents({})
            for name in made.changes.names_after
        }
        extras: dict[str, Any] = {
            "database": scratch.database.name,
            "collections": documents,
            "archived": {name: files[name] for name in untouched},
            "compiled": str(self.schema.compiled.prepare(environment)),
            "violations_path": str(folder / VIOLATIONS),
            "summary_path": str(folder / SUMMARY),
        }
        if self.plan.integrity is Integrity.FAIL_ON_NEW:
            described_by = self.schema.packages.fetch(SchemaVersion.parse(self.plan.described_by))
            references = self.schema.compiled.prepare_references(environment, described_by)
            extras["before"] = {"files": files, "references": str(references)}
        code, messages = run_validation(
            self.context,
            self.plan.validation_timeout,
            self.worker,
            environment,
            scratch,
            extras,
            self.home.worker(self.plan),
        )
        summary = require_summary(code, messages, folder, documents)
        lines = (folder / VIOLATIONS).read_text().splitlines()
        if not count_intolerable(summary, self.plan.integrity):
            return []
        return [line for line in lines if json.loads(line).get("new") is not False]


def documents_of_result(
    origin: OriginConnection, scratch: TransformerConnection, made: Migrated
) -> dict[str, Documents]:
    """Those of the transformer, or the origin's where migrators do not change them."""
    return {
        name: documents_of(origin.database[name] if name in made.changes.untouched else scratch.database[name])
        for name in made.changes.names_after
    }


def documents_of(collection: Any) -> Documents:
    """Every document of a collection, by its key."""
    return {key_of(document): document for run in read_raw(collection) for document in split(run)}


def differences(expected: Expected, origin: Any, places: Mapping[str, str]) -> list[str]:
    """How collections of the origin differ from what is expected, one line each.

    Args:
        places: what each collection of the result is called on the origin.
    """
    found = list_collections(origin, places.values())
    lines = []
    for name, place in sorted(places.items()):
        if place not in found:
            lines.append(f"{name}: there is no {place}")
            continue
        lines += [
            f"{place}: {one}" for one in compare_collections(State(expected.definitions[name]), State(found[place]))
        ]
        wanted, there = expected.documents[name], documents_of(origin[place])
        for key in sorted(wanted.keys() | there.keys()):
            if wanted.get(key) != there.get(key):
                lines.append(f"{place} {key!r}: {there.get(key)!r} instead of {wanted.get(key)!r}")
    return lines


def wrong_before_the_swap(promotion: Promotion, expected: Expected, origin: Any) -> list[str]:
    """How what is staged, and what stays as it is, differ from what is expected, one line each."""
    assert promotion.state is not None
    if promotion.state.changes != expected.changes:
        return [f"{promotion.state.changes} instead of {expected.changes}"]
    staged = {name: STAGED + name for name in expected.changes.staged}
    lines = differences(expected, origin, {**staged, **expected.changes.kept})
    names = {name.removeprefix(STAGED) for name in origin.list_collection_names() if name.startswith(STAGED)}
    if names != set(staged):
        lines.append(f"staged are {sorted(names)} instead of {sorted(staged)}")
    return lines


def wrong_after_the_swap(expected: Expected, origin: Any) -> list[str]:
    """How the origin differs from what is expected, one line each."""
    lines = differences(expected, origin, {name: name for name in expected.changes.names_after})
    gone = {*expected.changes.deleted, *(rename.old for rename in expected.changes.renamed)}
    lines += [f"{name} is still there" for name in gone & set(origin.list_collection_names())]
    return lines


def advance_as_expected(driven: Driven, promotion: Promotion, expected: Expected, writer: RandomWriter) -> None:
    """A round, which has to succeed exactly if a release would, and then to stage exactly what it would make."""
    before = staged_of(driven.origin.database)
    refused = ""
    try:
        promotion.advance(driven.context, driven.rehearsed)
    except DocumentsInvalid as error:
        refused = str(error)
    assert bool(refused) == bool(expected.violations), (refused, expected.violations, writer.log)
    if refused:
        assert staged_of(driven.origin.database) == before, writer.log
    else:
        assert wrong_before_the_swap(promotion, expected, driven.origin.database) == [], writer.log


def staged_of(origin: Any) -> dict[str, Documents]:
    """What is staged."""
    names = [name for name in origin.list_collection_names() if name.startswith(STAGED)]
    return {name: documents_of(origin[name]) for name in names}


def drive(workplace: Workplace, body: Callable[[Driven], None], *, swap: bool = True) -> dg.ExecuteInProcessResult:
    """Run a promotion of the newest rehearsal in which `body` stands in place of `catch_up`.

    Args:
        swap: whether to go on with the other steps of a promotion.
    """

    @dg.op
    def driven(
        context: dg.OpExecutionContext,
        plan: ReleasePlan,
        archive: Archive,
        migrated: MigratedDatabase,
        validation: ValidationReport,
        origin: OriginResource,
        home: ReleaseHomeResource,
        transformer: TransformerResource,
        schema: SchemaReleasesResource,
        worker: SchemaWorkerResource,
    ) -> CaughtUp:
        with origin.connect_planned(plan) as connected:
            body(Driven(context, plan, archive, migrated, validation, connected, home, transformer, schema, worker))
        return CaughtUp(
            made_from=collect_digests(plan=plan, dump=archive, migrate=migrated, validate=validation),
            rounds=[],
            predicted_seconds=0,
        )

    @dg.job(executor_def=dg.in_process_executor, hooks=HOOKS)
    def promotion_by_a_test() -> None:
        plan, archive, migrated, validation = choose()
        caught_up = driven(plan, archive, migrated, validation)
        if swap:
            frozen = freeze(plan, caught_up=caught_up)
            reconciled = reconcile(plan, archive, caught_up, frozen)
            unfreeze(plan, restore(plan, reconciled=reconciled))

    made = dg.Definitions(jobs=[promotion_by_a_test], resources=defs.resources)
    return made.get_job_def("promotion_by_a_test").execute_in_process(instance=workplace.instance, raise_on_error=True)
