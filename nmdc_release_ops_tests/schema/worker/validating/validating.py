"""Runs the worker that validates, as the step does, and reads its results."""

import gzip
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import MongoClient
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
    compiled: Path,
    folder: Path,
    database: str,
    collections: dict[str, int],
    before: dict[str, Any] | None = None,
    archived: dict[str, Any] | None = None,
    kept: dict[str, str] | None = None,
) -> dict[str, Any]:
    return {
        "database": database,
        "schema_version": compiled.name.partition("-")[0],
        "collections": collections,
        "compiled": str(compiled),
        "violations_path": str(folder / "violations.jsonl"),
        "summary_path": str(folder / "validation.json"),
        "before": before,
        "archived": archived,
        "kept": kept,
    }


def archive(database: Database[Any], folder: Path) -> dict[str, Any]:
    """The files of an archive of the database as it is, as a parameter of the worker: a block each."""
    manifest = dump(
        database,
        database.list_collection_names(),
        folder,
        release_id="test",
        cluster_time=ClusterTime(seconds=1, increment=1),
    )
    return {
        one.name: {
            "path": str(folder / one.file),
            "blocks": [describe_block(0, (folder / one.file).read_bytes(), one.documents, one.bytes)],
        }
        for one in manifest.collections
    }


def archive_before(database: Database[Any], folder: Path, rules: Path) -> dict[str, Any]:
    """An archive of the database as it was before the migration, as a parameter of the worker."""
    return {"files": archive(database, folder), "references": str(rules)}


def write_blocks(path: Path, blocks: Sequence[Sequence[bytes]]) -> dict[str, Any]:
    """A collection's file with these documents in each block, as a parameter of the worker."""
    described = []
    with path.open("wb") as file:
        for documents in blocks:
            content = gzip.compress(b"".join(documents), 1)
            described.append(describe_block(file.tell(), content, len(documents), sum(map(len, documents))))
            file.write(content)
    return {"path": str(path), "blocks": described}


def describe_block(offset: int, content: bytes, documents: int, size: int) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    return {"offset": offset, "size": len(content), "documents": documents, "bytes": size, "sha256": digest}


def validate(
    environment: SchemaEnvironment,
    compiled: Path,
    uri: str,
    folder: Path,
    database: str,
    collections: list[str],
    before: dict[str, Any] | None = None,
    archived: dict[str, Any] | None = None,
    kept: dict[str, str] | None = None,
) -> Validated:
    with MongoClient[Any](uri) as client:
        expected = {name: client[database][name].count_documents({}) for name in collections}
    for name, file in (archived or {}).items():
        expected[name] = sum(block["documents"] for block in file["blocks"])
    given = extras(compiled, folder, database, expected, before, archived, kept)
    ended = run(environment, "validating.validate", uri, given, folder)
    assert ended.code == 0, ended.lines
    assert ended.of_kind("summary")
    lines = (folder / "violations.jsonl").read_text().splitlines()
    assert not list(folder.glob("validating.*")), "temporary files are removed"
    return Validated(ended, [json.loads(line) for line in lines], read_summary(folder / "validation.json"))
