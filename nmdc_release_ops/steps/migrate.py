"""`migrate`: run the release's own migrators on the archive's documents in the transformer, and show what they changed."""

import time
from typing import Any

import dagster as dg

from nmdc_release_ops.lineage import collect_digests, kept_archive, read_archive, require_lineage
from nmdc_release_ops.mongo.difference.changes import Snapshot, compare, snapshot
from nmdc_release_ops.mongo.transfer import engine
from nmdc_release_ops.mongo.transfer.on_demand import PartialLoad, UsedUnloaded
from nmdc_release_ops.records.data_release import (
    Archive,
    MigratedDatabase,
    MigratorOutcome,
    ReleasePlan,
)
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.schema import SchemaReleasesResource, SchemaWorkerResource
from nmdc_release_ops.resources.transformer import TransformerResource, transformer_database
from nmdc_release_ops.steps.holding.thawing import work_on_origin
from nmdc_release_ops.steps.planning.migrators import run_migrators
from nmdc_release_ops.steps.showing.display import log_progress, table
from nmdc_release_ops.steps.showing.reporting import reporting
from nmdc_release_ops.steps.swapping.difference import describe_difference, show_difference
from nmdc_release_ops.units import duration


@dg.op(out=dg.Out(MigratedDatabase, description="The transformer after the last migrator."))
def migrate(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    archive: Archive,
    origin: OriginResource,
    home: ReleaseHomeResource,
    transformer: TransformerResource,
    schema: SchemaReleasesResource,
    worker: SchemaWorkerResource,
) -> MigratedDatabase:
    """Run the migrators on the transformer, each in the environment that the plan names, and show what they changed. A
    collection's documents are loaded from the archive when a migrator first uses it.

    It always starts from the archive, so it can be re-executed at any time.
    """
    started = time.monotonic()
    with (
        reporting(context, plan, origin, home),
        work_on_origin(context, origin, plan.release_id),
        kept_archive(plan, home.archive(plan)),
        transformer.open(plan, transformer_database(plan.release_id, context.run_id)) as scratch,
    ):
        require_lineage(plan=plan, dump=archive)
        manifest = read_archive(archive.path, archive.manifest_sha256)
        for name in transformer.drop_abandoned(plan, scratch):
            context.log.info(
                f"Dropped {name} from the transformer: an earlier execution of this step did not finish it."
            )

        def load_and_migrate(*, everything: bool) -> tuple[PartialLoad, Snapshot, list[MigratorOutcome]]:
            contents = engine.begin_load(
                plan.engine,
                archive.path,
                manifest,
                scratch,
                everything=everything,
                report=log_progress(context, "loaded", manifest.documents if everything else None),
                log=context.log.info,
            )
            before = snapshot(scratch.database, contents.hashes)
            outcomes = run_migrators(context, plan, contents, scratch, home, schema, worker)
            return contents, before.with_hashes(contents.hashes_when_loaded), outcomes

        try:
            contents, before, outcomes = load_and_migrate(everything=False)
        except UsedUnloaded as error:
            context.log.warning(f"{error} Everything is loaded, and the migrators run again from the first.")
            contents, before, outcomes = load_and_migrate(everything=True)
        after = snapshot(scratch.database, contents.hashes)
        documents = {name: contents.count_documents(name) for name in after.collections}
        changes = compare(before, after)
        touched = {name for outcome in outcomes for name in outcome.touched}
        context.log.info(f"Migrated: {changes.describe()}; {contents.describe()}.")
        difference, page = show_difference(
            context, plan, archive.path, manifest, scratch.database, changes, touched, home
        )
    migrated = MigratedDatabase(
        made_from=collect_digests(plan=plan, dump=archive),
        manifest_sha256=archive.manifest_sha256,
        database=scratch.database.name,
        definitions=after.definitions,
        migrators=outcomes,
        changes=changes,
        documents=documents,
        hashes=dict(after.hashes),
        unloaded=sorted(contents.unloaded),
        counts=[collection.counts for collection in difference.collections],
        difference=page,
        seconds=archive.seconds + time.monotonic() - started,
    )
    context.add_output_metadata(
        _describe(archive, migrated) | {"loaded": contents.describe()} | describe_difference(difference, page, home)
    )
    return migrated


def _describe(archive: Archive, migrated: MigratedDatabase) -> dict[str, Any]:
    before = {dumped.name: dumped.documents for dumped in archive.collections}
    changes = migrated.changes
    fate = {
        **dict.fromkeys(changes.untouched, "untouched"),
        **dict.fromkeys(changes.changed, "changed"),
        **dict.fromkeys(changes.created, "created"),
        **dict.fromkeys(changes.deleted, "deleted"),
        **{rename.old: f"renamed to {rename.new}" for rename in changes.renamed},
        **{rename.new: f"was {rename.old}" for rename in changes.renamed},
    }
    return {
        "changes": changes.describe(),
        "migrators": table(
            {
                "migrator": outcome.module,
                "took": duration(outcome.seconds),
                "documents written": sum(outcome.written.values()),
                "collections": ", ".join(f"{name}: {count:,}" for name, count in outcome.written.items() if count),
                "touched": ", ".join(f"{name} ({', '.join(how)})" for name, how in outcome.touched.items()),
            }
            for outcome in migrated.migrators
        ),
        "collections": table(
            {
                "collection": name,
                "documents before": before.get(name),
                "documents after": migrated.documents.get(name),
                "change": fate[name],
            }
            for name in sorted(fate)
        ),
    }
