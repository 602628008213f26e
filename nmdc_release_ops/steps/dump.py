"""`dump`: copy the release's collections into an archive on disk."""

import shutil
from pathlib import Path

import dagster as dg

from nmdc_release_ops.lineage import collect_digests, require_lineage
from nmdc_release_ops.mongo.state.bookkeeping import require_conforming
from nmdc_release_ops.mongo.state.journal import refuse_if_swapped
from nmdc_release_ops.mongo.swapping.released import require_in_force
from nmdc_release_ops.mongo.transfer import engine
from nmdc_release_ops.mongo.transfer.archive import MANIFEST, Manifest, sha256_of
from nmdc_release_ops.records.data_release import Archive, FreezeLease, ReleasePlan
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.steps.shared.display import log_progress, table
from nmdc_release_ops.steps.shared.failures import explain_failures
from nmdc_release_ops.steps.shared.holding import hold_frozen
from nmdc_release_ops.steps.shared.origin_state import origin_lookup
from nmdc_release_ops.units import size


@dg.op(out=dg.Out(Archive, description="A complete dump of the release's collections."))
def dump(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    frozen: FreezeLease,
    origin: OriginResource,
    home: ReleaseHomeResource,
) -> Archive:
    """Copy every document of the release's collections from the frozen origin into a compressed archive."""
    with (
        explain_failures(origin_lookup(origin, context.run_id, plan.release_id)),
        home.use(plan),
        origin.connect_planned(plan) as connected,
    ):
        require_lineage(plan=plan, freeze=frozen)
        folder = home.archive(plan)
        # Not the lease of the record: if only this step is re-executed, the origin was thawed in between.
        lease = hold_frozen(context, origin, connected, plan.release_id, plan.strategy, plan.drain_timeout)
        refuse_if_swapped(connected.client, plan.release_id)
        require_conforming(connected.database, plan.versions_before)
        require_in_force(connected.database, plan.in_force, plan.release_id)
        shutil.rmtree(folder, ignore_errors=True)
        manifest = engine.dump(
            plan.engine,
            connected,
            plan.managed,
            folder,
            release_id=plan.release_id,
            cluster_time=lease.cluster_time,
            report=log_progress(context, "dumped", plan.documents),
            log=context.log.info,
        )
    context.log.info(
        f"Dumped {manifest.documents:,} documents, {size(manifest.bytes)} ({size(manifest.file_bytes)} on disk), to {folder}."
    )
    summary = _summarize(plan, folder, manifest)
    context.log_event(
        dg.AssetMaterialization(
            ["nmdc", "archive"],
            description=f"The database at schema {plan.from_version}, before {plan.release_id}",
            metadata=summary,
        )
    )
    context.add_output_metadata({**summary, "collections": _tabulate(manifest)})
    return Archive(
        made_from=collect_digests(plan=plan),
        path=folder,
        manifest_sha256=sha256_of(folder / MANIFEST),
        cluster_time=manifest.cluster_time,
        collections=manifest.collections,
    )


def _summarize(plan: ReleasePlan, folder: Path, manifest: Manifest) -> dict[str, "dg.RawMetadataValue"]:
    return {
        "path": dg.MetadataValue.path(str(folder)),
        "schema version": plan.from_version,
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
