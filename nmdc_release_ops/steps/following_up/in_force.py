"""Whether the follow-up goes on: the release is in force, and no other run waits for this one to end."""

import dagster as dg

from nmdc_release_ops.mongo.state.journal import State, read_journal
from nmdc_release_ops.mongo.state.lease import current_lease
from nmdc_release_ops.mongo.swapping.released import release_in_force
from nmdc_release_ops.records.data_release import ReleasePlan
from nmdc_release_ops.resources.origin import OriginConnection
from nmdc_release_ops.steps.runs.run_tags import RELEASE
from nmdc_release_ops.steps.shared.failures import DatabaseNotReleased, StepError
from nmdc_release_ops.steps.shared.released import require_released

_ENDED = "The follow-up has ended; what it found until now was dropped."


class FollowUpMadeWay(StepError):
    """Another run of a release, or a rollback, is queued until this run ends."""


class InForce:
    """Looks again and again, because the follow-up waits for up to two hours.

    Attributes:
        is_over: whether the release was found not to be in force any more.
    """

    def __init__(self, context: dg.OpExecutionContext, plan: ReleasePlan) -> None:
        self._context = context
        self._plan = plan
        self.is_over = False

    def check(self, origin: OriginConnection) -> None:
        """Raises:
        DatabaseNotReleased: the release was rolled back, is being rolled back, or another one followed.
        FollowUpMadeWay
        """
        try:
            self._require_in_force(origin)
        except DatabaseNotReleased:
            self.is_over = True
            raise
        self._make_way()

    def _require_in_force(self, origin: OriginConnection) -> None:
        release_id = self._plan.release_id
        journal = read_journal(origin.client, release_id)
        if journal is not None and journal.state in (State.ROLLING_BACK, State.ROLLED_BACK):
            raise DatabaseNotReleased(
                f"Release {release_id} was rolled back while it was followed up. {_ENDED} Deploy the Runtime that fits the "
                "database again."
            )
        lease = current_lease(origin.client)
        if lease is not None and lease.release_id == release_id:
            raise DatabaseNotReleased(
                f"Release {release_id} holds the origin again while it is followed up: run {lease.run_id} is rolling it back. "
                f"{_ENDED} When that run is over, the job `status` says what the database is."
            )
        found = release_in_force(origin.database) if journal is not None else None
        if found not in (None, release_id):
            raise DatabaseNotReleased(
                f"Release {found} was swapped in while {release_id} was followed up. {_ENDED} Go on with the run of that release."
            )
        require_released(origin, self._plan, "follow_up", _ENDED)

    def _make_way(self) -> None:
        """`dagster.yaml` allows one run of a release at a time: it would wait for all that this one waits for."""
        queued = dg.RunsFilter(
            tags={RELEASE: self._context.run.tags.get(RELEASE, "data")}, statuses=[dg.DagsterRunStatus.QUEUED]
        )
        for run in self._context.instance.get_runs(queued, limit=1):
            raise FollowUpMadeWay(
                f"Run {run.run_id} (job {run.job_name}) was queued until this run ends, so this one made way for it. When it is "
                "over and the release is still in force, re-execute this run from `follow_up`; or launch the job `audit`."
            )
