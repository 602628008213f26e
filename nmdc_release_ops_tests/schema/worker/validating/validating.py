"""Runs the worker that validates, as the step does, and reads its results."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo.database import Database

from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.transfer.dump import dump
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment
from nmdc_release_ops.schema.report import Summary, read_summary
from nmdc_release_ops_tests.schema.worker.running import Ended, run


@dataclass(frozen=True)
class Validated:
    """How a validation ended, every violation that it wrote, and the summary."""

    ended: Ended
    violations: list[dict[str, Any]]
    summary: Summary


def extras(
    compiled: Path, folder: Path, database: str, collections: list[str], before: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "database": database,
        "schema_version": compiled.name.partition("-")[0],
        "collections": collections,
        "compiled": str(compiled),
        "violations_path": str(folder / "violations.jsonl"),
        "summary_path": str(folder / "validation.json"),
        "before": before,
    }


def archived(database: Database[Any], folder: Path, rules: Path) -> dict[str, Any]:
    """An archive of the database as it is, as a parameter of the worker."""
    manifest = dump(
        database,
        database.list_collection_names(),
        folder,
        release_id="test",
        cluster_time=ClusterTime(seconds=1, increment=1),
    )
    return {
        "files": {one.name: {"path": str(folder / one.file), "sha256": one.sha256} for one in manifest.collections},
        "references": str(rules),
    }


def validate(
    environment: SchemaEnvironment,
    compiled: Path,
    uri: str,
    folder: Path,
    database: str,
    collections: list[str],
    before: dict[str, Any] | None = None,
) -> Validated:
    ended = run(
        environment, "validating.validate", uri, extras(compiled, folder, database, collections, before), folder
    )
    assert ended.code == 0, ended.lines
    assert ended.of_kind("summary")
    lines = (folder / "violations.jsonl").read_text().splitlines()
    assert not list(folder.glob("validating.*")), "temporary files are removed"
    return Validated(ended, [json.loads(line) for line in lines], read_summary(folder / "validation.json"))
