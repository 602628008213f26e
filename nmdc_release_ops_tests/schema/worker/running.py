"""Runs a worker as the steps do, with Dagster Pipes' own files, and reads its messages."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dagster_pipes import DAGSTER_PIPES_CONTEXT_ENV_VAR, DAGSTER_PIPES_MESSAGES_ENV_VAR, encode_param
from pymongo import MongoClient
from pymongo.database import Database

from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.schema.environments.environment import (
    SchemaEnvironment,
    SchemaEnvironments,
    worker_command,
    worker_environment,
)
from nmdc_release_ops.schema.version import SchemaVersion


@dataclass(frozen=True)
class Ended:
    """How a worker ended, and its messages and log lines."""

    code: int
    messages: list[dict[str, Any]]
    lines: list[str]

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["kind"] == kind]


def write_pipes_files(folder: Path, extras: dict[str, Any]) -> dict[str, str]:
    """Write what Dagster Pipes hands to a worker; return the variables that say where it is."""
    context = {
        **dict.fromkeys(("asset_keys", "code_version_by_asset_key", "provenance_by_asset_key", "partition_key"), None),
        **dict.fromkeys(("partition_key_range", "partition_time_window", "job_name"), None),
        "run_id": "test",
        "retry_number": 0,
        "extras": extras,
    }
    (folder / "context").write_text(json.dumps(context))
    (folder / "messages").touch()
    return {
        DAGSTER_PIPES_CONTEXT_ENV_VAR: encode_param({"path": str(folder / "context")}),
        DAGSTER_PIPES_MESSAGES_ENV_VAR: encode_param({"path": str(folder / "messages")}),
    }


def start(
    environment: SchemaEnvironment, task: str, uri: str, extras: dict[str, Any], folder: Path
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        worker_command(environment, task),
        cwd=folder,
        env={**worker_environment(uri), **write_pipes_files(folder, extras)},
        stdin=subprocess.DEVNULL,
    )


def run(environment: SchemaEnvironment, task: str, uri: str, extras: dict[str, Any], folder: Path) -> Ended:
    code = start(environment, task, uri, extras, folder).wait(timeout=600)
    messages = [json.loads(line) for line in (folder / "messages").read_text().splitlines()]
    return Ended(
        code,
        [message["params"]["payload"] for message in messages if message["method"] == "report_custom_message"],
        [message["params"]["message"] for message in messages if message["method"] == "log"],
    )


@contextmanager
def emptied(mongod: PrivateMongod, name: str) -> Iterator[Database[Any]]:
    """An empty database of this name, dropped in the end."""
    with MongoClient[Any](mongod.uri) as client:
        client.drop_database(name)
        yield client[name]
        client.drop_database(name)


def database_fixture(name: str) -> Any:
    """The fixture `database` of a test module: an empty database of this name, dropped in the end."""

    @pytest.fixture
    def database(scratch_mongod: PrivateMongod) -> Iterator[Database[Any]]:
        with emptied(scratch_mongod, name) as found:
            yield found

    return database


def warm_environment_fixture() -> Any:
    """The fixture `environment` of a test module: that of 11.25, whose workers are forks of a process that has imported what
    they need. Not for tests of how workers start and end."""

    @pytest.fixture(scope="module")
    def environment(warm_schema: Path) -> SchemaEnvironment:
        return SchemaEnvironments(warm_schema).prepare(SchemaVersion.parse("11.25"))

    return environment
