"""The checks of the database in the asset catalog, as people execute them there. They change no data."""

from collections.abc import Iterator

import dagster as dg

from nmdc_release_ops.catalog import (
    CONFORMS_TO_SCHEMA,
    DATABASE,
    IDS_UNIQUE,
    LEDGER_AGREES,
    REFERENCES_RESOLVE,
    WRITES_ALLOWED,
)
from nmdc_release_ops.records.data_release import VALIDATION_TIMEOUT
from nmdc_release_ops.resources.notices import NoticesResource
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.schema import SchemaReleasesResource, SchemaWorkerResource
from nmdc_release_ops.steps.holding.origin_state import origin_lookup
from nmdc_release_ops.steps.judging.auditing import Means, audit
from nmdc_release_ops.steps.shared.failures import explain_failures
from nmdc_release_ops.steps.shared.recording import judge_ledger, judge_writes


@dg.asset_check(asset=DATABASE, name=LEDGER_AGREES)
def ledger_agrees(context: dg.AssetCheckExecutionContext, origin: OriginResource) -> dg.AssetCheckResult:
    """Whether the ledger, its view and the journals of our releases say the same about the database's schema version."""
    with explain_failures(origin_lookup(origin, context.op_execution_context.run_id)), origin.connect() as connected:
        return judge_ledger(connected).result()


@dg.asset_check(asset=DATABASE, name=WRITES_ALLOWED)
def writes_allowed(context: dg.AssetCheckExecutionContext, origin: OriginResource) -> dg.AssetCheckResult:
    """Whether people can write to the database now, and if not, who blocks them. While a release is under way, a warning."""
    with explain_failures(origin_lookup(origin, context.op_execution_context.run_id)), origin.connect() as connected:
        return judge_writes(connected).result()


@dg.multi_asset_check(
    name="audited",
    specs=[
        dg.AssetCheckSpec(
            CONFORMS_TO_SCHEMA,
            asset=DATABASE,
            description="Whether every document conforms to the schema of the database's own version. Executing it is an audit.",
        ),
        dg.AssetCheckSpec(
            REFERENCES_RESOLVE,
            asset=DATABASE,
            description="Whether every reference leads to a document of an allowed collection. Executing it is an audit.",
        ),
        dg.AssetCheckSpec(
            IDS_UNIQUE,
            asset=DATABASE,
            description="Whether no two documents have the same id. Executing it is an audit.",
        ),
    ],
    can_subset=True,
)
def audited(
    context: dg.AssetCheckExecutionContext,
    origin: OriginResource,
    home: ReleaseHomeResource,
    schema: SchemaReleasesResource,
    worker: SchemaWorkerResource,
    notices: NoticesResource,
) -> Iterator[dg.AssetCheckResult]:
    """An audit, as the job `audit` makes one: one pass over the database answers all three checks."""
    within = context.op_execution_context
    with explain_failures(origin_lookup(origin, within.run_id)):
        means = Means(origin, home, schema, worker, notices)
        found = audit(within, means, origin.audit_rate, VALIDATION_TIMEOUT).find()
    wanted = {key.name for key in context.selected_asset_check_keys}
    yield from (finding.result() for finding in found if finding.check in wanted)


CHECKS = (audited, ledger_agrees, writes_allowed)
