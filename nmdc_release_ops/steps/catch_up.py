"""`catch_up`: while people write, bring what is staged up to what they wrote since the rehearsal."""

import dagster as dg

from nmdc_release_ops.records.data_release import Archive, CaughtUp, MigratedDatabase, ReleasePlan, ValidationReport
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.schema import SchemaReleasesResource, SchemaWorkerResource
from nmdc_release_ops.resources.transformer import TransformerResource


@dg.op(out=dg.Out(CaughtUp, description="What is staged is what the release would have made a moment ago."))
def catch_up(
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
    """Stage what was rehearsed, with everything that people wrote since, again and again until little is left."""
    raise NotImplementedError
