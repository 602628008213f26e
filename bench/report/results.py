"""What was measured, by size: kept as JSON, so that a run of one size can be added to one of others."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.report.table import Row


@dataclass(frozen=True)
class Measured:
    """What one run measured at one size.

    Attributes:
        scale: the size that was asked for.
        aggregates: how many of the documents are aggregates.
        machine: what it ran on.
        versions: of what was measured.
        date: ISO 8601.
        minutes: how long it all took.
        neighbours: cores that other programs kept busy meanwhile, on average.
        server: peak memory of the mongod with the data and all their copies, in bytes.
    """

    scale: int
    documents: int
    aggregates: int
    machine: str
    versions: str
    date: str
    minutes: float
    neighbours: float
    server: int
    rows: list[Row]

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Measured":
        """What `asdict` made JSON of."""
        return replace(cls(**values), rows=[Row.from_json(row) for row in values["rows"]])

    @property
    def others(self) -> int:
        """How many of the documents are not aggregates."""
        return self.documents - self.aggregates

    def find(self, key: str) -> Row | None:
        """The row of a measurement, whether it has seconds or not."""
        return next((row for row in self.rows if row.key == key), None)

    def seconds(self, *keys: str) -> float | None:
        """The seconds of some measurements together; None unless all were made."""
        found = [row.seconds if (row := self.find(key)) else None for key in keys]
        known = [seconds for seconds in found if seconds is not None]
        return sum(known) if len(known) == len(keys) else None


def read_results(file: Path) -> list[Measured]:
    """What was kept, by size; nothing if there is no file."""
    if not file.exists():
        return []
    return [Measured.from_json(values) for values in json.loads(file.read_text())]


def write_results(file: Path, results: Iterable[Measured]) -> None:
    """Keep them."""
    file.write_text(json.dumps([asdict(one) for one in results], indent=1, ensure_ascii=False) + "\n")


def merge(kept: Sequence[Measured], new: Sequence[Measured]) -> list[Measured]:
    """All of `new`; of `kept` the other sizes, and of the same sizes the other parts, if they were measured on the same machine
    with the same versions. From the smallest to the largest.
    """
    before = {one.scale: one for one in kept}
    merged = [_add_other_parts(one, before.pop(one.scale, None)) for one in new]
    return sorted([*before.values(), *merged], key=lambda one: one.scale)


def _add_other_parts(new: Measured, before: Measured | None) -> Measured:
    parts = {row.part for row in new.rows}
    others = [row for row in before.rows if row.part not in parts] if before else []
    if not before or not others or (before.machine, before.versions) != (new.machine, new.versions):
        return new
    return replace(
        new,
        rows=[*others, *new.rows],
        minutes=before.minutes + new.minutes,
        neighbours=max(before.neighbours, new.neighbours),
        server=max(before.server, new.server),
    )


def group_runs(results: Sequence[Measured]) -> dict[tuple[str, str, str], list[Measured]]:
    """The sizes that were measured together, by machine, date and versions."""
    groups: dict[tuple[str, str, str], list[Measured]] = {}
    for one in results:
        groups.setdefault((one.machine, one.date, one.versions), []).append(one)
    return groups


def describe_origin(results: Sequence[Measured]) -> str:
    """Where, when and beside what the results were measured, a sentence for sizes that have this in common."""
    sentences = []
    for (machine, date, versions), together in group_runs(results).items():
        sizes = ", ".join(f"{one.documents:,}" for one in together)
        busiest = max(one.neighbours for one in together)
        beside = "nothing else ran" if busiest < 0.1 else f"other programs used up to {busiest:.1f} cores meanwhile"
        sentences.append(f"{sizes} documents: {date}, {machine}, {versions}; {beside}.")
    return " ".join(sentences)
