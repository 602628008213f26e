"""`validate`: our worker's task compared with LinkML's validator called document by document, on data with known damage."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo.database import Database

from bench.damage import Key, Reference, damage_documents, sample
from bench.data import LONG_AGO, Data, ResultsDiffer
from bench.environments import run_script, run_task
from bench.parts.migrate import MIGRATOR
from bench.processes import Ran
from bench.report.table import Row, times_as_fast
from nmdc_release_ops.mongo.transfer.dump import dump
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment
from nmdc_release_ops.schema.report import read_summary
from nmdc_release_ops.steps.judging.validating import describe_file

GOALS = {1_000_000: 20.0, 5_000_000: 50.0}
CHANGED = {"biosample_set", "data_generation_set", "study_set"}
"""What the migrator changes. A release reads the other collections from the archive."""


@dataclass(frozen=True)
class Validated:
    """What our worker's task found: documents that violate the schema, and dangling or misplaced references."""

    ran: Ran
    documents: int
    invalid: set[Key]
    broken: set[Reference]


def measure(
    data: Data,
    migrating: SchemaEnvironment,
    environment: SchemaEnvironment,
    compiled: Path,
    baseline_documents: int | None,
) -> Iterator[Row]:
    """Rows of both.

    Args:
        migrating: the environment that migrates the data to the schema of `environment`.
        compiled: that schema.
        baseline_documents: approximate size of the sample that LinkML validates; None for all documents.

    Raises:
        ResultsDiffer: one of them does not find exactly the damaged documents invalid.
    """
    with data.copy("bench_judged") as database, data.scratch("validate") as folder:
        bring_to_target(data, migrating, database, folder)
        sound = validate_by_ours(data, environment, compiled, database, folder)
        _require_same("our worker", set(), sound.invalid | {one[:2] for one in sound.broken})
        damaged = damage_documents(database, data.names, data.documents)
        every = max(1, round(data.documents / baseline_documents)) if baseline_documents else 1
        theirs = _validate_by_linkml(data, environment, database, damaged, every, folder)
        ours = validate_by_ours(data, environment, compiled, database, folder)
        for result in (sound, ours):
            if result.documents != data.documents:
                raise ResultsDiffer(f"{result.documents:,} documents were validated, of {data.documents:,}")
        _require_same("our worker", set(damaged), ours.invalid)
    # The cost of preparing does not grow with the data.
    their_seconds = theirs["preparing"] + theirs["judging"] * data.documents / theirs["judged"]
    sampled = (
        ""
        if every == 1
        else f"extrapolated from one document in {every}, {theirs['judged']:,} in {theirs['seconds']:.1f} s; "
    )
    yield Row(
        data.documents,
        "validate.theirs",
        "LinkML's `Validator`, document by document",
        their_seconds,
        memory=theirs["memory"],
        notes=f"{sampled}including {theirs['preparing']:.1f} s for imports and generating JSON Schema; "
        f"{theirs['found']:,} found invalid",
    )
    yield Row(
        data.documents,
        "validate.ours",
        "our `validate`, undamaged data",
        sound.ran.seconds,
        ratio=times_as_fast(their_seconds, sound.ran.seconds, data.documents, GOALS),
        memory=sound.ran.memory,
        notes="includes starting the processes and checking all references; nothing found invalid",
    )
    yield Row(
        data.documents,
        "validate.ours.damaged",
        "our `validate`, the same data",
        ours.ran.seconds,
        ratio=times_as_fast(their_seconds, ours.ran.seconds, data.documents, GOALS),
        memory=ours.ran.memory,
        notes=f"each process loads LinkML; {len(ours.invalid):,} found invalid: exactly the damaged ones",
    )


def bring_to_target(data: Data, migrating: SchemaEnvironment, database: Database[Any], folder: Path) -> None:
    """Migrate a copy to 11.24.0, and so to 11.25.0, whose migrators change nothing of the demo."""
    run_script(migrating, "one_migrator.py", data.uri, [database.name, MIGRATOR, "ours"], folder)


def validate_by_ours(
    data: Data, environment: SchemaEnvironment, compiled: Path, database: Database[Any], folder: Path
) -> Validated:
    """The worker's task on all collections, including every reference; they are read from where a release reads them."""
    violations_file = folder / "violations.jsonl"
    archive = folder / "archive"
    shutil.rmtree(archive, ignore_errors=True)
    unchanged = set(data.names) - CHANGED
    manifest = dump(database, unchanged, archive, release_id="bench", cluster_time=LONG_AGO)
    extras = {
        "database": database.name,
        "collections": {one.name: one.documents for one in data.manifest.collections},
        "archived": {one.name: describe_file(archive, one) for one in manifest.collections},
        "compiled": str(compiled),
        "violations_path": str(violations_file),
        "summary_path": str(folder / "validation.json"),
    }
    ran = run_task(environment, "validating.validate", data.uri, extras, folder)
    summary = read_summary(folder / "validation.json")
    violations = [json.loads(line) for line in violations_file.read_text().splitlines()]
    between = [one for one in violations if "target" in one]
    return Validated(
        ran,
        summary.documents,
        {(one["collection"], one["id"]) for one in violations if "target" not in one},
        {(one["collection"], one["id"], one["path"].split("/")[1], one["target"]) for one in between},
    )


def _validate_by_linkml(
    data: Data,
    environment: SchemaEnvironment,
    database: Database[Any],
    damaged: dict[Key, Any],
    every: int,
    folder: Path,
) -> dict[str, Any]:
    """What the script printed, with its seconds, its memory and the number that it `found` invalid."""
    found = folder / "invalid.jsonl"
    sampled = data.client["bench_sampled"]
    try:
        validated = database
        if every > 1:
            sample(database, data.names, every, sampled)
            validated = sampled
        ran = run_script(
            environment, "linkml_validator.py", data.uri, [validated.name, json.dumps(data.names), str(found)], folder
        )
        damaged_in_sample = {
            key for key, identifier in damaged.items() if validated[key[0]].find_one({"_id": identifier}, {"_id": 1})
        }
    finally:
        data.client.drop_database(sampled.name)
    invalid: set[Key] = {
        (collection, identifier) for collection, identifier in map(json.loads, found.read_text().splitlines())
    }
    _require_same("LinkML", damaged_in_sample, invalid)
    printed: dict[str, Any] = json.loads(ran.output.splitlines()[-1])
    return {**printed, "seconds": ran.seconds, "memory": ran.memory, "found": len(invalid)}


def _require_same(whose: str, damaged: set[Key], invalid: set[Key]) -> None:
    if damaged != invalid:
        missed, too_many = sorted(damaged - invalid), sorted(invalid - damaged)
        raise ResultsDiffer(
            f"{whose}: {len(missed)} damaged documents were not found invalid ({missed[:3]}), "
            f"and {len(too_many)} others were ({too_many[:3]})"
        )
