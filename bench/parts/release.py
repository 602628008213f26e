"""`release`: a whole release in Dagster that changes three collections, and one that changes nothing, step by step.

They run on the measured data themselves, after everything else that needs these.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from bench.data import DATABASE, Data, ResultsDiffer
from bench.environments import run_task
from bench.parts.archive import run_ours
from bench.processes import Ran, run
from bench.report.table import Row
from nmdc_release_ops.jobs import data_release, list_steps
from nmdc_release_ops.mongo.archive.manifest import read_manifest
from nmdc_release_ops.records.data_release import FreezeWindow, MigratedDatabase, ValidationReport
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment
from nmdc_release_ops.schema.report import read_summary
from nmdc_release_ops.steps.judging.validating import describe_file

# The first changes three collections. The migrators of the second do nothing, or only look.
RELEASES = ("11.24.0", "11.25.0")
KINDS = ("changing", "unchanged")
MOST_OF_ALONE = 1.5
"""How many times as long as dumping and validating alone a release that changes nothing may block writes."""
_GOAL_FROM = 950_000
_MILLION = 1_000_000
_PROJECT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Released:
    """What a release did.

    Attributes:
        steps: seconds of each.
        blocked: seconds for which writes were blocked.
        written: bytes of the origin's oplog, by namespace.
        loaded: bytes of BSON of the collections that were loaded into the transformer.
    """

    ran: Ran
    steps: dict[str, float]
    migrated: MigratedDatabase
    documents: int
    blocked: float
    written: dict[str, int]
    loaded: int


def measure(data: Data, target: SchemaEnvironment, compiled: Path, home: ReleaseHomeResource) -> Iterator[Row]:
    """Rows of both releases, in a home of their own, and of dumping and validating alone.

    Args:
        target: the environment of the last release.
        compiled: its schema.

    Raises:
        ResultsDiffer: the second changed something, or wrote to NMDC's collections.
    """
    with data.scratch("release") as folder:
        make_home(folder, home)
        changing = _release(data, folder, RELEASES[0])
        yield from _rows(KINDS[0], RELEASES[0], changing)
        unchanged = _release(data, folder, RELEASES[1])
        _require_nothing_written(unchanged)
        yield from _rows(KINDS[1], RELEASES[1], unchanged)
        yield from _alone(data, target, compiled, folder, unchanged.blocked)


def make_home(folder: Path, home: ReleaseHomeResource) -> None:
    """Create a home and a Dagster instance for the release, with the existing schema releases."""
    home.schema_folder.mkdir(parents=True, exist_ok=True)
    (folder / "home").mkdir()
    (folder / "home" / "schema").symlink_to(home.schema_folder)
    (folder / "dagster").mkdir()
    (folder / "dagster" / "dagster.yaml").symlink_to(_PROJECT / "dagster.yaml")


def _release(data: Data, folder: Path, version: str) -> Released:
    config = folder / "run.json"
    config.write_text(json.dumps({"ops": {"plan": {"config": {"target_version": version}}}}))
    environment = {name: value for name, value in os.environ.items() if name != "NMDC_TRANSFORMER_URI"}
    oplog = data.client.local["oplog.rs"]
    (last,) = oplog.find().sort("$natural", -1).limit(1)
    ran = run(
        [
            *(sys.executable, "-m", "dagster", "job", "execute"),
            *("-m", "nmdc_release_ops.definitions", "-j", "data_release", "-c", config),
        ],
        folder=folder,
        environment={
            **environment,
            "NMDC_ORIGIN_URI": data.origin.uri(),
            "NMDC_ORIGIN_DB": DATABASE,
            "NMDC_RELEASE_HOME": str(folder / "home"),
            "DAGSTER_HOME": str(folder / "dagster"),
            "PYTHONWARNINGS": "ignore",
        },
        files=_transformer_files(folder / "home"),
    )
    by_namespace = {"$group": {"_id": "$ns", "bytes": {"$sum": {"$bsonSize": "$$ROOT"}}}}
    entries = oplog.aggregate([{"$match": {"ts": {"$gt": last["ts"]}, "op": {"$ne": "n"}}}, by_namespace])
    written = {entry["_id"]: entry["bytes"] for entry in entries}
    with dg.DagsterInstance.from_config(str(folder / "dagster")) as instance:
        (run_id,) = (found.run_id for found in instance.get_runs(limit=1))
        steps = {
            found.step_key: float((found.end_time or 0) - (found.start_time or 0))
            for found in instance.get_run_step_stats(run_id)
        }
    records = folder / "home" / "records" / run_id
    migrated = MigratedDatabase.from_json((records / "migrate.json").read_bytes())
    return Released(
        ran,
        steps,
        migrated,
        ValidationReport.from_json((records / "validate.json").read_bytes()).documents,
        FreezeWindow.from_json((records / "unfreeze.json").read_bytes()).seconds,
        written,
        sum(one.bytes for one in data.manifest.collections if one.name not in migrated.unloaded),
    )


def _transformer_files(home: Path) -> Callable[[], Iterable[Path]]:
    """Lists the transformers' files with data: not the journal, which has 200 to 300 MB whatever the data."""

    def files() -> Iterator[Path]:
        for pattern in ("collection", "index"):
            yield from home.glob(f"origins/*/releases/*/transformer/data/{pattern}-*.wt")

    return files


