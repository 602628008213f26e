"""`refscan`: referential integrity, refscan's command compared with our whole `validate`, on data with dangling references."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pymongo.database import Database

from bench.damage import Reference, damage_references
from bench.data import AGGREGATES, Data, ResultsDiffer
from bench.environments import REFSCAN, refscan_of, schema_file
from bench.parts.validate import bring_to_target, validate_by_ours
from bench.processes import Ran, run
from bench.report.table import Row, times_as_fast
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment, worker_environment

GOALS = {1_000_000: 20.0}


def measure(
    data: Data,
    migrating: SchemaEnvironment,
    environment: SchemaEnvironment,
    compiled: Path,
    home: Path,
    skip_aggregates: bool,
) -> Iterator[Row]:
    """Rows of both.

    Raises:
        ResultsDiffer: refscan or our worker did not find exactly the damaged references.
    """
    command = refscan_of(environment, home)
    with data.copy("bench_referring") as database, data.scratch("refscan") as folder:
        bring_to_target(data, migrating, database, folder)
        damaged = damage_references(database)
        skipped = database[AGGREGATES].count_documents({}) if skip_aggregates else 0
        scanned, found = _scan(command, data, environment, database, skip_aggregates, folder)
        _require_same("refscan", {one for one in damaged if not (skip_aggregates and one[0] == AGGREGATES)}, found)
        ours = validate_by_ours(data, environment, compiled, database, folder)
        _require_same("our worker", damaged, ours.broken)
    yield Row(
        data.documents,
        "refscan.theirs",
        f"`refscan` {REFSCAN}",
        scanned.seconds,
        processed=data.documents - skipped,
        memory=scanned.memory,
        notes=f"{len(found)} violations: exactly the damaged references{'; without the aggregates' if skip_aggregates else ''}",
    )
    yield Row(
        data.documents,
        "refscan.ours",
        "our whole `validate`",
        ours.ran.seconds,
        ratio=times_as_fast(scanned.seconds, ours.ran.seconds, data.documents, GOALS),
        memory=ours.ran.memory,
        notes=f"includes schema validation; {len(ours.broken)} violations: exactly the damaged references",
    )


def _scan(
    command: Path,
    data: Data,
    environment: SchemaEnvironment,
    database: Database[Any],
    skip_aggregates: bool,
    folder: Path,
) -> tuple[Ran, set[Reference]]:
    report = folder / "refscan.tsv"
    ran = run(
        [
            *(command, "scan", "--schema", schema_file(environment), "--database-name", database.name),
            *("--violation-report", report, "--reference-report", folder / "references.tsv"),
            *(("--skip-source-collection", AGGREGATES) if skip_aggregates else ()),
        ],
        folder=folder,
        environment={**worker_environment(""), "MONGO_URI": data.uri},
    )
    with report.open(newline="") as file:
        return ran, {
            (
                row["source_collection_name"],
                row["source_document_id"] or row["source_document_object_id"],
                row["source_field_name"],
                row["target_id"],
            )
            for row in csv.DictReader(file, delimiter="\t")
        }


def _require_same(whose: str, damaged: set[Reference], found: set[Reference]) -> None:
    if found != damaged:
        raise ResultsDiffer(
            f"{whose} missed {len(damaged - found)} damaged references ({sorted(damaged - found)[:3]}), "
            f"and found {len(found - damaged)} others ({sorted(found - damaged)[:3]})"
        )
