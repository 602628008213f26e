"""A worker run by a step: a migrator's messages are in the run's event log, and it cannot reach anything of ours."""

import json
import re
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
from pymongo import MongoClient

from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.resources.schema import SchemaWorkerResource
from nmdc_release_ops.resources.transformer import TransformerConnection
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment, SchemaEnvironments
from nmdc_release_ops.schema.processes import TookTooLong
from nmdc_release_ops.schema.version import SchemaVersion

MODULE = "migrator_from_11_25_0_to_11_26_0"
TALKATIVE = """
import importlib.util, json, logging, os, sys, warnings
from nmdc_schema.migrators.migration_reporter import MigrationReporter
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
        # What the process was started with, whatever Python made of it.
        handed = open("/proc/self/environ").read() if os.path.exists("/proc/self/environ") else ""
        self.logger.warning("seen: " + json.dumps([dict(os.environ), sys.argv, ours, where, shadowed, handed]))
        reporter = MigrationReporter(self.logger)
        reporter.track_record_updated("nmdc:Biosample", "depth", "nmdc:Biosample", "meter", "m")
        reporter.generate_final_report()
        self.adapter.process_each_document("a_set", [self.stumble])

    def stumble(self, document):
        raise KeyError("no such thing")
"""
ENDLESS = """
import pathlib, subprocess, time
from nmdc_schema.migrators.migrator_base import MigratorBase

class Migrator(MigratorBase):
    _from_version = "11.25.0"
    _to_version = "11.26.0"

    def upgrade(self):
        child = subprocess.Popen(["sleep", "1000"])
        pathlib.Path("child").write_text(str(child.pid))
        time.sleep(1000)
"""
SILENT = """
import time
from nmdc_schema.migrators.migrator_base import MigratorBase

class Migrator(MigratorBase):
    _from_version = "11.25.0"
    _to_version = "11.26.0"

    def upgrade(self):
        self.logger.info("the last thing said")
        time.sleep(16)
        self.logger.info("speaking again")
"""
SECRETS = ("NMDC_ORIGIN_URI", "GITHUB_TOKEN", "RANCHER_TOKEN", "AWS_SECRET_ACCESS_KEY", "PYTHONPATH")


@pytest.fixture
def environment(
    schema_environments: SchemaEnvironments, tmp_path: Path, request: pytest.FixtureRequest
) -> SchemaEnvironment:
    """A copy of an environment, with one more migrator in it."""
    whole = schema_environments.prepare(SchemaVersion.parse("11.25"))
    copied = SchemaEnvironment(whole.release, tmp_path / "environment", whole.packages)
    shutil.copytree(whole.path, copied.path, symlinks=True)
    migrators = next(copied.path.glob("lib/python*/site-packages/nmdc_schema/migrators"))
    (migrators / f"{MODULE}.py").write_text(getattr(request, "param", TALKATIVE))
    return copied


def run_in_a_step(
    environment: SchemaEnvironment, server: PrivateMongod, folder: Path, **limits: float
) -> tuple[list[str], Any]:
    """What is in the event log, and what running the worker returned or raised."""
    outcome: list[Any] = []

    @dg.op
    def migrate(context: dg.OpExecutionContext, worker: SchemaWorkerResource) -> None:
        with MongoClient[dict[str, Any]](server.uri) as client:
            database = client["worker_in_a_step"]
            client.drop_database(database.name)
            database["a_set"].insert_one({"_id": 1, "id": "nmdc:a-1"})
            extras = {"database": database.name, "migrators": [MODULE]}
            transformer = TransformerConnection(server.uri, database)
            try:
                ended = worker.run(
                    context,
                    environment,
                    "migrating.migrate",
                    transformer=transformer,
                    extras=extras,
                    folder=folder,
                    **{"seconds": 600.0, **limits},
                )
            except TookTooLong as error:
                outcome.append(error)
            else:
                outcome.append(ended)
            client.drop_database(database.name)

    @dg.job(resource_defs={"worker": SchemaWorkerResource()})
    def only_migrate() -> None:
        migrate()

    with dg.DagsterInstance.ephemeral() as instance:
        result = only_migrate.execute_in_process(instance=instance)
        return [entry.user_message for entry in instance.all_logs(result.run_id)], outcome[0]


def test_a_migrators_messages_are_in_the_event_log_and_it_sees_nothing_of_ours(
    environment: SchemaEnvironment, scratch_mongod: PrivateMongod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "hunter2")
    lines, (code, (failed,)) = run_in_a_step(environment, scratch_mongod, tmp_path / "folder")

    for message in ("printed", "and printed again", "logged by the migrator", "logged by another"):
        assert message in lines
    assert any("UserWarning: warned" in line for line in lines)
    assert any("nmdc:Biosample" in line and "meter" in line for line in lines), "the reporter's table"

    assert code != 0
    assert (failed["kind"], failed["module"]) == ("migrator_failed", MODULE)
    assert (failed["type"], failed["document"]) == ("KeyError", {"collection": "a_set", "id": "nmdc:a-1"})

    (seen,) = (line for line in lines if line.startswith("seen: "))
    variables, arguments, ours, where, shadowed, handed = json.loads(seen.removeprefix("seen: "))
    assert "hunter2" not in seen
    # It has the adapter. What it did with a connection of its own would not be noticed.
    assert "NMDC_TRANSFORMER_URI" not in variables
    assert not Path("/proc/self/environ").exists() or handed
    assert "mongodb" not in handed
    assert "mongodb" not in str(arguments)
    assert ours == [False, False]
    assert (where, shadowed) == ("schema", [])


@pytest.mark.faults
@pytest.mark.parametrize("environment", [ENDLESS], indirect=True, ids=["endless"])
def test_a_migrator_that_takes_too_long_is_ended_with_every_process_it_started(
    environment: SchemaEnvironment, scratch_mongod: PrivateMongod, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    _lines, outcome = run_in_a_step(environment, scratch_mongod, folder, seconds=30)
    assert isinstance(outcome, TookTooLong)
    child = int((folder / "child").read_text())
    survived = psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE
    if survived:
        psutil.Process(child).kill()
    assert not survived


@pytest.mark.faults
@pytest.mark.parametrize("environment", [SILENT], indirect=True, ids=["silent"])
def test_a_worker_that_is_silent_for_long_is_reported_repeatedly_with_its_last_message_and_not_noisily(
    environment: SchemaEnvironment, scratch_mongod: PrivateMongod, tmp_path: Path
) -> None:
    lines, (code, _) = run_in_a_step(environment, scratch_mongod, tmp_path / "folder", silence_seconds=3)
    assert code == 0
    heard = lines[lines.index("the last thing said") : lines.index("speaking again")]
    reports = [
        re.fullmatch(r"The worker has sent no message for (\d+) seconds; its last message was: (.*)", one)
        for one in heard
    ]
    silences = [(int(one[1]), one[2]) for one in reports if one]
    assert [last for _, last in silences] == ["the last thing said"] * len(silences)
    # At 3, 6 and 12 seconds; a machine that is busy looks later.
    assert 1 <= len(silences) <= 3
    assert all(later >= 2 * earlier - 2 for (earlier, _), (later, _) in pairwise(silences))
