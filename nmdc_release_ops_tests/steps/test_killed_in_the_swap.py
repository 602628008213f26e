"""A run whose process is killed in the swap, before or after any of its moves, stays frozen and is finished by re-execution."""

import pytest

from nmdc_release_ops_tests.prepared_release import PreparedRelease, prepared_release_fixture
from nmdc_release_ops_tests.steps.crashed_release import assert_frozen_in_the_swap, assert_released, crash
from nmdc_release_ops_tests.workplace import Workplace, workplace_fixture

pytestmark = pytest.mark.faults

MOVES = 6
"""Of the demo's release: two renames for each of the three collections that it changes."""


workplace = workplace_fixture(warm="workers")
made = prepared_release_fixture(patience=10)


@pytest.mark.parametrize("point", [f"{when}:{move}" for move in range(MOVES) for when in ("before", "made")])
def test_killed_in_the_swap_the_origin_stays_frozen_and_re_execution_finishes(
    release: PreparedRelease, workplace: Workplace, point: str
) -> None:
    """The steps before are those of an earlier run; a whole run: see `test_faults`."""
    run_id = crash(workplace, point, release.run_id, "restore", "unfreeze")
    assert_frozen_in_the_swap(workplace, release.client)
    result = release.execute_from_failure(run_id)
    assert result.success
    assert_released(release.client)
    release.assert_released()


def test_there_is_no_move_that_is_not_tried(release: PreparedRelease, workplace: Workplace) -> None:
    with pytest.raises(AssertionError):
        crash(workplace, f"before:{MOVES}", release.run_id, "restore", "unfreeze")
    release.assert_released()
