"""`migrate`: run the release's own migrators on the archive's documents in the transformer, and show what they changed."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from nmdc_release_ops.files import FileNotWritten
from nmdc_release_ops.lineage import collect_digests, kept_archive, read_archive, require_lineage
from nmdc_release_ops.mongo.difference.changes import Snapshot, compare, snapshot
from nmdc_release_ops.mongo.transfer import engine
from nmdc_release_ops.mongo.transfer.on_demand import PartialLoad, UsedUnloaded
from nmdc_release_ops.records.data_release import (
    Archive,
    MigratedDatabase,
    MigratorOutcome,
    PlannedMigrator,
    ReleasePlan,
)
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.schema import MIGRATE, SchemaReleasesResource, SchemaWorkerResource
from nmdc_release_ops.resources.transformer import TransformerConnection, TransformerResource, transformer_database
from nmdc_release_ops.schema.environments.environment import NOT_WRITTEN
from nmdc_release_ops.schema.packages.candidate import release_named
from nmdc_release_ops.schema.processes import TookTooLong
from nmdc_release_ops.steps.shared.difference import describe_difference, show_difference
from nmdc_release_ops.steps.shared.display import log_progress, table
from nmdc_release_ops.steps.shared.failures import MigratorFailed, MigratorTimedOut, WorkerDied, explain_failures
from nmdc_release_ops.steps.shared.origin_state import origin_lookup
from nmdc_release_ops.units import duration

# The driver's names for the loss of a server, in a worker's report.
_LOST = ("AutoReconnect", "ConnectionFailure", "NetworkTimeout", "NotPrimaryError", "ServerSelectionTimeoutError")


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
        explain_failures(origin_lookup(origin, context.run_id, plan.release_id)),
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
                report=log_progress(context, "loaded", manifest.documents),
                log=context.log.info,
            )
            before = snapshot(scratch.database, contents.hashes)
            outcomes = _run_migrators(context, plan, contents, scratch, home, schema, worker)
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
        _describe(archive, migrated) | {"loaded": contents.describe()} | describe_difference(difference, page)
    )
    return migrated


def _run_migrators(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    contents: PartialLoad,
    scratch: TransformerConnection,
    home: ReleaseHomeResource,
    schema: SchemaReleasesResource,
    worker: SchemaWorkerResource,
) -> list[MigratorOutcome]:
    """Run each migrator in a process and an environment of its own; no-op migrators are not run.

    Raises:
        UsedUnloaded: a migrator changed a collection that was not loaded.
        MigratorFailed, MigratorTimedOut, WorkerDied, ArchiveDamaged, LoadFailed, FileNotWritten.
    """
    outcomes = []
    for number, hop in enumerate(plan.migrators, start=1):
        if hop.does_nothing:
            context.log.info(f"{hop.module} is a no-op and is not run.")
            outcomes.append(
                MigratorOutcome(
                    module=hop.module, from_version=hop.from_version, to_version=hop.to_version, seconds=0, written={}
                )
            )
            continue
        context.log.info(
            f"Migrator {number} of {len(plan.migrators)}: {hop.module}, in the environment of schema {hop.environment}."
        )
        outcomes.append(_run_migrator(context, plan, hop, contents, scratch, home, schema, worker))
        contents.settle()
    return outcomes


def _run_migrator(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    hop: PlannedMigrator,
    contents: PartialLoad,
    scratch: TransformerConnection,
    home: ReleaseHomeResource,
    schema: SchemaReleasesResource,
    worker: SchemaWorkerResource,
) -> MigratorOutcome:

    def load(name: str) -> None:
        context.log.info(f"{hop.module} uses {name}: its {contents.unloaded[name].documents:,} documents are loaded.")
        contents.load(name)

    try:
        code, messages = worker.run(
            context,
            schema.environments.prepare(release_named(hop.environment)),
            MIGRATE,
            transformer=scratch,
            extras={
                "database": scratch.database.name,
                "migrators": [hop.module],
                "unloaded": sorted(contents.unloaded),
            },
            answer=load,
            folder=home.worker(plan),
            seconds=plan.hop_timeout * 60,
        )
    except TookTooLong:
        raise MigratorTimedOut(
            f"{hop.module} did not finish within {duration(plan.hop_timeout * 60)} (hop_timeout) and was terminated. The run "
            "page shows how far it got. Have it corrected, or launch a new run with a longer hop_timeout."
        ) from None
    _raise_if_failed(hop, code, messages)
    (done,) = (message for message in messages if message["kind"] == "migrator")
    return MigratorOutcome(
        module=done["module"],
        from_version=done["from"],
        to_version=done["to"],
        seconds=done["seconds"],
        written=done["written"],
        touched=done["touched"],
    )


def _raise_if_failed(hop: PlannedMigrator, code: int, messages: Sequence[Mapping[str, Any]]) -> None:
    for message in messages:
        if message["kind"] == "migrator_failed":
            if message["type"] in _LOST:
                raise WorkerDied(
                    f"{message['module']} stopped: the transformer no longer answers ({message['message']}). "
                    "Re-execute the run from `migrate`, which starts over from the archive."
                )
            if message.get("disk"):
                raise FileNotWritten(
                    f"where {message['module']} writes, or the folder for temporary files", message["disk"]
                )
            document = message.get("document") or {}
            where = f" at document {document['id']} of {document['collection']}" if document.get("id") else ""
            raise MigratorFailed(
                f"{message['module']} failed{where}: {message['type']}: {message['message']}\n"
                "Correct the data in the origin, or have the migrator corrected, and launch a new run.\n\n"
                f"{message.get('traceback', '')}"
            )
    if code == NOT_WRITTEN:
        raise FileNotWritten("the folder for temporary files", "there is no room for the worker's messages")
    if code != 0 or not any(message["kind"] == "migrator" for message in messages):
        raise WorkerDied(
            f"The process that ran {hop.module} ended with exit code {code} before the migrator finished. Its output is "
            "on the run page (stderr). Re-execute the run from `migrate`."
        )


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
