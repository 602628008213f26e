"""`refscan`: referential integrity, refscan's command against our whole `validate`, on data with references that lead nowhere."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pymongo.database import Database

from bench.damage import Key, Reference, damage_references
from bench.data import Data, ResultsDiffer
from bench.environments import REFSCAN, refscan_of, schema_file
from bench.processes import Ran, run
from bench.table import Row, times_as_fast
from bench.validate import bring_to_target, judge_by_ours
from nmdc_release_ops.schema.environment import SchemaEnvironment, worker_environment

AGGREGATES = "functional_annotation_agg"


def measure(
    data: Data, migrating: SchemaEnvironment, environment: SchemaEnvironment, home: Path, skip_aggregates: bool
) -> Iterator[Row]:
    """Rows of both.

    Raises:
        ResultsDiffer: refscan found other references than those that were damaged.
    """
    command = refscan_of(environment, home)
    with data.copy("bench_referring") as database, data.scratch("refscan") as folder:
        bring_to_target(data, migrating, database, folder)
        damaged = damage_references(database)
        skipped = database[AGGREGATES].count_documents({}) if skip_aggregates else 0
        scanned, found = _scan(command, data, environment, database, skip_aggregates, folder)
        _require_same(skip_aggregates, set(damaged), found)
        ours, invalid, _ = judge_by_ours(data, environment, database, folder)
    yield Row(
        data.documents,
        "refscan",
        f"`refscan` {REFSCAN}",
        scanned.seconds,
        judged=data.documents - skipped,
        memory=scanned.memory,
        notes=f"{len(found)} violations: those that were damaged{'; without the aggregates' if skip_aggregates else ''}",
    )
    yield Row(
        data.documents,
        "refscan",
        "our whole `validate`",
        ours.seconds,
        ratio=times_as_fast(scanned.seconds, ours.seconds),
        memory=ours.memory,
        notes=f"schema validation included; {compare_with_ours(damaged, invalid)}",
    )


def compare_with_ours(damaged: dict[Reference, Key], invalid: set[Key]) -> str:
    """What our `validate` says of the documents whose references lead nowhere, for people."""
    return (
        f"it found {len(invalid & set(damaged.values()))} of the {len(damaged)}, for it does not check references yet"
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
                row["source_document_id"],
                row["source_field_name"],
                row["target_id"],
            )
            for row in csv.DictReader(file, delimiter="\t")
        }


def _require_same(skip_aggregates: bool, damaged: set[Reference], found: set[Reference]) -> None:
    expected = {reference for reference in damaged if not (skip_aggregates and reference[0] == AGGREGATES)}
    if found != expected:
        raise ResultsDiffer(
            f"refscan missed {len(expected - found)} damaged references ({sorted(expected - found)[:3]}), "
            f"and found {len(found - expected)} others ({sorted(found - expected)[:3]})"
        )
