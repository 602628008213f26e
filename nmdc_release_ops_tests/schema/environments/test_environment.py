"""Schema environments are made once, mended when broken, and keep our secrets out."""

import fcntl
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

import nmdc_release_ops.schema
from nmdc_release_ops.schema.environments.environment import (
    SchemaEnvironment,
    SchemaEnvironments,
    worker_command,
    worker_environment,
)
from nmdc_release_ops.schema.errors import SchemaError
from nmdc_release_ops.schema.version import SchemaVersion

V = SchemaVersion.parse("11.25")


def prepare(home: Path) -> None:
    SchemaEnvironments(home).prepare(V)


def copy_below(home: Path, environment: SchemaEnvironment) -> SchemaEnvironment:
    shutil.copytree(environment.path, home / "environments" / "11.25.0", symlinks=True)
    return SchemaEnvironment(V, home / "environments" / "11.25.0", environment.packages)


@pytest.fixture
def copied(environment: SchemaEnvironment, tmp_path: Path) -> SchemaEnvironment:
    """An environment below `tmp_path` that a test may break."""
    return copy_below(tmp_path, environment)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def whole(environment: SchemaEnvironment, home: Path) -> SchemaEnvironment:
    """An environment below `home` that every test leaves as it found it: copying one takes seconds."""
    return copy_below(home, environment)


def test_an_environment_that_works_is_reused(whole: SchemaEnvironment, home: Path) -> None:
    before = {name: (whole.path / name).lstat() for name in (".", "bin/python", "packages.json")}
    again = SchemaEnvironments(home).prepare(V)
    assert again == whole
    for name, stat in before.items():
        now = (whole.path / name).lstat()
        assert (now.st_ino, now.st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns), name


@pytest.mark.faults
def test_two_processes_that_find_an_environment_broken_make_one_that_works(
    copied: SchemaEnvironment, tmp_path: Path
) -> None:
    folder = tmp_path / "environments"
    shutil.rmtree(next(copied.path.glob("lib/python*/site-packages/nmdc_schema")))
    (folder / ".11.25.0.1").mkdir()
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=prepare, args=(tmp_path,)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(300)
    assert [process.exitcode for process in both] == [0, 0]
    assert [path.name for path in folder.iterdir() if not path.name.endswith(".lock")] == ["11.25.0"]
    listed = SchemaEnvironments(tmp_path).prepare(V).packages
    assert listed["nmdc-schema"] == "11.25"
    found = "import json, importlib.metadata as m; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    there = json.loads(subprocess.check_output([copied.python, "-P", "-c", found]))
    assert {name.lower().replace("_", "-"): version for name, version in there.items()} == {
        name.lower().replace("_", "-"): version for name, version in listed.items()
    }


def test_an_environment_that_cannot_run_is_not_taken_for_one_that_can(
    whole: SchemaEnvironment, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    for broken in ("packages.json", "bin/python"):
        kept = whole.path / broken
        kept.rename(tmp_path / "aside")
        with pytest.raises(SchemaError):
            SchemaEnvironments(home).prepare(V)
        assert not kept.exists(), "what stood there stays until there is something better"
        (tmp_path / "aside").rename(kept)
    assert SchemaEnvironments(home).prepare(V) == whole


def test_an_environment_shares_no_file_with_others(environment: SchemaEnvironment) -> None:
    files = [path for path in environment.path.glob("lib/python*/site-packages/**/*.py") if path.is_file()]
    assert files
    assert not [path for path in files if path.stat().st_nlink > 1]


@pytest.fixture(scope="module")
def environment(schema_environments: SchemaEnvironments) -> SchemaEnvironment:
    return schema_environments.prepare(V)


@pytest.mark.parametrize("release", ["11.25", pytest.param("11.0.0", marks=pytest.mark.faults)])
def test_whatever_a_worker_imports_was_compiled_when_the_environment_was_made(
    release: str, schema_environments: SchemaEnvironments
) -> None:
    """Or each worker, which may not write bytecode, would compile it again."""
    environment = schema_environments.prepare(SchemaVersion.parse(release))
    folder = Path(nmdc_release_ops.schema.__file__).parent
    imports = (
        f"import sys; sys.path.append({str(folder)!r});"
        "import worker.compiling.compile_schema, worker.migrating.migrate, worker.validating.validate;"
        "import worker.validating.validate_unit, worker.validating.linkml_judge;"
        "import nmdc_schema.migrators.adapters.mongo_adapter, nmdc_schema.migrators.migrator_base"
    )
    done = subprocess.run(
        [environment.python, "-v", "-P", "-c", imports],
        env=worker_environment(""),
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = re.findall(
        rf"code object from '?{re.escape(str(environment.path))}/.*/site-packages/(.*\.pyc?)", done.stderr
    )
    assert len(loaded) > 300
    assert [file for file in loaded if file.endswith(".py")] == []


def test_a_worker_sees_nothing_of_ours(environment: SchemaEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    for secret in ("NMDC_ORIGIN_URI", "GITHUB_TOKEN", "RANCHER_TOKEN", "PYTHONPATH", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(secret, "hunter2")
    command = worker_command(environment, "migrating.migrate")
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
    assert seen["PYTHONDONTWRITEBYTECODE"], "nothing is written to an environment after it was verified"
    assert home != os.path.expanduser("~")  # noqa: PTH111 - our HOME, as the environment has it


@pytest.mark.faults
def test_a_file_that_changed_is_noticed_and_mended(copied: SchemaEnvironment, tmp_path: Path) -> None:
    changed = next(copied.path.glob("lib/python*/site-packages/nmdc_schema/nmdc_data.py"))
    whole = changed.read_text()
    changed.write_text("raise RuntimeError('broken')\n")
    SchemaEnvironments(tmp_path).prepare(V)
    assert changed.read_text() == whole


def test_environments_are_prepared_side_by_side_by_name(whole: SchemaEnvironment, home: Path) -> None:
    prepared = SchemaEnvironments(home).prepare_all([V, V])
    assert prepared == {"11.25.0": whole}


def test_environments_that_nobody_asked_for_in_a_long_time_are_removed_and_no_others(tmp_path: Path) -> None:
    environments = SchemaEnvironments(tmp_path)
    folder = tmp_path / "environments"
    long_ago = time.time() - 100 * 24 * 60 * 60
    for name in ("10.0.0", "11.0.0", "11.1.0"):
        (folder / name).mkdir(parents=True)
        (folder / f".{name}.lock").touch()
    for name in ("10.0.0", "11.1.0"):
        os.utime(folder / f".{name}.lock", (long_ago, long_ago))
    with (folder / ".11.1.0.lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert environments.prune(90) == ["10.0.0"], "one that somebody is about to use stays"
    assert [name for name, _ in environments.listed()] == ["11.0.0", "11.1.0"]
