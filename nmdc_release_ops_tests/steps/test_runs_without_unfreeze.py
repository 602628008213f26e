"""Whatever steps a run executes, it does not leave the origin frozen."""

import pytest

from nmdc_release_ops.jobs import data_release, list_steps
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.mongo.state.lease import current_lease
from nmdc_release_ops_tests.prepared_release import PreparedRelease, prepared_release_fixture
from nmdc_release_ops_tests.workplace import workplace_fixture

pytestmark = pytest.mark.faults


workplace = workplace_fixture(warm="workers")
made = prepared_release_fixture(patience=10)


def log_of(release: PreparedRelease, run_id: str) -> str:
    return "\n".join(entry.message for entry in release.workplace.instance.all_logs(run_id))


@pytest.mark.parametrize("steps", [["freeze"], ["dump"], ["freeze", "dump"]], ids=" ".join)
def test_a_run_without_unfreeze_thaws_when_its_last_step_has_succeeded_and_says_so(
    release: PreparedRelease, steps: list[str]
) -> None:
    run = release.execute(steps)
    assert run.success
    assert is_write_blocked(release.client) is False and current_lease(release.client) is None
    log = log_of(release, run.run_id)
    missing = ", ".join(name for name in list_steps(data_release) if name not in steps)
    assert f"This run ends without the steps that were not selected: {missing}. The origin is thawed" in log
    assert log.count("The origin is thawed: writes are allowed again") == 1


def test_a_restore_alone_thaws_what_it_released(release: PreparedRelease) -> None:
    run = release.execute(["restore"])
    assert run.success
    release.assert_released()
    assert "not selected: plan, freeze, dump, migrate, validate, unfreeze. The origin is thawed" in log_of(
        release, run.run_id
    ).replace("\n", " ")


def test_a_run_that_thaws_as_a_step_says_nothing_of_missing_steps(release: PreparedRelease) -> None:
    run = release.execute(["restore", "unfreeze"])
    assert run.success
    release.assert_released()
    assert "not selected" not in log_of(release, run.run_id)
