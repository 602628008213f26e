"""A row of the benchmark, and the table of all rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.processes import Memory

COLUMNS = ("documents", "part", "what", "seconds", "documents / s", "ratio", "memory", "notes")
_MILLION = 1_000_000
# The demo has not exactly as many documents as were asked for.
_NEARLY = 0.95


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        documents: how many the database held.
        key: names the measurement: the part that it belongs to, then what was measured, with dots between.
        what: the same, for people.
        seconds: None if it could not be measured; `notes` gives the reason.
        processed: number of documents processed, if not all; 0 if a rate would mean nothing.
        ratio: how many times as fast as the tool that it is compared with, for people.
        megabytes: what is not time: megabytes of a disk, of what was loaded.
    """

    documents: int
    key: str
    what: str
    seconds: float | None = None
    processed: int | None = None
    ratio: str = ""
    memory: Memory | None = None
    notes: str = ""
    megabytes: float | None = None

    @property
    def part(self) -> str:
        return self.key.partition(".")[0]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Row":
        """A row from what `dataclasses.asdict` made of one."""
        row = cls(**values)
        return replace(row, memory=Memory(**values["memory"])) if values["memory"] else row

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


def times_as_fast(theirs: float, ours: float, documents: int, goals: Mapping[int, float] | None = None) -> str:
    """How many times as fast ours is, with the goal if there is one.

    Args:
        documents: how many there are.
        goals: ratios to reach, by the number of documents from which they apply.
    """
    ratio = theirs / ours
    text = f"{ratio:.1f}"
    applying = [least for least in goals or {} if documents >= _NEARLY * least]
    if not goals or not applying:
        return text
    goal = goals[max(applying)]
    return f"**{text}** (goal {goal:g}{'' if ratio >= goal else ', **not reached**'})"


def table(columns: Sequence[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """A table in Markdown: the first column to the left, numbers to the right."""
    return [line(columns), line("---" if not number else "---:" for number, _ in enumerate(columns)), *map(line, rows)]


def line(cells: Iterable[str]) -> str:
    """One line of a table in Markdown."""
    return f"| {' | '.join(cells)} |"


def _describe_memory(memory: Memory | None) -> str:
    if memory is None:
        return ""
    one = f"{memory.largest / _MILLION:,.0f} MB"
    if memory.processes < 2:
        return one
    return f"{one}; {memory.processes} processes {memory.together / _MILLION:,.0f} MB"
