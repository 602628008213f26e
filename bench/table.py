"""The table that a run of the measurements prints and writes, and what it says of the machine."""

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from bench.processes import Memory

_COLUMNS = ("documents", "part", "what", "seconds", "documents / s", "ratio", "memory", "notes")
_MILLION = 1_000_000


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        documents: how many the database held.
        seconds: None where it could not be measured; `notes` says why.
        judged: how many documents it worked on, where it was not all of them or their rate says nothing: 0 then.
        ratio: how many times as fast as what it is compared with, for people.
    """

    documents: int
    part: str
    what: str
    seconds: float | None = None
    judged: int | None = None
    ratio: str = ""
    memory: Memory | None = None
    notes: str = ""

    def cells(self) -> tuple[str, ...]:
        worked_on = self.documents if self.judged is None else self.judged
        return (
            f"{self.documents:,}",
            self.part,
            self.what,
            "" if self.seconds is None else f"{self.seconds:.2f}",
            f"{worked_on / self.seconds:,.0f}" if self.seconds and worked_on else "",
            self.ratio,
            _held(self.memory),
            self.notes,
        )


def times_as_fast(theirs: float, ours: float, goal: float | None = None) -> str:
    """How many times as fast ours is, with the goal where there is one."""
    ratio = theirs / ours
    if goal is None:
        return f"{ratio:.1f}"
    return f"**{ratio:.1f}** (goal {goal:g}{'' if ratio >= goal else ', **not reached**'})"


def heading() -> list[str]:
    """The first two lines of the table."""
    return [_line(_COLUMNS), _line("---" for _ in _COLUMNS)]


def line_of(row: Row) -> str:
    return _line(row.cells())


def machine(mongod_version: str) -> str:
    """What the seconds depend on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{cores} CPUs ({platform.machine()}), Python {platform.python_version()}, mongod {mongod_version}, "
        f"{datetime.now(UTC):%Y-%m-%d}. Seconds depend on the machine and on what else it does: compare ratios, not seconds."
    )


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _held(memory: Memory | None) -> str:
    if memory is None:
        return ""
    one = f"{memory.largest / _MILLION:,.0f} MB"
    if memory.processes < 2:
        return one
    return f"{one}; {memory.processes} processes {memory.together / _MILLION:,.0f} MB"
