"""Every migrator from before Berkeley to the newest schema does the same with our adapter as with the release's own."""

import subprocess
from pathlib import Path
from typing import Any

import bson
import pytest
from pymongo import MongoClient
from pymongo.database import Database

import nmdc_release_ops.schema
from nmdc_release_ops.demo import before_berkeley
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.collections import list_collections
from nmdc_release_ops.mongo.server.comparison import comparable_indexes
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment, SchemaEnvironments, worker_environment
from nmdc_release_ops.schema.packages.package import SchemaPackages
from nmdc_release_ops.schema.path import migration_path
from nmdc_release_ops.schema.shipping import Target, place_hops
from nmdc_release_ops.schema.version import SchemaVersion

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3_000)]

FOLDER = Path(nmdc_release_ops.schema.__file__).parent
SCRIPT = Path(__file__).with_name("one_migrator.py")
V = SchemaVersion.parse
# Looked at, and found to only check documents, or only such as a database that came this way does not have.
ONLY_CHECK = {
    "migrator_from_11_10_0_to_11_11_0",
    "migrator_from_11_11_0_to_11_13_0",
    "migrator_from_11_13_0_to_11_14_0",
    "migrator_from_11_17_1_to_11_18_0",
    "migrator_from_11_24_1_to_11_25_0",
}


def run(environment: SchemaEnvironment, uri: str, theirs: str, ours: str, module: str) -> None:
    start = f"import sys, runpy; sys.path.append({str(FOLDER)!r}); runpy.run_path({str(SCRIPT)!r})"
    done = subprocess.run(
        [environment.python, "-P", "-c", start, theirs, ours, module],
        env=worker_environment(uri),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (module, done.stderr[-2_000:])


def content(database: Database[Any]) -> dict[str, Any]:
    """Every document as bytes, in order of its keys, and every index."""
    found: dict[str, Any] = {}
    for name, collection in list_collections(database).items():
        documents = [(str(one.get("id", one["_id"])), one) for one in database[name].find()]
        # The migrator inserts these without `_id`, so that the driver makes one up.
        shown = [
            (key, {k: v for k, v in one.items() if (k, name) != ("_id", "instrument_set")}) for key, one in documents
        ]
        found[name] = (
            sorted((key, bson.encode(one)) for key, one in shown),
            comparable_indexes(collection.indexes),
        )
    return found


def test_every_migrator_leaves_the_same_documents_behind(
    schema_cache: Path, schema_environments: SchemaEnvironments, scratch_mongod: PrivateMongod
) -> None:
    packages = SchemaPackages(schema_cache)
    package = packages.fetch(V("11.25"))
    path = migration_path(package, V("10.2.0"), V("11.25"))
    placed = place_hops(packages, path, Target(package.version, package))
    changed = set()
    with MongoClient[Any](scratch_mongod.uri) as client:
        databases = {whose: client[f"every_migrator_{whose}"] for whose in ("theirs", "ours")}
        for database in databases.values():
            client.drop_database(database.name)
            before_berkeley.fill(database, curated=True)
        before = content(databases["ours"])
        assert before == content(databases["theirs"])
        for hop, shipped in zip(path.hops, placed, strict=True):
            if shipped is None:
                continue
            module = hop.migrator.module
            environment = schema_environments.prepare(shipped.release)
            run(environment, scratch_mongod.uri, databases["theirs"].name, databases["ours"].name, module)
            ours, theirs = (content(databases[whose]) for whose in ("ours", "theirs"))
            assert ours.keys() == theirs.keys(), module
            for name in ours:
                assert ours[name] == theirs[name], (module, name)
            if ours != before:
                changed.add(module)
            before = ours
        for database in databases.values():
            client.drop_database(database.name)
    real = {hop.migrator.module for hop, shipped in zip(path.hops, placed, strict=True) if shipped}
    assert changed == real - ONLY_CHECK, "each of the others found something to change"
