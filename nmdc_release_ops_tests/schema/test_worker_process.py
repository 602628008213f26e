"""A worker that waits for its task knows nothing of the task, and ends with the process that started it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from nmdc_release_ops.schema.environments.environment import SchemaEnvironment
from nmdc_release_ops.schema.worker_process import WorkerProcess
from nmdc_release_ops_tests.schema.worker.running import write_pipes_files

MIGRATE, VALIDATE = "migrating.migrate", "validating.validate"
SECONDS = 120
# Starts a worker, prints its process id when it is ready, and waits to be killed.
STARTS_ONE = """
import sys, time
from pathlib import Path
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops.schema.worker_process import WorkerProcess
path, compiled, folder = sys.argv[1:]
environment = SchemaEnvironment(SchemaVersion.parse("11.25"), Path(path), {})
worker = WorkerProcess(environment, "validating.validate", Path(folder), compiled)
worker.wait_until_ready(120)
print(worker.process.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def waiting(environment: SchemaEnvironment, compiled: Path, tmp_path: Path) -> Iterator[WorkerProcess]:
    """A worker that is ready to validate."""
    with WorkerProcess(environment, VALIDATE, tmp_path / "folder", str(compiled)) as worker:
        worker.wait_until_ready(SECONDS)
        yield worker


def family(pid: int) -> list[psutil.Process]:
    worker = psutil.Process(pid)
    return [worker, *worker.children(recursive=True)]


def assert_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=15)
    for process in alive:
        process.kill()
    assert not alive


def test_a_waiting_worker_has_its_pool_and_no_address_and_ends_with_every_process_when_it_is_closed(
    waiting: WorkerProcess,
) -> None:
    processes = family(waiting.process.pid)
    assert len([one for one in processes if "spawn_main" in " ".join(one.cmdline())]) >= 1
    for process in processes:
        variables = process.environ()
        assert not variables.get("NMDC_TRANSFORMER_URI")
        assert not [name for name in variables if name.startswith("DAGSTER")]
        assert "mongodb" not in f"{variables} {process.cmdline()}"
        assert not process.net_connections(kind="tcp")
    waiting.close()
    assert_gone(processes)


def test_a_waiting_worker_and_its_pool_end_when_the_process_that_started_it_is_killed(
    environment: SchemaEnvironment, compiled: Path, tmp_path: Path
) -> None:
    arguments = [str(environment.path), str(compiled), str(tmp_path / "folder")]
    starter = subprocess.Popen([sys.executable, "-c", STARTS_ONE, *arguments], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    with starter.stdout as printed:
        processes = family(int(printed.readline()))
    assert len(processes) > 1
    os.kill(starter.pid, signal.SIGKILL)
    starter.wait()
    assert_gone(processes)


def test_it_is_for_the_task_that_it_was_started_for_until_it_ends(
    waiting: WorkerProcess, environment: SchemaEnvironment, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    another = SchemaEnvironment(environment.release, tmp_path / "environment", environment.packages)
    another.path.mkdir()
    assert waiting.is_for(environment, VALIDATE, folder)
    assert not waiting.is_for(environment, MIGRATE, folder)
    assert not waiting.is_for(environment, VALIDATE, tmp_path)
    assert not waiting.is_for(another, VALIDATE, folder)
    waiting.process.kill()
    waiting.process.wait()
    assert not waiting.is_for(environment, VALIDATE, folder)


def test_it_is_not_for_an_environment_that_was_made_again_since(environment: SchemaEnvironment, tmp_path: Path) -> None:
    copied = SchemaEnvironment(environment.release, tmp_path / "environment", environment.packages)
    (copied.path / "bin").mkdir(parents=True)
    copied.python.symlink_to(environment.python)
    packages = copied.path / "packages.json"
    packages.write_text(json.dumps(environment.packages))
    with WorkerProcess(copied, MIGRATE, tmp_path / "folder") as worker:
        assert worker.is_for(copied, MIGRATE, tmp_path / "folder") or worker.process.poll() is not None
        packages.unlink()
        assert not worker.is_for(copied, MIGRATE, tmp_path / "folder")
        time.sleep(0.01)
        packages.write_text(json.dumps(environment.packages))
        assert not worker.is_for(copied, MIGRATE, tmp_path / "folder")


def test_it_begins_with_the_variables_of_its_task(environment: SchemaEnvironment, tmp_path: Path) -> None:
    extras = {"database": "x", "schema_version": environment.schema_version, "migrators": ["no_such_migrator"]}
    variables = write_pipes_files(tmp_path, extras)
    with WorkerProcess(environment, MIGRATE, tmp_path) as worker:
        worker.wait_until_ready(SECONDS)
        worker.begin({"NMDC_TRANSFORMER_URI": "mongodb://127.0.0.1:9", **variables})
        assert worker.process.wait(SECONDS) == 1
    assert "no_such_migrator" in (tmp_path / "messages").read_text()
