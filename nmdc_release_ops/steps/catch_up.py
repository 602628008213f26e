"""`catch_up`: while people write, bring what is staged up to what they wrote since the rehearsal."""

from contextlib import ExitStack

import dagster as dg

from nmdc_release_ops.lineage import collect_digests, require_lineage
from nmdc_release_ops.mongo.state.journal import refuse_if_swapped
from nmdc_release_ops.records.data_release import (
    Archive,
    CaughtUp,
    Counted,
    MigratedDatabase,
    ReleasePlan,
    ValidationReport,
)
from nmdc_release_ops.resources.kept_open import KeptOpenResource
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.resources.schema import SchemaReleasesResource, SchemaWorkerResource
from nmdc_release_ops.resources.transformer import TransformerResource
from nmdc_release_ops.steps.holding.expected_version import require_expected_version
from nmdc_release_ops.steps.holding.thawing import work_on_origin
from nmdc_release_ops.steps.promoting.catching_up import catch_up_with_writers, describe_rounds
from nmdc_release_ops.steps.promoting.means import Rehearsed
from nmdc_release_ops.steps.promoting.opening import open_promotion
from nmdc_release_ops.steps.showing.reporting import note, reporting
from nmdc_release_ops.units import duration


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
    kept_open: KeptOpenResource,
) -> CaughtUp:
    """Stage what was rehearsed, with everything that people wrote since, again and again until little is left.

    Nobody is kept from writing. It can be re-executed at any time: it goes on where it was.
    """
    with (
        reporting(context, plan, origin, home, followed_since=archive.cluster_time.seconds),
        work_on_origin(context, origin, plan.release_id),
        ExitStack() as stack,
    ):
        connected = stack.enter_context(origin.connect_planned(plan))
        require_lineage(plan=plan, dump=archive, migrate=migrated, validate=validation)
        refuse_if_swapped(connected.client, plan.release_id)
        require_expected_version(plan, connected)
        promotion = stack.enter_context(
            open_promotion(context, plan, archive, connected, home, transformer, schema, worker)
        )
        rounds = catch_up_with_writers(context, promotion, plan, Rehearsed(migrated, validation))
        promotion.verify_staged(context)
        predicted = promotion.predict_seconds()
        note(context.run_id, predicted_seconds=predicted)
        # `reconcile` goes on with it.
        kept_open.keep(plan.release_id, promotion, stack.pop_all())
    context.log.info(
        f"{promotion.describe()} The rest will block writes for about {duration(predicted)}; "
        f"at most {plan.max_frozen_seconds} seconds are allowed."
    )
    context.add_output_metadata(
        {
            "rounds": describe_rounds(rounds),
            "writes will be blocked for (s)": round(predicted, 2),
            "staged": promotion.describe(),
        }
    )
    return CaughtUp(
        made_from=collect_digests(plan=plan, dump=archive, migrate=migrated, validate=validation),
        rounds=rounds,
        predicted_seconds=predicted,
        counted=Counted.of(migrated, validation).with_rounds(rounds),
    )
