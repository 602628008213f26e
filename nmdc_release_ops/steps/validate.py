"""`validate`: check every document of the migrated database against the target release's schema, and every reference."""

import time
from pathlib import Path
from typing import Any

import dagster as dg

from nmdc_release_ops.lineage import collect_digests, kept_archive, read_archive, require_lineage
from nmdc_release_ops.mongo.difference.changes import require_snapshot
from nmdc_release_ops.records.data_release import Integrity, MigratedDatabase, ReleasePlan, ValidationReport
from nmdc_release_ops.records.rehearsed import RehearsalRecords
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.schema import SchemaReleasesResource, SchemaWorkerResource
from nmdc_release_ops.resources.transformer import TransformerConnection, TransformerResource
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment
from nmdc_release_ops.schema.packages.candidate import release_named
from nmdc_release_ops.schema.report import PAGE, SUMMARY, VIOLATIONS, write_page
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops.steps.holding.thawing import work_on_origin
from nmdc_release_ops.steps.judging.remedy import advise_about_data
from nmdc_release_ops.steps.judging.validating import (
    describe_file,
    require_summary,
    run_validation,
)
from nmdc_release_ops.steps.pages.release_pages import summarize_end
from nmdc_release_ops.steps.planning.rehearsing import conclude_rehearsal, record_rehearsal
from nmdc_release_ops.steps.preparing.pruning import remove_what_was_rehearsed
from nmdc_release_ops.steps.shared.failures import DocumentsInvalid
from nmdc_release_ops.steps.showing.reporting import reporting
from nmdc_release_ops.steps.showing.verdict import (
    count_intolerable,
    describe_summary,
    describe_verdict,
    explain_verdict,
    tabulate_violations,
)


@dg.op(out=dg.Out(ValidationReport, description="Every document and every reference was checked."))
def validate(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    migrated: MigratedDatabase,
    origin: OriginResource,
    home: ReleaseHomeResource,
    transformer: TransformerResource,
    schema: SchemaReleasesResource,
    worker: SchemaWorkerResource,
) -> ValidationReport:
    """Check every document with LinkML's verdicts and the release's own rules, and every reference; collect all violations.

    A single violation of the schema stops the release here, before the origin is touched. `integrity` decides whether
    dangling references and duplicate ids stop it too. A rehearsal ends here.
    """
    started = time.monotonic()
    with (
        reporting(context, plan, origin, home),
        work_on_origin(context, origin, plan.release_id),
        kept_archive(plan, home.archive(plan)),
        transformer.open(plan, migrated.database) as scratch,
    ):
        require_lineage(plan=plan, migrate=migrated)
        folder = home.attempt(plan, context.run_id)
        page = folder / PAGE
        require_snapshot(scratch.database, migrated.hashes, migrated.definitions, migrated.unloaded)
        environment = schema.environments.prepare(release_named(plan.target))
        extras = _make_extras(plan, migrated, home, folder, schema, scratch, environment)
        code, messages = run_validation(
            context, plan.validation_timeout, worker, environment, scratch, extras, home.worker(plan)
        )
        # Again: the transformer must not have changed while it was validated.
        require_snapshot(scratch.database, migrated.hashes, migrated.definitions, migrated.unloaded)
        summary = require_summary(code, messages, folder, migrated.documents)
        verdict = describe_verdict(summary, plan)
        write_page(
            page, summary, verdict, f"Release {plan.release_id}, schema {plan.from_version} to {plan.to_version}"
        )
        metadata = describe_summary(summary, page, folder / VIOLATIONS, home)
        if count_intolerable(summary, plan.integrity):
            first = [message for message in messages if message["kind"] == "violation"]
            dumped_at = read_archive(home.archive(plan), migrated.manifest_sha256).cluster_time
            remedy = advise_about_data(origin, plan, dumped_at)
            raise DocumentsInvalid(
                explain_verdict(verdict, summary, next(iter(first), None), page, folder / VIOLATIONS, remedy),
                {"the first of them": tabulate_violations(first), **metadata},
            )
    (context.log.warning if summary.integrity.found else context.log.info)(verdict)
    conclusion = ""
    if plan.is_rehearsal:
        rehearsed = conclude_rehearsal(plan, migrated, verdict, time.monotonic() - started, origin, home)
        conclusion = rehearsed.describe()
        context.log.info(conclusion)
        record_rehearsal(context, rehearsed, summary.integrity.found)
        metadata = {**rehearsed.metadata(), **metadata}
    report = ValidationReport(
        made_from=collect_digests(plan=plan, migrate=migrated),
        documents=summary.documents,
        identifiers=summary.identifiers,
        references=summary.references,
        violations=0,
        tolerated=summary.integrity.found,
        by_kind=summary.by_kind,
        violations_path=folder / VIOLATIONS,
        page_path=page,
        hashes=migrated.hashes,
        conclusion=conclusion,
        identifiers_path=home.identifiers(plan) if plan.is_dumped_unfrozen else None,
    )
    if plan.is_rehearsal:
        with work_on_origin(context, origin, plan.release_id):
            RehearsalRecords(plan, migrated, report).write(home.release(plan))
        # Not before this one can be promoted.
        remove_what_was_rehearsed(context, plan, home, transformer)
        metadata = {**summarize_end(context, home, validate=report), **metadata}
    context.add_output_metadata(metadata)
    return report


def _make_extras(
    plan: ReleasePlan,
    migrated: MigratedDatabase,
    home: ReleaseHomeResource,
    folder: Path,
    schema: SchemaReleasesResource,
    scratch: TransformerConnection,
    environment: SchemaEnvironment,
) -> dict[str, Any]:
    """Make the parameters of the worker.

    Args:
        folder: for its reports.
    """
    manifest = read_archive(home.archive(plan), migrated.manifest_sha256)
    files = {one.name: describe_file(home.archive(plan), one) for one in manifest.collections}
    extras: dict[str, Any] = {
        "database": scratch.database.name,
        "collections": dict(sorted(migrated.documents.items())),
        "archived": {name: files[name] for name in migrated.changes.untouched},
        "compiled": str(schema.compiled.prepare(environment)),
        "violations_path": str(folder / VIOLATIONS),
        "summary_path": str(folder / SUMMARY),
    }
    if plan.is_dumped_unfrozen:
        extras["identifiers_path"] = str(home.identifiers(plan))
    if plan.integrity is Integrity.FAIL_ON_NEW:
        described_by = schema.packages.fetch(SchemaVersion.parse(plan.described_by))
        extras["before"] = {
            "files": files,
            "references": str(schema.compiled.prepare_references(environment, described_by)),
        }
    return extras
