"""What to do about data that a release cannot accept: it depends on whether they were corrected since they were dumped."""

from pymongo.errors import PyMongoError

from nmdc_release_ops.mongo.delta.account import touched_since
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.records.data_release import ReleasePlan
from nmdc_release_ops.resources.environment import ConfigurationMissing
from nmdc_release_ops.resources.origin import OriginResource

FROM_DUMP = (
    're-execute this run from `dump`, with all the steps after it ("From selected"). "From failure" would use the same dump '
    "again"
)
CORRECT_THE_MIGRATOR = (
    "If the migrator is wrong, have it corrected, and launch a new run when its release is published."
)
_LISTED = 5


def advise_about_data(origin: OriginResource, plan: ReleasePlan, dumped_at: ClusterTime) -> str:
    """Look whether the origin was written to since it was dumped, and say which button is right.

    Args:
        dumped_at: the moment whose state the archive holds.
    """
    touched = _find_touched(origin, plan, dumped_at)
    if touched:
        names = sorted(touched)
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        return (
            f"Since the dump, somebody wrote to {', '.join(names[:_LISTED])}{more} of the origin. If that corrected the data, "
            f"{FROM_DUMP}. {CORRECT_THE_MIGRATOR}"
        )
    since = "" if touched is None else " Nobody wrote to them since the dump."
    return f"Correct the data in the origin.{since} Then {FROM_DUMP}. {CORRECT_THE_MIGRATOR}"


def _find_touched(origin: OriginResource, plan: ReleasePlan, dumped_at: ClusterTime) -> set[str] | None:
    """The release's collections that were written to; None where that cannot be determined."""
    try:
        with origin.connect_planned(plan) as connected:
            return touched_since(connected.database, dumped_at, {one.name for one in plan.collections})
    except (ConfigurationMissing, MongoError, PyMongoError):
        return None
