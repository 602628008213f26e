"""A throttle lets several threads together read at most so many documents a second, and stops waiting when told to."""

from threading import Event

from nmdc_release_ops.mongo.transfer.throttle import Throttle


class Clock:
    """Seconds, as a test sets them."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_whoever_reads_waits_as_long_as_the_documents_may_take() -> None:
    assert Throttle(100, Clock()).reserve(50) == 0.5


def test_all_readers_together_keep_to_the_rate() -> None:
    throttle = Throttle(100, Clock())
    assert [throttle.reserve(100) for _ in range(4)] == [1, 2, 3, 4]


def test_time_that_went_by_counts_and_is_not_saved_up() -> None:
    clock = Clock()
    throttle = Throttle(100, clock)
    throttle.reserve(100)
    clock.now += 0.25
    assert throttle.reserve(100) == 1.75
    clock.now += 1_000
    assert throttle.reserve(100) == 1


def test_a_batch_is_what_may_be_read_in_a_second_and_never_nothing() -> None:
    assert [Throttle(rate).batch for rate in (0.5, 7, 500, 10**9)] == [1, 7, 500, 10_000]


def test_a_dump_that_is_stopped_does_not_wait_on() -> None:
    stopped = Event()
    stopped.set()
    Throttle(0.001).wait(1_000_000, stopped)
