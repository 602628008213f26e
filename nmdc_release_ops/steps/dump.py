"""`dump`: copy the release's collections into an archive on disk."""

import shutil
import time
from pathlib import Path

import dagster as dg

from nmdc_release_ops.catalog import ARCHIVE, Numbers, materialize
from nmdc_release_ops.files import lock, sha256_of
from nmdc_release_ops.lineage import collect_digests, require_lineage
from nmdc_release_ops.mongo.archive.making import DumpFailed
from nmdc_release_ops.mongo.archive.manifest import MANIFEST, Engine, Manifest
from nmdc_release_ops.mongo.state.journal import refuse_if_swapped
from nmdc_release_ops.mongo.transfer import engine
from nmdc_release_ops.mongo.transfer.dump_unfrozen import dump_unfrozen
from nmdc_release_ops.records.data_release import Archive, FreezeLease, ReleasePlan
from nmdc_release_ops.resources.origin import OriginConnection, OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.transformer import TransformerResource
from nmdc_release_ops.steps.holding.expected_version import require_expected_version
from nmdc_release_ops.steps.holding.holding import hold_frozen
from nmdc_release_ops.steps.holding.thawing import work_on_origin
from nmdc_release_ops.steps.preparing.pruning import remove_older_rehearsals
from nmdc_release_ops.steps.runs.step_times import measure_steps
from nmdc_release_ops.steps.showing.display import log_progress, table
from nmdc_release_ops.steps.showing.reporting import reporting
from nmdc_release_ops.units import size


@dg.op(out=dg.Out(Archive, description="A complete dump of the release's collections."))
def dump(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    origin: OriginResource,
    home: ReleaseHomeResource,
    transformer: TransformerResource,
    frozen: FreezeLease | None = None,
) -> Archive:
    """Copy every document of the release's collections from the origin into a compressed archive.

    In a `data_release` the origin is frozen. Otherwise people write meanwhile: what they wrote until the end of the dump is
    merged into the archive, which so holds the state of one moment.
    """
    started = time.monotonic()
    with (
        reporting(context, plan, origin, home),
        work_on_origin(context, origin, plan.release_id),
        home.use(plan),
        origin.connect_planned(plan) as connected,
    ):
        if plan.is_rehearsal:
            # Those that failed did not do it.
            remove_older_rehearsals(context, plan, home, transformer)
        if plan.is_dumped_unfrozen:
            manifest = _dump_unfrozen(context, plan, connected, home.archive(plan))
        else:
            manifest = _dump_frozen(context, plan, frozen, origin, connected, home.archive(plan))
    folder = home.archive(plan)
    context.log.info(
        f"Dumped {manifest.documents:,} documents, {size(manifest.bytes)} ({size(manifest.file_bytes)} on disk), to {folder}."
    )
    summary = _summarize(plan, folder, manifest)
    context.log_event(
        materialize(
            ARCHIVE,
            plan.from_version,
            f"The database at schema {plan.from_version}, before {plan.release_id}",
            Numbers(manifest.documents, manifest.bytes, seconds_of=measure_steps(context)),
            {**summary, "bytes on disk": manifest.file_bytes},
        )
    )
    context.add_output_metadata({"schema version": plan.from_version, **summary, "collections": _tabulate(manifest)})
    return Archive(
        made_from=collect_digests(plan=plan),
        path=folder,
        manifest_sha256=sha256_of(folder / MANIFEST),
        cluster_time=manifest.cluster_time,
        collections=manifest.collections,
        seconds=time.monotonic() - started,
    )


def _dump_frozen(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    frozen: FreezeLease | None,
    resource: OriginResource,
    origin: OriginConnection,
    folder: Path,
) -> Manifest:
    if frozen is None:
        raise AssertionError("a release dumps after it froze the origin")
    require_lineage(plan=plan, freeze=frozen)
    # Not the lease of the record: if only this step is re-executed, the origin was thawed in between.
    lease = hold_frozen(context, resource, origin, plan.release_id, plan.strategy, plan.drain_timeout)
    refuse_if_swapped(origin.client, plan.release_id)
    require_expected_version(plan, origin)
    shutil.rmtree(folder, ignore_errors=True)
    return engine.dump(
        plan.engine,
        origin,
        plan.managed,
        folder,
        release_id=plan.release_id,
        cluster_time=lease.cluster_time,
        report=log_progress(context, "dumped", plan.documents),
        log=context.log.info,
    )


def _dump_unfrozen(
    context: dg.OpExecutionContext, plan: ReleasePlan, origin: OriginConnection, folder: Path
) -> Manifest:
    require_expected_version(plan, origin)
    if plan.engine is Engine.MONGO_TOOLS:
        context.log.info("While people write, the driver dumps. The engine mongo-tools loads what it dumped.")
    try:
        with lock(folder, wait=False):
            shutil.rmtree(folder, ignore_errors=True)
            return dump_unfrozen(
                origin.database,
                plan.managed,
                folder,
                release_id=plan.release_id,
                report=log_progress(context, "dumped", plan.documents),
                log=context.log.info,
            )
    except BlockingIOError:
        raise DumpFailed(
            f"Another run is dumping to {folder}. This one did nothing. Wait until that run is over, or terminate it."
        ) from None
    finally:
        # Again, and before any other error: nobody was kept from releasing meanwhile.
        require_expected_version(plan, origin)


def _summarize(plan: ReleasePlan, folder: Path, manifest: Manifest) -> dict[str, "dg.RawMetadataValue"]:
    return {
        "path": dg.MetadataValue.path(str(folder)),
        "documents": manifest.documents,
        "size": size(manifest.bytes),
        "size on disk": size(manifest.file_bytes),
    }


def _tabulate(manifest: Manifest) -> dg.MetadataValue:
    return table(
        {
            "collection": dumped.name,
            "documents": dumped.documents,
            "size": size(dumped.bytes),
            "on disk": size(dumped.file_bytes),
            "server's hash": dumped.hash,
        }
        for dumped in manifest.collections
    )
