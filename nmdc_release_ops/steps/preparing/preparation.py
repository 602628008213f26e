"""What `plan` tries and prepares, so that none of it has to be done while the origin is frozen."""

import json
import shutil

import dagster as dg

from nmdc_release_ops.files import write_whole
from nmdc_release_ops.mongo.archive.manifest import Engine
from nmdc_release_ops.mongo.server.progress import Log
from nmdc_release_ops.mongo.transfer.engine import try_engine
from nmdc_release_ops.records.data_release import Integrity, ReleasePlan
from nmdc_release_ops.resources.origin import OriginConnection
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.schema import MIGRATE, VALIDATE, SchemaReleasesResource, SchemaWorkerResource
from nmdc_release_ops.resources.transformer import TransformerResource, transformer_database
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment
from nmdc_release_ops.schema.packages.candidate import release_named
from nmdc_release_ops.schema.version import SchemaVersion

ENVIRONMENTS = "environments.json"
WAITING_MIGRATORS = 4
"""Each takes some 60 MB of memory while it waits."""


def prepare_environments(
    context: dg.OpExecutionContext, release: ReleasePlan, home: ReleaseHomeResource, schema: SchemaReleasesResource
) -> dict[str, SchemaEnvironment]:
    """Prepare every environment that the release needs, and the compiled schema for validation.

    Writes the list of installed packages beside the run's reports.

    Raises:
        SchemaNotCompiled, EnvironmentBroken, SchemaReleaseNotFound, PackageIndexUnreachable, InstallationFailed, FileNotWritten.
    """
    environments = prepare(release, schema, context.log.info)
    listed = {name: environment.packages for name, environment in environments.items()}
    write_whole(home.attempt(release, context.run_id) / ENVIRONMENTS, json.dumps(listed, indent=2))
    return environments


def prepare(release: ReleasePlan, schema: SchemaReleasesResource, log: Log) -> dict[str, SchemaEnvironment]:
    """The same, without the list.

    Raises:
        As `prepare_environments`.
    """
    names = sorted({release.target, *(hop.environment for hop in release.migrators if hop.environment)})
    log(f"Preparing the environments of schema {', '.join(names)}.")
    environments = schema.environments.prepare_all(release_named(name) for name in names)
    log(f"Compiling schema {release.target}, unless it is already compiled.")
    target = environments[release.target]
    schema.compiled.prepare(target)
    if release.integrity is Integrity.FAIL_ON_NEW:
        described_by = schema.packages.fetch(SchemaVersion.parse(release.described_by))
        schema.compiled.prepare_references(target, described_by)
    return environments


def start_workers(
    plan: ReleasePlan, home: ReleaseHomeResource, schema: SchemaReleasesResource, worker: SchemaWorkerResource
) -> None:
    """Start the processes that `migrate` and `validate` will need, which wait for their tasks: one for each environment, up
    to `WAITING_MIGRATORS`, and the one that validates.

    Raises:
        SchemaNotCompiled, EnvironmentBroken, SchemaReleaseNotFound, PackageIndexUnreachable, InstallationFailed, FileNotWritten.
    """
    folder = home.worker(plan)
    names = dict.fromkeys(hop.environment for hop in plan.migrators if not hop.does_nothing)
    for name in list(names)[:WAITING_MIGRATORS]:
        worker.start(schema.environments.prepare(release_named(name)), MIGRATE, folder)
    target = schema.environments.prepare(release_named(plan.target))
    worker.start(target, VALIDATE, folder, str(schema.compiled.prepare(target)))


def try_tools(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    origin: OriginConnection,
    home: ReleaseHomeResource,
    transformer: TransformerResource,
) -> None:
    """Run the tools of the plan's engine against the origin and against this release's transformer.

    This starts a private transformer, which then runs until the run ends. If a tool fails, it is stopped and the release's
    folder is removed.

    Raises:
        ToolUnusable, AddressUnresolved: a tool cannot work with one of the two.
        MongodFailedToStart, ServerUnreachable, LoginRefused: see `TransformerResource.open`.
    """
    if plan.engine is Engine.NATIVE:
        return
    folder = home.release(plan)
    try:
        try_engine(plan.engine, origin, whose="origin", folder=folder, log=context.log.info)
        with transformer.open(plan, transformer_database(plan.release_id, context.run_id)) as scratch:
            try_engine(plan.engine, scratch, whose="transformer", folder=folder, log=context.log.info)
    except BaseException:
        transformer.stop()
        shutil.rmtree(folder, ignore_errors=True)
        raise
