"""The state of the origin as metrics, in Prometheus' text format, for node_exporter's textfile collector.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pymongo.database import Database

from nmdc_release_ops.files import lock, write_whole, writing
from nmdc_release_ops.folders import origin_name
from nmdc_release_ops.mongo.origin_state import OriginState, read_origin_state
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.identity import identify_set
from nmdc_release_ops.mongo.state.history import read_history
from nmdc_release_ops.mongo.state.lease import freezes_of
from nmdc_release_ops.mongo.state.ledger import LedgerUnusable
from nmdc_release_ops.mongo.state.step_report import Stage, StepReport
from nmdc_release_ops.mongo.swapping.displaced import find_displaced
from nmdc_release_ops.status.unresolved import read_unresolved
from nmdc_release_ops.status.ways import find_promotion

METRICS = "metrics-{origin}.prom"
"""The file's name in `NMDC_RELEASE_HOME`: one for each origin that it serves."""
PREFIX = "nmdc_release_"
HELP = {
    "database_info": "The schema version that the database conforms to, as a label; always 1.",
    "writes_blocked": "Whether writes to the origin are blocked.",
    "frozen_since_timestamp_seconds": "Since when a release holds the origin frozen; absent while none does.",
    "heartbeat_timestamp_seconds": "The last heartbeat of the run that holds the origin; absent while none does.",
    "swap_under_way": "Whether a swap or a rollback was begun and is not finished.",
    "displaced_collections": "How many collections a run renamed too late, so that rollback has to put them back.",
    "step_failed": "Whether the newest step of a release, or of a rehearsal, failed, and nothing succeeded since.",
    "step_working": "Whether the newest step is at work.",
    "step_done": "What the newest step has done, in units of its work.",
    "step_expected": "What it will have done in the end.",
    "step_per_second": "The rate of its work.",
    "step_left_seconds": "The time left for its work.",
    "step_updated_timestamp_seconds": "When the newest step last reported.",
    "predicted_blocked_seconds": "How long writes will be blocked, as predicted by the newest release.",
    "blocked_seconds": "How long the last release to reach its swap blocked writes.",
    "oplog_left_seconds": "How far the oplog reaches back beyond the rehearsal that can be promoted, or beyond the promotion.",
    "home_free_bytes": "Free space on the disk of NMDC_RELEASE_HOME.",
    "home_size_bytes": "Size of the disk of NMDC_RELEASE_HOME.",
    "watchdog_tick_timestamp_seconds": "The last tick of frozen_origin_watchdog that reached the origin; 0 before the first.",
    "written_timestamp_seconds": "When these metrics were written.",
}
"""Every metric by its name, without the prefix. All are gauges."""
_TICK = "watchdog_tick_timestamp_seconds"
_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@dataclass(frozen=True)
class Sample:
    """One value of a metric.

    Attributes:
        name: a key of `HELP`.
    """

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


def write_metrics(database: Database[Document], home: Path, *, is_tick: bool = False) -> None:
    """Read the state of the origin, and replace its file.

    Args:
        home: `NMDC_RELEASE_HOME`.
        is_tick: whether `frozen_origin_watchdog` writes; all others keep the time of its last tick.

    Raises:
        FileNotWritten, PyMongoError.
    """
    origin = origin_name(identify_set(database.client), database.name)
    # The collector refuses files that hold the same metric with the same labels, so all of them name the origin.
    named = [Sample(one.name, one.value, {"origin": origin, **one.labels}) for one in collect(database, home)]
    path = home / METRICS.format(origin=origin)
    # A run and the daemon may write at the same time.
    with writing(path), lock(path):
        ticked = round(time.time(), 3) if is_tick else _read_last_tick(path)
        write_whole(path, render([*named, Sample(_TICK, ticked, {"origin": origin})]))


def _read_last_tick(path: Path) -> float:
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{PREFIX}{_TICK}{{")), 0.0)


def render(samples: Iterable[Sample]) -> str:
    """The text of the file."""
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.name, []).append(sample)
    return "".join(_render_metric(name, by_name[name]) for name in HELP if name in by_name)


def _render_metric(name: str, samples: Iterable[Sample]) -> str:
    lines = [f"# HELP {PREFIX}{name} {HELP[name]}", f"# TYPE {PREFIX}{name} gauge"]
    for sample in samples:
        labels = ",".join(f'{label}="{value.translate(_ESCAPED)}"' for label, value in sample.labels.items())
        lines.append(f"{PREFIX}{name}{{{labels}}} {sample.value!r}" if labels else f"{PREFIX}{name} {sample.value!r}")
    return "\n".join(lines) + "\n"


def collect(database: Database[Document], home: Path) -> Iterator[Sample]:
    """The state of the origin, and of the disk."""
    state = read_origin_state(database.client, database.name)
    is_blocked = state.is_frozen or bool(state.is_write_blocked) or bool(state.leftovers)
    yield from _describe_origin(database, state, is_blocked=is_blocked)
    reports = read_unresolved(database)
    for report in reports:
        yield from _describe_step(report)
    followed = [one.oplog_seconds_left for one in reports if one.stage is Stage.WORKING]
    left = next((seconds for seconds in followed if seconds is not None), None)
    if not is_blocked:
        yield Sample("displaced_collections", len(find_displaced(database)), {"database": database.name})
    # It reads the manifests of rehearsals, and asks the origin: nothing for the time in which people wait.
    if left is None and not is_blocked:
        left = find_promotion(database, home).oplog_seconds_left
    if left is not None:
        yield Sample("oplog_left_seconds", left, {"database": database.name})
    disk = shutil.disk_usage(home)
    yield Sample("home_free_bytes", disk.free)
    yield Sample("home_size_bytes", disk.total)
    yield Sample("written_timestamp_seconds", round(time.time(), 3))


def _describe_origin(database: Database[Document], state: OriginState, *, is_blocked: bool) -> Iterator[Sample]:
    labels = {"database": database.name}
    yield Sample("writes_blocked", int(is_blocked), labels)
    yield Sample("swap_under_way", int(state.is_swap_under_way), labels)
    if state.lease is not None:
        held = {**labels, "release": state.lease.release_id}
        yield Sample("heartbeat_timestamp_seconds", _seconds(state.lease.beat_at), held)
        if state.lease.frozen_at is not None:
            yield Sample("frozen_since_timestamp_seconds", _seconds(state.lease.frozen_at), held)
    try:
        history = read_history(database)
    except LedgerUnusable:
        return
    yield Sample("database_info", 1, {**labels, "schema_version": history.version or "unknown"})
    if history.newest is not None:
        last = history.newest.release_id
        seconds = sum(freeze.seconds for freeze in freezes_of(database.client, last))
        yield Sample("blocked_seconds", seconds, {**labels, "release": last})


def _describe_step(report: StepReport) -> Iterator[Sample]:
    # Prometheus itself calls the scraped program `job`.
    labels = {
        "database": report.database,
        "dagster_job": report.job,
        "release": report.release_id,
        "step": report.step,
    }
    yield Sample("step_failed", int(report.stage is Stage.FAILED), labels)
    yield Sample("step_working", int(report.stage is Stage.WORKING), labels)
    values = {
        "step_done": report.done,
        "step_expected": report.total,
        "step_per_second": report.rate,
        "step_left_seconds": report.seconds_left,
        "step_updated_timestamp_seconds": _seconds(report.updated_at) if report.updated_at else None,
        "predicted_blocked_seconds": report.predicted_seconds,
    }
    yield from (Sample(name, value, labels) for name, value in values.items() if value is not None)


def _seconds(moment: datetime) -> float:
    return round(moment.timestamp(), 3)
