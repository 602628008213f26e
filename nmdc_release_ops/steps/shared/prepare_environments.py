"""What `plan` makes ready, so that none of it has to be made while the origin is frozen."""

import json

import dagster as dg

from nmdc_release_ops.files import write_whole
from nmdc_release_ops.records.data_release import Integrity, ReleasePlan
from nmdc_release_ops.resources.release_home import ReleaseHome
from nmdc_release_ops.resources.schema import SchemaReleases
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment
from nmdc_release_ops.schema.packages.candidate import release_named
from nmdc_release_ops.schema.version import SchemaVersion

ENVIRONMENTS = "environments.json"


def prepare_environments(
    context: dg.OpExecutionContext, release: ReleasePlan, home: ReleaseHome, schema: SchemaReleases
) -> dict[str, SchemaEnvironment]:
    """Every environment that the release will need, and the compiled schema that documents are validated by.

    What is installed in them is written beside the run's reports.

    Raises:
        SchemaNotCompiled, EnvironmentBroken, SchemaReleaseNotFound, PackageIndexUnreachable, InstallationFailed, FileNotWritten.
    """
    names = sorted({release.target, *(hop.environment for hop in release.migrators if hop.environment)})
    context.log.info(f"Preparing the environments of schema {', '.join(names)}.")
    environments = schema.environments.prepare_all(release_named(name) for name in names)
    listed = {name: environment.packages for name, environment in environments.items()}
    write_whole(home.attempt(release, context.run_id) / ENVIRONMENTS, json.dumps(listed, indent=2))
    context.log.info(f"Compiling schema {release.target}, unless that was done before.")
    target = environments[release.target]
    schema.compiled.prepare(target)
    if release.integrity is Integrity.FAIL_ON_NEW:
        described_by = schema.packages.fetch(SchemaVersion.parse(release.described_by))
        schema.compiled.prepare_references(target, described_by)
    return environments
