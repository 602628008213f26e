"""`validate`: check every document of the migrated database against the target release's schema, and every reference."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from nmdc_release_ops.files import FileNotWritten
from nmdc_release_ops.lineage import collect_digests, kept_archive, read_archive, require_lineage
from nmdc_release_ops.mongo.archive.manifest import ArchiveDamaged, ArchivedCollection
from nmdc_release_ops.mongo.difference.changes import require_snapshot
from nmdc_release_ops.records.data_release import Integrity, MigratedDatabase, ReleasePlan, ValidationReport
from nmdc_release_ops.records.rehearsed import RehearsalRecords
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.schema import VALIDATE, SchemaReleasesResource, SchemaWorkerResource
from nmdc_release_ops.resources.transformer import TransformerConnection, TransformerResource
from nmdc_release_ops.schema.environments.environment import NOT_WRITTEN, SchemaEnvironment
from nmdc_release_ops.schema.packages.candidate import release_named
from nmdc_release_ops.schema.processes import TookTooLong
from nmdc_release_ops.schema.report import Summary, read_summary, write_page
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops.steps.shared.failures import DocumentsInvalid, ValidationTimedOut, WorkerDied, explain_failures
from nmdc_release_ops.steps.shared.origin_state import origin_lookup
from nmdc_release_ops.steps.shared.pruning import remove_what_was_rehearsed
from nmdc_release_ops.steps.shared.rehearsing import conclude_rehearsal, materialize
from nmdc_release_ops.steps.shared.verdict import (
    count_intolerable,
    describe_summary,
    describe_verdict,
    explain_verdict,
    tabulate_violations,
)
from nmdc_release_ops.units import duration

VIOLATIONS = "violations.jsonl"
SUMMARY = "validation.json"
PAGE = "validation.html"


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
        explain_failures(origin_lookup(origin, context.run_id, plan.release_id)),
        kept_archive(plan, home.archive(plan)),
        transformer.open(plan, migrated.database) as scratch,
    ):
        require_lineage(plan=plan, migrate=migrated)
        folder = home.attempt(plan, context.run_id)
        page = folder / PAGE
        require_snapshot(scratch.database, migrated.hashes, migrated.definitions, migrated.unloaded)
        environment = schema.environments.prepare(release_named(plan.target))
        extras = _make_extras(plan, migrated, home, folder, schema, scratch, environment)
        code, messages = _run_worker(context, plan, worker, environment, scratch, extras, home.worker(plan))
        # Again: the transformer must not have changed while it was validated.
        require_snapshot(scratch.database, migrated.hashes, migrated.definitions, migrated.unloaded)
        summary = _require_summary(code, messages, folder, migrated.documents)
        verdict = describe_verdict(summary, plan)
        write_page(
            page, summary, verdict, f"Release {plan.release_id}, schema {plan.from_version} to {plan.to_version}"
        )
        metadata = describe_summary(summary, page, folder / VIOLATIONS)
        if count_intolerable(summary, plan.integrity):
            first = [message for message in messages if message["kind"] == "violation"]
            raise DocumentsInvalid(
                explain_verdict(verdict, summary, next(iter(first), None), page, folder / VIOLATIONS),
                {"the first of them": tabulate_violations(first), **metadata},
            )
    (context.log.warning if summary.integrity.found else context.log.info)(verdict)
    conclusion = ""
    if plan.is_rehearsal:
        rehearsed = conclude_rehearsal(plan, migrated, verdict, time.monotonic() - started, origin)
        conclusion = rehearsed.describe()
        context.log.info(conclusion)
        context.log_event(materialize(rehearsed))
        metadata = {**rehearsed.metadata(), **metadata}
    context.add_output_metadata(metadata)
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
        with explain_failures(origin_lookup(origin, context.run_id, plan.release_id)):
            RehearsalRecords(plan, migrated, report).write(home.release(plan))
        # Not before this one can be promoted.
        remove_what_was_rehearsed(context, plan, home, transformer)
    return report


def _run_worker(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    worker: SchemaWorkerResource,
    environment: SchemaEnvironment,
    scratch: TransformerConnection,
    extras: dict[str, Any],
    folder: Path,
) -> tuple[int, Sequence[Mapping[str, Any]]]:
    seconds = plan.validation_timeout * 60
    try:
        return worker.run(
            context,
            environment,
            VALIDATE,
            transformer=scratch,
            extras=extras,
            folder=folder,
            seconds=seconds,
        )
    except TookTooLong:
        raise ValidationTimedOut(
            f"Validation did not finish within {duration(seconds)} (validation_timeout) and was terminated. The run page shows "
            "how far it got. If it hung, re-execute the run from `validate`. If it needs more time, launch a new run with a "
            "longer validation_timeout."
        ) from None


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


def describe_file(archive: Path, collection: ArchivedCollection) -> dict[str, Any]:
    """A collection's documents in the archive, as a parameter of the worker."""
    return {"path": str(archive / collection.file), "blocks": [block.model_dump() for block in collection.blocks]}


def _require_summary(
    code: int, messages: Sequence[Mapping[str, Any]], folder: Path, documents: Mapping[str, int]
) -> Summary:
    for message in messages:
        if message["kind"] == "not_written":
            raise FileNotWritten(message["path"], message["reason"])
        if message["kind"] == "archive_damaged":
            raise ArchiveDamaged(
                f"{message['path']} is not what was dumped: {message['fault']}. Validation stopped there. Dump again."
            )
    if code == NOT_WRITTEN:
        raise FileNotWritten(
            f"{folder}, or the folder for temporary files", "there is no room for the worker's messages"
        )
    if code != 0 or not any(message["kind"] == "summary" for message in messages):
        raise WorkerDied(
            f"The validating process ended with exit code {code} before it was done. Its output is on the run "
            "page (stderr). Re-execute the run from `validate`."
        )
    summary = read_summary(folder / SUMMARY)
    judged = {one.collection: one.documents for one in summary.collections}
    if judged != dict(documents):
        missing = ", ".join(name for name in documents if judged.get(name) != documents[name])
        raise WorkerDied(
            f"Some documents were not validated, or more than once, in {missing}. Re-execute the run from `validate`; if it "
            "happens again, report it to the maintainers of nmdc-release-ops."
        )
    return summary
