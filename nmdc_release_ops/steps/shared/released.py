"""Whether the database is what a release made of it: the steps after the release do not touch another one."""

from nmdc_release_ops.mongo.state.bookkeeping import conforming_version
from nmdc_release_ops.mongo.state.journal import State, read_journal
from nmdc_release_ops.mongo.state.lease import current_lease
from nmdc_release_ops.records.data_release import ReleasePlan
from nmdc_release_ops.resources.origin import OriginConnection
from nmdc_release_ops.steps.shared.failures import DatabaseNotReleased


def require_released(origin: OriginConnection, plan: ReleasePlan, step: str, not_done: str) -> None:
    """Check that the release no longer holds the origin, and that the database is at its version.

    Args:
        step: to re-execute.
        not_done: "Nothing was deployed."

    Raises:
        DatabaseNotReleased
    """
    lease = current_lease(origin.client)
    if lease is not None and lease.release_id == plan.release_id:
        raise DatabaseNotReleased(
            f"Release {plan.release_id} still holds the origin, and the Runtime writes when it starts. {not_done} "
            f"Launch the job `unfreeze`, then re-execute the run from `{step}`."
        )
    recorded = conforming_version(origin.database)
    if recorded != plan.to_version:
        raise DatabaseNotReleased(
            f"The ledger says that the database conforms to schema {recorded or 'unknown'}, but release {plan.release_id} is "
            f"for {plan.to_version}: it was rolled back, or another migration followed. {not_done} Deploy the "
            "Runtime that fits the database by hand, or launch a new release."
        )


def refuse_rolled_back(origin: OriginConnection, plan: ReleasePlan, not_done: str) -> None:
    """Check that it was this release which brought the database to its version, and not another one after its rollback.

    Args:
        not_done: as above.

    Raises:
        DatabaseNotReleased
    """
    journal = read_journal(origin.client, plan.release_id)
    if journal is not None and journal.state is State.ROLLED_BACK:
        raise DatabaseNotReleased(
            f"Release {plan.release_id} was rolled back, and another one brought the database to schema {plan.to_version} since. "
            f"{not_done} Go on with the run of that release."
        )
