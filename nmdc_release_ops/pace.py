"""How fast work goes on and how long the rest takes, of what was done so far."""

import time
from collections import deque
from dataclasses import dataclass

from nmdc_release_ops.units import duration

WINDOW_SECONDS = 60.0
"""The rate is that of the last minute, so that a slow beginning is forgotten."""


@dataclass(frozen=True)
class Pace:
    """How far some work is.

    Attributes:
        done: units of work.
        total: of all units; None where nobody knows.
        rate: units a second; None at the beginning.
    """

    done: int
    total: int | None
    rate: float | None

    @property
    def seconds_left(self) -> float | None:
        """None where it cannot be told."""
        if self.total is None or not self.rate:
            return None
        return max(0, self.total - self.done) / self.rate

    def describe(self, unit: str) -> str:
        """For people: "1,000 of 5,000 documents, 200 a second, 20.0 s left"."""
        of = "" if self.total is None else f" of {self.total:,}"
        parts = [f"{self.done:,}{of} {unit}"]
        if self.rate:
            parts.append(f"{self.rate:,.0f} a second")
        if self.seconds_left is not None:
            parts.append(f"{duration(self.seconds_left)} left")
        return ", ".join(parts)


class Stopwatch:
    """Measures the rate of work from what was done at several moments."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def measure(self, done: int, total: int | None) -> Pace:
        """The pace now.

        Args:
            done: units so far; less than before where the work began again.
        """
        now = time.monotonic()
        if done < self._seen[-1][1]:
            self._seen = deque([(now, done)])
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[1][0] <= now - WINDOW_SECONDS:
            self._seen.popleft()
        began, had = self._seen[0]
        rate = (done - had) / (now - began) if now > began and done > had else None
        return Pace(done, total, rate)
