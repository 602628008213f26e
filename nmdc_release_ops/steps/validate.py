"""`validate`: judge every document of the migrated database by the target release's schema."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from nmdc_release_ops.mongo.changes import snapshot
from nmdc_release_ops.records import MigratedDatabase, ReleasePlan, ValidationReport
from nmdc_release_ops.resources import ReleaseHome, SchemaReleases, SchemaWorker, TransformerResource
from nmdc_release_ops.schema.candidate import release_named
from nmdc_release_ops.steps.display import table
from nmdc_release_ops.steps.failures import NOT_CHANGED, DocumentsInvalid, WorkerDied, told_plainly


@dg.op(out=dg.Out(ValidationReport, description="Every document was judged."))
def validate(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    migrated: MigratedDatabase,
    home: ReleaseHome,
    transformer: TransformerResource,
    schema: SchemaReleases,
    worker: SchemaWorker,
) -> ValidationReport:
    """Check every document with LinkML's validator and the release's own rules; collect all violations.

    A single violation stops the release here, before the origin is touched.
    """
    violations_path = home.release(plan.release_id) / "violations.jsonl"
    with told_plainly(NOT_CHANGED), transformer.open(home.transformer(plan.release_id)) as scratch:
        state = snapshot(scratch.database)
        if dict(state.hashes) != migrated.hashes:
            raise WorkerDied(
                "The transformer does not hold what `migrate` left there. Re-execute the run from `migrate`."
            )
        code, messages = worker.run(
            context,
            schema.environments.prepare(release_named(plan.target)),
            "validate",
            transformer=scratch,
            extras={
                "database": scratch.database.name,
                "collections": sorted(migrated.documents),
                "violations_path": str(violations_path),
            },
            folder=home.release(plan.release_id) / "worker",
        )
        summary = next((message for message in messages if message["kind"] == "summary"), None)
        if code != 0 or summary is None:
            raise WorkerDied(
                f"The process that validates ended with exit code {code} before it was done. Its output is on the run "
                "page (stderr). Re-execute the run from `validate`."
            )
        if summary["documents"] != sum(migrated.documents.values()):
            raise WorkerDied(
                f"{summary['documents']:,} documents were judged, of {sum(migrated.documents.values()):,}. "
                "Re-execute the run from `validate`."
            )
        if summary["violations"]:
            raise DocumentsInvalid(
                _explain(summary, messages, str(violations_path), plan),
                {
                    "violations": dg.MetadataValue.int(summary["violations"]),
                    "the first of them": _table_of_violations(messages),
                    "all of them": dg.MetadataValue.path(str(violations_path)),
                },
            )
    context.log.info(
        f"{summary['documents']:,} documents conform to schema {plan.to_version}; there are no violations."
    )
    context.add_output_metadata(
        {
            "documents": summary["documents"],
            "violations": 0,
            "collections": table(
                {"collection": message["collection"], "documents": message["documents"]}
                for message in messages
                if message["kind"] == "validated"
            ),
        }
    )
    return ValidationReport(
        documents=summary["documents"],
        violations=0,
        by_kind={},
        violations_path=violations_path,
        hashes=dict(state.hashes),
    )


def _table_of_violations(messages: Sequence[Mapping[str, Any]]) -> dg.MetadataValue:
    return table(
        {key: str(message.get(key) or "") for key in ("collection", "id", "class", "path", "violation", "message")}
        for message in messages
        if message["kind"] == "violation"
    )


def _explain(summary: Mapping[str, Any], messages: Sequence[Mapping[str, Any]], path: str, plan: ReleasePlan) -> str:
    first = next(message for message in messages if message["kind"] == "violation")
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in summary["by_kind"].items())
    return (
        f"{summary['violations']:,} violations of schema {plan.to_version} in {summary['documents']:,} documents ({kinds}). "
        f"The first: {first['collection']} {first['id']}, at {first.get('path') or '/'}: {first['message']}\n"
        f"All of them are in {path}. Correct the data in the origin, or have the migrator corrected, and launch a new "
        "release."
    )
