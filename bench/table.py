"""The table that the benchmark prints and writes, and the description of the machine."""

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
        seconds: None if it could not be measured; `notes` gives the reason.
        processed: number of documents processed, if not all; 0 if a rate would mean nothing.
        ratio: how many times as fast as the tool that it is compared with, for people.
    """

    documents: int
    part: str
    what: str
    seconds: float | None = None
    processed: int | None = None
    ratio: str = ""
    memory: Memory | None = None
    notes: str = ""

    def cells(self) -> tuple[str, ...]:
        processed = self.documents if self.processed is None else self.processed
        return (
            f"{self.documents:,}",
            self.part,
            self.what,
            "" if self.seconds is None else f"{self.seconds:.2f}",
            f"{processed / self.seconds:,.0f}" if self.seconds and processed else "",
            self.ratio,
            _describe_memory(self.memory),
            self.notes,
        )


def times_as_fast(theirs: float, ours: float, goal: float | None = None) -> str:
    """How many times as fast ours is, with the goal if there is one."""
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
    """A description of the machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{cores} CPUs ({platform.machine()}), Python {platform.python_version()}, mongod {mongod_version}, "
        f"{datetime.now(UTC):%Y-%m-%d}. Seconds depend on the machine and its load: compare ratios, not seconds."
    )


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _describe_memory(memory: Memory | None) -> str:
    if memory is None:
        return ""
    one = f"{memory.largest / _MILLION:,.0f} MB"
    if memory.processes < 2:
        return one
    return f"{one}; {memory.processes} processes {memory.together / _MILLION:,.0f} MB"
