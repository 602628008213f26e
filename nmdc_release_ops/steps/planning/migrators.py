"""Running the migrators of a plan on the transformer."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from nmdc_release_ops.files import FileNotWritten
from nmdc_release_ops.mongo.transfer.on_demand import PartialLoad
from nmdc_release_ops.records.data_release import MigratorOutcome, PlannedMigrator, ReleasePlan
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.schema import MIGRATE, SchemaReleasesResource, SchemaWorkerResource
from nmdc_release_ops.resources.transformer import TransformerConnection
from nmdc_release_ops.schema.environments.environment import NOT_WRITTEN
from nmdc_release_ops.schema.packages.candidate import release_named
from nmdc_release_ops.schema.processes import TookTooLong
from nmdc_release_ops.steps.shared.failures import MigratorFailed, MigratorTimedOut, WorkerDied
from nmdc_release_ops.steps.showing.display import WorkerProgress
from nmdc_release_ops.units import duration

# The driver's names for the loss of a server, in a worker's report.
_LOST = ("AutoReconnect", "ConnectionFailure", "NetworkTimeout", "NotPrimaryError", "ServerSelectionTimeoutError")


def run_migrators(
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
            progress=WorkerProgress(
                context, {one.name: one.documents for one in plan.collections}, whole=False
            ).receive,
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
                    "Re-execute the run from failure: this step starts over from the archive."
                )
            if message.get("disk"):
                raise FileNotWritten(
                    f"where {message['module']} writes, or the folder for temporary files", message["disk"]
                )
            document = message.get("document") or {}
            where = f" at document {document['id']} of {document['collection']}" if document.get("id") else ""
            raise MigratorFailed(
                f"{message['module']} failed{where}: {message['type']}: {message['message']}\n"
                "If the data are wrong, correct them in the origin, and re-execute the run from `dump`, with all the steps after "
                "it, or a promotion from failure. If the migrator is wrong, have it corrected, and launch a new run when its "
                "release is published.\n\n"
                f"{message.get('traceback', '')}"
            )
    if code == NOT_WRITTEN:
        raise FileNotWritten("the folder for temporary files", "there is no room for the worker's messages")
    if code != 0 or not any(message["kind"] == "migrator" for message in messages):
        raise WorkerDied(
            f"The process that ran {hop.module} ended with exit code {code} before the migrator finished. Its output is "
            "on the run page (stderr). Re-execute the run from failure."
        )
