"""`unchanged`: a whole release in Dagster whose migrators change nothing, step by step, after one that changes something."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from pymongo import MongoClient

from bench.data import DATABASE, ResultsDiffer
from bench.processes import Ran, run
from bench.table import Row
from nmdc_release_ops.demo.origin import DemoOrigin
from nmdc_release_ops.jobs import data_release, list_steps
from nmdc_release_ops.mongo.server.writes import MARKER
from nmdc_release_ops.records.data_release import FreezeWindow, MigratedDatabase, ValidationReport
from nmdc_release_ops.resources.release_home import ReleaseHomeResource

# The first changes three collections. The migrators of the second do nothing, or only look.
RELEASES = ("11.24.0", "11.25.0")
_PROJECT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Released:
    """What a release did, its seconds by step, and what it wrote to the origin, in bytes of the oplog by namespace."""

    ran: Ran
    steps: dict[str, float]
    migrated: MigratedDatabase
    documents: int
    blocked: float
    written: dict[str, int]


def measure(folder: Path, scale: int, home: ReleaseHomeResource) -> Iterator[Row]:
    """Rows of a release that changes something and of one that does not, on an origin and in a home of their own.

    Raises:
        ResultsDiffer: the second changed something, or wrote to NMDC's collections.
    """
    _make_home(folder, home)
    origin = DemoOrigin.create(folder / "origin", scale=scale, log=lambda _: None)
    try:
        for number, version in enumerate(RELEASES):
            released = _release(folder, origin, version)
            if number:
                _require_nothing_written(released)
            yield from _rows(version, released)
    finally:
        origin.stop()


def _make_home(folder: Path, home: ReleaseHomeResource) -> None:
    """Create a home and a Dagster instance for the release, with the existing schema releases."""
    home.schema_folder.mkdir(parents=True, exist_ok=True)
    (folder / "home").mkdir()
    (folder / "home" / "schema").symlink_to(home.schema_folder)
    (folder / "dagster").mkdir()
    (folder / "dagster" / "dagster.yaml").symlink_to(_PROJECT / "dagster.yaml")


def _release(folder: Path, origin: DemoOrigin, version: str) -> Released:
    config = folder / "run.json"
    config.write_text(f'{{"ops": {{"plan": {{"config": {{"target_version": "{version}"}}}}}}}}')
    environment = {name: value for name, value in os.environ.items() if name != "NMDC_TRANSFORMER_URI"}
    with MongoClient[Any](origin.server.uri) as client:
        oplog = client.local["oplog.rs"]
        (last,) = oplog.find().sort("$natural", -1).limit(1)
        ran = run(
            [
                *(sys.executable, "-m", "dagster", "job", "execute"),
                *("-m", "nmdc_release_ops.definitions", "-j", "data_release", "-c", config),
            ],
            folder=folder,
            environment={
                **environment,
                "NMDC_ORIGIN_URI": origin.uri(),
                "NMDC_ORIGIN_DB": DATABASE,
                "NMDC_RELEASE_HOME": str(folder / "home"),
                "DAGSTER_HOME": str(folder / "dagster"),
                "PYTHONWARNINGS": "ignore",
            },
        )
        written = {
            entry["_id"]: entry["bytes"]
            for entry in oplog.aggregate(
                [
                    {"$match": {"ts": {"$gt": last["ts"]}, "op": {"$ne": "n"}}},
                    {"$group": {"_id": "$ns", "bytes": {"$sum": {"$bsonSize": "$$ROOT"}}}},
                ]
            )
        }
    with dg.DagsterInstance.from_config(str(folder / "dagster")) as instance:
        (run_id,) = (found.run_id for found in instance.get_runs(limit=1))
        steps = {
            found.step_key: float((found.end_time or 0) - (found.start_time or 0))
            for found in instance.get_run_step_stats(run_id)
        }
    records = folder / "home" / "records" / run_id
    return Released(
        ran,
        steps,
        MigratedDatabase.from_json((records / "migrate.json").read_bytes()),
        ValidationReport.from_json((records / "validate.json").read_bytes()).documents,
        FreezeWindow.from_json((records / "unfreeze.json").read_bytes()).seconds,
        written,
    )


def _require_nothing_written(released: Released) -> None:
    changes = released.migrated.changes
    if changes.changed or changes.created or changes.renamed or changes.deleted:
        raise ResultsDiffer(f"A release that changes nothing changed something: {changes.describe()}")
    others = {name for name in released.written if name.startswith(f"{DATABASE}.")}
    # Commands are logged under `DATABASE.$cmd`: what the release before had swapped out is dropped.
    others -= {f"{DATABASE}.{name}" for name in ("$cmd", MARKER)}
    if others:
        raise ResultsDiffer(f"A release that changes nothing wrote to {', '.join(sorted(others))}")


def _rows(version: str, released: Released) -> Iterator[Row]:
    changes = released.migrated.changes
    memory = released.ran.memory
    yield Row(
        released.documents,
        "unchanged",
        f"a release to {version}",
        sum(released.steps.get(step, 0.0) for step in list_steps(data_release)),
        memory=memory,
        notes=f"{changes.describe()}; writes blocked for {released.blocked:.1f} s; {_describe_writes(released.written)}; the "
        f"transformer's mongod {memory.mongod / 1_000_000:,.0f} MB",
    )
    yield Row(released.documents, "unchanged", f"&nbsp; writes blocked, to {version}", released.blocked, processed=0)
    for step in list_steps(data_release):
        yield Row(released.documents, "unchanged", f"&nbsp; {step}", released.steps.get(step), processed=0)


def _describe_writes(written: dict[str, int]) -> str:
    """Bytes written to the origin, for people."""
    nmdc = {name: size for name, size in written.items() if name.startswith(f"{DATABASE}.")}
    commands = nmdc.pop(f"{DATABASE}.$cmd", 0)
    # An event of the ledger is written in one transaction with the journal.
    state = sum(size for name, size in written.items() if not name.startswith(f"{DATABASE}."))
    return (
        f"written to the origin, as bytes of the oplog: {sum(nmdc.values()):,} of documents, {commands:,} of commands "
        f"(create, rename, drop), {state:,} of the ledger, the lease and other state"
    )
