"""The job `audit`: judge the database as it is, while people work."""

import dagster as dg
from pydantic import Field

from nmdc_release_ops.records.data_release import VALIDATION_TIMEOUT
from nmdc_release_ops.resources.notices import NoticesResource
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.schema import SchemaReleasesResource, SchemaWorkerResource
from nmdc_release_ops.steps.holding.origin_state import origin_lookup
from nmdc_release_ops.steps.judging.auditing import Means, audit
from nmdc_release_ops.steps.shared.failures import explain_failures
from nmdc_release_ops.steps.shared.recording import record_findings


class AuditConfig(dg.Config):
    """Options of an audit; all have defaults."""

    documents_per_second: int | None = Field(
        default=None,
        ge=1,
        description="How many documents of the origin are read a second, at most. By default NMDC_AUDIT_DOCUMENTS_PER_SECOND; "
        "unlimited if that is not set.",
    )
    validation_timeout: int = Field(default=VALIDATION_TIMEOUT, ge=1, description="Minutes that validation may take.")


# Dagster requires different names for ops and jobs.
@dg.op(out=dg.Out(dg.Nothing))
def audit_origin(
    context: dg.OpExecutionContext,
    config: AuditConfig,
    origin: OriginResource,
    home: ReleaseHomeResource,
    schema: SchemaReleasesResource,
    worker: SchemaWorkerResource,
    notices: NoticesResource,
) -> None:
    """Judge every document by the schema of the database's own version, and every reference; report what is new since the last
    audit, by document.

    No data of the origin are changed, nobody is kept from writing, and a release may run beside it.
    """
    with explain_failures(origin_lookup(origin, context.run_id)):
        means = Means(origin, home, schema, worker, notices)
        audited = audit(context, means, config.documents_per_second or origin.audit_rate, config.validation_timeout)
    context.add_output_metadata(audited.metadata(home))
    record_findings(context, audited.find())
