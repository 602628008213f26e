"""Schema environments are made once, mended when broken, and keep our secrets out."""

import json
import multiprocessing
import os
import subprocess
from pathlib import Path

import pytest

from nmdc_release_ops.schema.environment import (
    SchemaEnvironment,
    SchemaEnvironments,
    worker_command,
    worker_environment,
)
from nmdc_release_ops.schema.version import SchemaVersion

V = SchemaVersion.parse("11.25")


def prepare(home: Path) -> None:
    SchemaEnvironments(home).prepare(V)


def test_two_processes_that_want_the_same_environment_make_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=prepare, args=(tmp_path,)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(300)
    assert [process.exitcode for process in both] == [0, 0]
    folder = tmp_path / "environments"
    assert [path.name for path in folder.iterdir() if not path.name.endswith(".lock")] == ["11.25.0"]
    made = (folder / "11.25.0").stat().st_ino

    environment = SchemaEnvironments(tmp_path).prepare(V)
    assert environment.path.stat().st_ino == made, "an environment that works is reused"
    assert {"nmdc-schema", "pymongo", "linkml", "dagster-pipes"} <= environment.packages.keys()

    for broken in ("packages.json", "bin/python", "lib/python*/site-packages/nmdc_schema/nmdc_data.py"):
        # Removed, and never edited in place: a file may be linked to uv's cache.
        next(environment.path.glob(broken)).unlink()
        SchemaEnvironments(tmp_path).prepare(V)
        assert next(environment.path.glob(broken)).exists()
    assert json.loads((environment.path / "packages.json").read_text())["nmdc-schema"] == "11.25"


def test_an_environment_shares_no_file_with_others(environment: SchemaEnvironment) -> None:
    files = [path for path in environment.path.glob("lib/python*/site-packages/**/*.py") if path.is_file()]
    assert files
    assert not [path for path in files if path.stat().st_nlink > 1]


@pytest.fixture(scope="module")
def environment(schema_environments: SchemaEnvironments) -> SchemaEnvironment:
    return schema_environments.prepare(V)


def test_a_worker_sees_nothing_of_ours(environment: SchemaEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    for secret in ("NMDC_ORIGIN_URI", "GITHUB_TOKEN", "RANCHER_TOKEN", "PYTHONPATH", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(secret, "hunter2")
    command = worker_command(environment, "migrate")
    assert "mongodb://" not in " ".join(command)
    looks = (
        "import json, os, importlib.util as u, pathlib;"
        "print(json.dumps([dict(os.environ), bool(u.find_spec('nmdc_release_ops')), bool(u.find_spec('dagster')),"
        "str(pathlib.Path.home())]))"
    )
    seen, ours, dagster, home = json.loads(
        subprocess.check_output([command[0], "-P", "-c", looks], env=worker_environment("mongodb://scratch"))
    )
    assert "hunter2" not in str(seen)
    assert seen["NMDC_TRANSFORMER_URI"] == "mongodb://scratch"
    assert (ours, dagster) == (False, False)
    assert home != os.path.expanduser("~")  # noqa: PTH111 - our HOME, as the environment has it
