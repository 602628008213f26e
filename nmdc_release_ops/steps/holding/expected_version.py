"""The version that the database has to have before a release's own swap."""

from nmdc_release_ops.mongo.state.bookkeeping import require_conforming
from nmdc_release_ops.mongo.swapping.released import require_in_force
from nmdc_release_ops.records.data_release import ReleasePlan
from nmdc_release_ops.resources.origin import OriginConnection


def require_expected_version(plan: ReleasePlan, origin: OriginConnection) -> None:
    """Make sure that there was no other release since the plan.

    Raises:
        LedgerChanged.
    """
    require_conforming(origin.database, plan.versions_before)
    require_in_force(origin.database, plan.in_force, plan.release_id)
