"""`reconcile`: under the freeze, take into account what was written since the last round of `catch_up`."""

import dagster as dg

from nmdc_release_ops.records.data_release import Archive, CaughtUp, FreezeLease, Reconciled, ReleasePlan
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.schema import SchemaReleasesResource, SchemaWorkerResource
from nmdc_release_ops.resources.transformer import TransformerResource


@dg.op(out=dg.Out(Reconciled, description="What is staged is what the release makes of the frozen origin."))
def reconcile(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    archive: Archive,
    caught_up: CaughtUp,
    frozen: FreezeLease,
    origin: OriginResource,
    home: ReleaseHomeResource,
    transformer: TransformerResource,
    schema: SchemaReleasesResource,
    worker: SchemaWorkerResource,
) -> Reconciled:
    """Migrate, validate and stage the last delta, while nobody writes."""
    raise NotImplementedError
