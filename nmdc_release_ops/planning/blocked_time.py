"""How long a release is going to block writes: by the last one of this origin, or by rates that were measured elsewhere."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from nmdc_release_ops.records.data_release import FreezeWindow, Purpose, ReleasePlan
from nmdc_release_ops.records.record import Record, RecordAltered, RecordUnreadable
from nmdc_release_ops.units import duration

RecordT = TypeVar("RecordT", bound=Record)
FIXED_SECONDS = 5.0
"""What a release takes whose database is empty: processes that start, Dagster's events (docs/performance.md)."""
DOCUMENTS_A_SECOND = 40_000
"""Of a whole release beyond that, on two cores (docs/performance.md)."""


@dataclass(frozen=True)
class EarlierRelease:
    """A release that was carried out.

    Attributes:
        seconds: for which it blocked writes.
    """

    release_id: str
    documents: int
    seconds: float


@dataclass(frozen=True)
class Prediction:
    """How long writes are going to be blocked, approximately, and why that is assumed."""

    seconds: float
    basis: str

    def describe(self) -> str:
        return f"about {duration(self.seconds)} ({self.basis})"


def predict_blocked_time(plan: ReleasePlan, records: Path) -> Prediction:
    """Predict how long `data_release` blocks writes.

    Args:
        records: the folder with a folder of records for each run.
    """
    earlier = find_last_release(plan, records)
    if earlier is None:
        return Prediction(
            FIXED_SECONDS + plan.documents / DOCUMENTS_A_SECOND,
            "by the rates of docs/performance.md: this origin was not released yet, or its records were removed",
        )
    rest = max(earlier.seconds - FIXED_SECONDS, 0) * plan.documents / max(earlier.documents, 1)
    return Prediction(
        min(earlier.seconds, FIXED_SECONDS) + rest,
        f"release {earlier.release_id} blocked them for {duration(earlier.seconds)}, with {earlier.documents:,} documents",
    )


def find_last_release(plan: ReleasePlan, records: Path) -> EarlierRelease | None:
    """The last `data_release` of the plan's origin and database; None if there is no record of one."""
    plans = {one.release_id: one for one in _read_all(records.glob("*/plan.json"), ReleasePlan)}
    for window in _read_all(records.glob("*/unfreeze.json"), FreezeWindow):
        earlier = plans.get(window.freezes[-1].release_id) if window.freezes else None
        if earlier is not None and _is_alike(earlier, plan):
            return EarlierRelease(earlier.release_id, earlier.documents, window.seconds)
    return None


def _is_alike(earlier: ReleasePlan, plan: ReleasePlan) -> bool:
    sets = [one.origin.set_id or one.origin for one in (earlier, plan)]
    return sets[0] == sets[1] and earlier.database == plan.database and earlier.purpose is Purpose.RELEASE


def _read_all(files: Iterable[Path], kind: type[RecordT]) -> Iterator[RecordT]:
    """The records that can be read, the newest first."""
    for file in sorted(files, key=_written_at, reverse=True):
        try:
            yield kind.from_json(file.read_bytes())
        except (FileNotFoundError, RecordUnreadable, RecordAltered):
            continue


def _written_at(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0
