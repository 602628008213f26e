"""A worker run by a step: what a migrator says is in the run's event log, and what is ours is out of its reach."""

import json
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.mongo.server import PrivateMongod
from nmdc_release_ops.resources import SchemaWorker, Transformer
from nmdc_release_ops.schema.environment import SchemaEnvironment, SchemaEnvironments
from nmdc_release_ops.schema.version import SchemaVersion

TALKATIVE = """
import importlib.util, json, logging, os, sys, warnings
from nmdc_schema.migrators.migrator_base import MigratorBase

class Migrator(MigratorBase):
    _from_version = "11.25.0"
    _to_version = "11.26.0"

    def upgrade(self):
        print("printed\\nand printed again", end="")
        self.logger.info("logged by the migrator")
        logging.getLogger("another").error("logged by another")
        warnings.warn("warned")
        ours = [bool(importlib.util.find_spec(name)) for name in ("nmdc_release_ops", "dagster")]
        where = os.path.basename(sys.path[-1])
        shadowed = [name for name in ("version", "package", "path", "uv", "errors") if name in sys.modules]
        self.logger.warning("seen: " + json.dumps([dict(os.environ), sys.argv, ours, where, shadowed]))
        self.adapter.process_each_document("a_set", [self.stumble])

    def stumble(self, document):
        raise KeyError("no such thing")
"""
SECRETS = ("NMDC_ORIGIN_URI", "GITHUB_TOKEN", "RANCHER_TOKEN", "AWS_SECRET_ACCESS_KEY", "PYTHONPATH")


@pytest.fixture
def environment(schema_environments: SchemaEnvironments, tmp_path: Path) -> SchemaEnvironment:
    """A copy of an environment, with one more migrator in it."""
    whole = schema_environments.prepare(SchemaVersion.parse("11.25"))
    copied = SchemaEnvironment(whole.release, tmp_path / "environment", whole.packages)
    shutil.copytree(whole.path, copied.path, symlinks=True)
    migrators = next(copied.path.glob("lib/python*/site-packages/nmdc_schema/migrators"))
    (migrators / "migrator_from_11_25_0_to_11_26_0.py").write_text(TALKATIVE)
    return copied


def test_what_a_migrator_says_is_in_the_event_log_and_it_sees_nothing_of_ours(
    environment: SchemaEnvironment, scratch_mongod: PrivateMongod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "hunter2")
    returned: list[Any] = []

    @dg.op
    def migrate(context: dg.OpExecutionContext, worker: SchemaWorker) -> None:
        with MongoClient[dict[str, Any]](scratch_mongod.uri) as client:
            database = client["worker_in_a_step"]
            client.drop_database(database.name)
            database["a_set"].insert_one({"_id": 1, "id": "nmdc:a-1"})
            extras = {
                "database": database.name,
                "schema_version": "11.25.0",
                "migrators": ["migrator_from_11_25_0_to_11_26_0"],
            }
            transformer = Transformer(scratch_mongod.uri, database)
            folder = tmp_path / "folder"
            returned.extend(
                worker.run(context, environment, "migrate", transformer=transformer, extras=extras, folder=folder)
            )
            client.drop_database(database.name)

    @dg.job(resource_defs={"worker": SchemaWorker()})
    def only_migrate() -> None:
        migrate()

    with dg.DagsterInstance.ephemeral() as instance:
        result = only_migrate.execute_in_process(instance=instance)
        lines = [entry.user_message for entry in instance.all_logs(result.run_id)]

    for said in ("printed", "and printed again", "logged by the migrator", "logged by another"):
        assert said in lines
    assert any("UserWarning: warned" in line for line in lines)

    code, (failed,) = returned
    assert code != 0
    assert (failed["kind"], failed["module"]) == ("migrator_failed", "migrator_from_11_25_0_to_11_26_0")
    assert (failed["type"], failed["document"]) == ("KeyError", {"collection": "a_set", "id": "nmdc:a-1"})

    (seen,) = (line for line in lines if line.startswith("seen: "))
    variables, arguments, ours, where, shadowed = json.loads(seen.removeprefix("seen: "))
    assert "hunter2" not in seen
    assert variables["NMDC_TRANSFORMER_URI"] == scratch_mongod.uri
    assert "mongodb" not in str(arguments)
    assert ours == [False, False]
    assert (where, shadowed) == ("schema", [])
