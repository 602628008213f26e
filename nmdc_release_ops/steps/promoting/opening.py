"""Opening a promotion, in the steps that advance it."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from nmdc_release_ops.lineage import read_archive
from nmdc_release_ops.records.data_release import Archive, ReleasePlan
from nmdc_release_ops.resources.origin import OriginConnection
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.schema import SchemaReleasesResource, SchemaWorkerResource
from nmdc_release_ops.resources.transformer import TransformerResource, transformer_database
from nmdc_release_ops.steps.promoting.means import Means
from nmdc_release_ops.steps.promoting.promotion import Promotion


@contextmanager
def open_promotion(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    archive: Archive,
    origin: OriginConnection,
    home: ReleaseHomeResource,
    transformer: TransformerResource,
    schema: SchemaReleasesResource,
    worker: SchemaWorkerResource,
) -> Iterator[Promotion]:
    """Open the promotion while the block lasts. Another run that has it open must be over first.

    Raises:
        LeaseHeld, PromotionInUse, ArchiveReplaced, ArchiveDamaged, OplogTooShort, StreamRefused, FileNotWritten.
        MongodNotFound, MongodFailedToStart, FolderInUse, ServerUnreachable, LoginRefused: see `TransformerResource.open`.
    """
    manifest = read_archive(home.archive(plan), archive.manifest_sha256)
    with transformer.open(plan, transformer_database(plan.release_id, context.run_id)) as scratch:
        means = Means(context.run_id, plan, origin, scratch, home, schema, worker)
        means.refuse_if_held()
        with Promotion(means, manifest, home.archive(plan)) as promotion:
            yield promotion
