"""The workers that `freeze` starts are the ones that migrate and validate; a step that finds none starts its own."""

import psutil

from nmdc_release_ops_tests.prepared_release import PreparedRelease, prepared_release_fixture
from nmdc_release_ops_tests.steps.watched_workers import STEPS, WORKERS, seen_in, watched, workers_of
from nmdc_release_ops_tests.workplace import Workplace, workplace_fixture

workplace = workplace_fixture(warm=True)
made = prepared_release_fixture(patience=1)


def nothing() -> None:
    assert len(workers_of(psutil.Process())) == WORKERS


def test_the_workers_that_wait_in_the_dump_are_those_that_work(release: PreparedRelease, workplace: Workplace) -> None:
    assert seen_in(release, STEPS, workplace, nothing) == WORKERS


def test_a_run_that_ends_after_the_freeze_leaves_no_worker(release: PreparedRelease) -> None:
    with watched(psutil.Process()) as found:
        assert release.execute(["freeze"]).success
    assert len(found) == WORKERS


def test_steps_that_are_re_executed_without_the_freeze_start_their_own(release: PreparedRelease) -> None:
    with watched(psutil.Process()) as found:
        assert release.execute(["dump", "migrate"]).success
    assert len(found) == WORKERS - 1