def _require_nothing_written(released: Released) -> None:
    changes = released.migrated.changes
    if changes.changed or changes.created or changes.renamed or changes.deleted:
        raise ResultsDiffer(f"A release that changes nothing changed something: {changes.describe()}")
    # Commands are logged under `DATABASE.$cmd`: what the release before had swapped out is dropped.
    others = {name for name in released.written if name.startswith(f"{DATABASE}.")} - {f"{DATABASE}.$cmd"}
    if others:
        raise ResultsDiffer(f"A release that changes nothing wrote to {', '.join(sorted(others))}")


def _rows(kind: str, version: str, released: Released) -> Iterator[Row]:
    key = f"release.{kind}"
    ran = released.ran
    yield Row(
        released.documents,
        key,
        f"a release to {version}",
        sum(released.steps.get(step, 0.0) for step in list_steps(data_release)),
        memory=ran.memory,
        notes=f"{released.migrated.changes.describe()}; {_describe_writes(released.written)}; the transformer's mongod: "
        f"{ran.memory.mongod / _MILLION:,.0f} MB of memory",
    )
    yield Row(released.documents, f"{key}.blocked", "&nbsp; writes blocked", released.blocked, processed=0)
    for step in list_steps(data_release):
        yield Row(released.documents, f"{key}.{step}", f"&nbsp; {step}", released.steps.get(step), processed=0)
    loaded, disk = released.loaded / _MILLION, ran.disk / _MILLION
    yield Row(
        released.documents, f"{key}.loaded", "&nbsp; loaded", notes=f"{loaded:,.1f} MB of documents", megabytes=loaded
    )
    yield Row(
        released.documents,
        f"{key}.disk",
        "&nbsp; the transformer's files",
        notes=f"at most {disk:,.1f} MB of collections (oplog included) and indexes; its journal has 200 to 300 MB more",
        megabytes=disk,
    )


def _alone(data: Data, target: SchemaEnvironment, compiled: Path, folder: Path, blocked: float) -> Iterator[Row]:
    """Dumping and validating the same data, without a release."""
    archive = folder / "archive"
    dumping, dumped_in = run_ours(data, "dump", archive)
    manifest = read_manifest(archive)
    extras = {
        "database": DATABASE,
        "collections": {one.name: one.documents for one in manifest.collections},
        "archived": {one.name: describe_file(archive, one) for one in manifest.collections},
        "compiled": str(compiled),
        "violations_path": str(folder / "violations.jsonl"),
        "summary_path": str(folder / "validation.json"),
    }
    validated = run_task(target, "validating.validate", data.uri, extras, folder)
    documents = read_summary(folder / "validation.json").documents
    if documents != manifest.documents:
        raise ResultsDiffer(f"{documents:,} documents were validated, of {manifest.documents:,}")
    both = dumping + validated.seconds
    share = f"writes are blocked for {blocked / both:.2f} times as long"
    if documents >= _GOAL_FROM:
        missed = "" if blocked <= MOST_OF_ALONE * both else ", **not reached**"
        share += f" (goal: at most {MOST_OF_ALONE:g}{missed})"
    key = "release.unchanged.alone"
    yield Row(documents, key, "dump and validate alone", both, notes=f"in a release that changes nothing, {share}")
    yield Row(documents, f"{key}.dump", "&nbsp; dump", dumping, memory=dumped_in, processed=0)
    yield Row(documents, f"{key}.validate", "&nbsp; validate", validated.seconds, memory=validated.memory, processed=0)


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
