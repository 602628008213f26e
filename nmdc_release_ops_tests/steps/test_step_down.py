"""The primary of the origin's replica set steps down in the middle of a step: the release goes through, or it fails
plainly, thawed, and its re-execution goes through."""

import pytest

from nmdc_release_ops_tests.fault_point import Point, at
from nmdc_release_ops_tests.prepared_release import PreparedRelease, prepared_release_fixture
from nmdc_release_ops_tests.replica_set import ReplicaSet
from nmdc_release_ops_tests.workplace import Workplace, replicated_workplace_fixture

pytestmark = pytest.mark.faults

STEPS = {
    "freeze": ["freeze", "dump"],
    "dump": ["dump"],
    # From the dump on: an earlier point has dumped again, so that the archive is not the one of the first run any more.
    "migrate": ["dump", "migrate"],
    "validate": ["dump", "migrate", "validate"],
    "restore": ["restore", "unfreeze"],
    "unfreeze": ["restore", "unfreeze"],
}
POINTS = [
    # Before: the command meets a server that is no primary any more. After: the step goes on at another one.
    Point("freeze", "setUserWriteBlockMode", "before"),
    Point("freeze", "setUserWriteBlockMode", "after"),
    Point("dump", "find", "after", number=12),
    Point("dump", "dbHash", "before"),
    # The transformer's; the origin is not spoken to in these two.
    Point("migrate", "insert", "before"),
    Point("validate", "dbHash", "before"),
    Point("restore", "create", "before", number=2),
    Point("restore", "createIndexes", "after"),
    Point("restore", "renameCollection", "before", number=2),
    Point("restore", "renameCollection", "after", number=3),
    Point("unfreeze", "setUserWriteBlockMode", "before"),
    Point("unfreeze", "setUserWriteBlockMode", "after"),
]


workplace = replicated_workplace_fixture()


made = prepared_release_fixture(patience=5)


@pytest.mark.parametrize("point", POINTS, ids=str)
def test_nothing_is_lost_and_the_release_can_be_finished(
    release: PreparedRelease, workplace: Workplace, members: ReplicaSet, point: Point
) -> None:
    with at(point, workplace.instance, members.step_down):
        result = release.execute(STEPS[point.step])
    release.assert_recovers(result)
