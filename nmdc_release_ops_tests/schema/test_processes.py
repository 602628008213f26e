"""Programs are ended when their time is over, with whatever they started, and nobody waits for what they leave behind."""

import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from nmdc_release_ops.schema.processes import TookTooLong, run_to_end
from nmdc_release_ops.schema.uv import PackageIndexUnreachable, python, run_uv

# How a hung build looks to uv: its own child hangs, and a child of that too.
BACKEND = """
import pathlib, subprocess, sys, time

def build_wheel(*arguments, **more):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(90)"])
    pathlib.Path({pids!r}).write_text(str(child.pid))
    time.sleep(90)
"""
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "nmdc-schema"
version = "1.0"
"""


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.faults
def test_a_build_that_hangs_is_ended_with_every_process_it_started_when_its_time_is_over(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text(PROJECT)
    (project / "backend.py").write_text(BACKEND.format(pids=str(pids)))
    install = ["pip", "install", "--no-deps", "--python", python(), "--target", str(tmp_path / "target"), str(project)]
    started = time.monotonic()
    with pytest.raises(PackageIndexUnreachable, match="was terminated with every process that it had started"):
        run_uv(install, what="a candidate", seconds=15)
    assert time.monotonic() - started < 60, "nobody waited for the child"
    deadline = time.monotonic() + 20
    while is_running(int(pids.read_text())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(int(pids.read_text()))


def test_a_program_that_ends_leaves_no_process_behind(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(90)']).pid); "
        "print(sys.stdin.read(), file=sys.stderr); sys.exit(3)"
    )
    started = time.monotonic()
    finished = run_to_end([sys.executable, "-c", code], env=dict(os.environ), stdin_text="grüße", seconds=60)
    assert time.monotonic() - started < 45
    assert (finished.code, finished.errors.strip()) == (3, "grüße")
    deadline = time.monotonic() + 20
    while is_running(int(finished.output)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(int(finished.output))


def test_a_program_that_ignores_being_asked_to_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmdc_release_ops.schema.processes.STOP_SECONDS", 1)
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(90)"
    started = time.monotonic()
    with pytest.raises(TookTooLong) as ended:
        run_to_end([sys.executable, "-c", code], env=dict(os.environ), seconds=2)
    assert ended.value.seconds == 2
    assert time.monotonic() - started < 45
