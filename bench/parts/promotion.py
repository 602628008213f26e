"""`promotion`: rehearse a release that changes three collections and promote it, while a writer is refused for a moment.

Seconds of blocked writes are the writer's own measurement: from its first refused write to the next that is acknowledged.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from bench.data import DATABASE, Data
from bench.parts.release import make_home
from bench.report.table import Row
from nmdc_release_ops.records.data_release import FreezeWindow, Reconciled, ReleasePlan
from nmdc_release_ops.resources.release_home import ReleaseHomeResource

VERSION = "11.24.0"
_PROJECT = Path(__file__).parent.parent.parent
_BEFORE_SECONDS = 3.0


@dataclass(frozen=True)
class Writing:
    """What somebody writes meanwhile."""

    key: str
    what: str
    collection: str
    rate: int


WRITERS = (
    # As seldom as it can be and still measure to a hundredth of a second: it writes to what is not part of a release.
    Writing("nothing", "nothing was written since the last round", "jobs", 100),
    Writing("untouched", "500 writes a second to a collection that no migrator touches", "data_object_set", 500),
    Writing("touched", "50 writes a second to a collection that a migrator changes", "biosample_set", 50),
)


def measure(data: Data, home: ReleaseHomeResource) -> Iterator[Row]:
    """Rows of a rehearsal and of a promotion with each writer; afterwards the data are what they were, but for its writes."""
    with data.scratch("promotion") as folder:
        make_home(folder, home)
        for writing in WRITERS:
            yield from _promote(data, folder, writing)


def _promote(data: Data, folder: Path, writing: Writing) -> Iterator[Row]:
    key = f"promotion.{writing.key}"
    account = folder / f"{writing.key}.txt"
    with _writer(data, writing, account):
        time.sleep(_BEFORE_SECONDS)
        began = time.time()
        _execute(data, folder, "rehearsal", {"plan": {"config": {"target_version": VERSION}}})
        rehearsed = time.time()
        run_id = _execute(data, folder, "promote")
        ended = time.time()
        time.sleep(1)
    writes = [(float(at), float(took)) for at, took in map(str.split, account.read_text().splitlines()[:-1])]
    records = folder / "home" / "records" / run_id
    window = FreezeWindow.from_json((records / "unfreeze.json").read_bytes())
    last = Reconciled.from_json((records / "reconcile.json").read_bytes()).rounds[-1]
    yield Row(data.documents, key, f"a rehearsal: {writing.what}", rehearsed - began)
    yield Row(data.documents, f"{key}.promote", "&nbsp; its promotion", ended - rehearsed, processed=0)
    yield Row(
        data.documents,
        f"{key}.blocked",
        "&nbsp; writes blocked, as the writer sees it",
        _refused(writes),
        processed=0,
        notes=f"the run says {window.seconds:.2f} s; the last round took {last.seconds:.2f} s for "
        f"{sum(last.written.values()):,} written documents",
    )
    before = [took for at, took in writes if at < began and took >= 0]
    during = [took for at, took in writes if began <= at < rehearsed and took >= 0]
    yield Row(
        data.documents,
        f"{key}.latency",
        "&nbsp; a write during the rehearsal, p99",
        _percentile(during),
        processed=0,
        notes=f"at most {max(during):.3f} s; before it {_percentile(before):.4f} s and at most {max(before):.3f} s",
    )
    # What was written since the swap goes with it.
    release_id = ReleasePlan.from_json((records / "choose.plan.json").read_bytes()).release_id
    allowed = {"release_id": release_id, "allow_writes_set_aside": True, "allow_writes_left_in_place": True}
    _execute(data, folder, "rollback", {"roll_back": {"config": allowed}})


def _refused(writes: Sequence[tuple[float, float]]) -> float:
    """Seconds from each first refused write to the next that was acknowledged."""
    seconds = 0.0
    since: float | None = None
    for at, took in writes:
        if took < 0:
            since = at if since is None else since
        elif since is not None:
            seconds += at + took - since
            since = None
    return seconds


def _percentile(latencies: Sequence[float]) -> float:
    return sorted(latencies)[int(0.99 * (len(latencies) - 1))]


@contextmanager
def _writer(data: Data, writing: Writing, account: Path) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.scripts.writer", writing.collection, str(writing.rate), str(account)],
        cwd=_PROJECT,
        env={**os.environ, "WRITER_URI": data.origin.uri("nmdc_editor")},
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _execute(data: Data, folder: Path, job: str, ops: dict[str, object] | None = None) -> str:
    """Execute a job in a process of its own; return the id of its run."""
    config = folder / "run.json"
    config.write_text(json.dumps({"ops": ops or {}}))
    environment = {name: value for name, value in os.environ.items() if name != "NMDC_TRANSFORMER_URI"}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "dagster", "job", "execute"),
            *("-m", "nmdc_release_ops.definitions", "-j", job, "-c", str(config)),
        ],
        cwd=_PROJECT,
        env={
            **environment,
            "NMDC_ORIGIN_URI": data.origin.uri(),
            "NMDC_ORIGIN_DB": DATABASE,
            "NMDC_RELEASE_HOME": str(folder / "home"),
            "DAGSTER_HOME": str(folder / "dagster"),
            "PYTHONWARNINGS": "ignore",
        },
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{job} failed:\n{done.stderr[-3000:]}")
    with dg.DagsterInstance.from_config(str(folder / "dagster")) as instance:
        (run_id,) = (found.run_id for found in instance.get_runs(limit=1))
    return run_id
