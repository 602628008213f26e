"""The rate and the time left come from what was done, and are left out where nobody can tell."""

import pytest

from nmdc_release_ops import pace
from nmdc_release_ops.pace import Pace, Stopwatch


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(pace, "time", found)
    return found


def test_people_read_how_far_how_fast_and_how_long() -> None:
    assert Pace(1_000, 5_000, 200.0).describe("documents") == "1,000 of 5,000 documents, 200 a second, 20.0 s left"
    assert Pace(1_000, None, 200.0).describe("documents") == "1,000 documents, 200 a second"
    assert Pace(0, 5_000, None).describe("documents") == "0 of 5,000 documents"


def test_the_rate_is_that_of_the_last_minute(clock: Clock) -> None:
    watch = Stopwatch()
    for done in range(1, 11):
        clock.seconds += 60
        slow = watch.measure(done * 60, 10_000)
    assert slow.rate == 1.0 and slow.seconds_left == 9_400
    for _ in range(7):
        clock.seconds += 10
        fast = watch.measure(done := slow.done + int((clock.seconds - 1_600) * 100), 10_000)
    assert fast.rate == pytest.approx(100.0)
    assert fast.seconds_left == pytest.approx((10_000 - done) / 100)


def test_work_that_begins_again_is_measured_anew(clock: Clock) -> None:
    watch = Stopwatch()
    clock.seconds += 10
    watch.measure(1_000, 2_000)
    clock.seconds += 10
    assert watch.measure(100, 2_000).rate is None
    clock.seconds += 10
    assert watch.measure(200, 2_000).rate == 10.0


def test_more_than_was_expected_leaves_no_time() -> None:
    assert Pace(11, 10, 1.0).seconds_left == 0
