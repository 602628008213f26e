"""Ctrl-C ends the demo at any moment without a stack trace, thaws its origin, and leaves no process behind."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from nmdc_release_ops_tests.workplace import PROJECT

pytestmark = pytest.mark.faults

SECONDS = 120


def interrupt(folder: Path, schema_cache: Path, moment: str, *arguments: str, later: float = 0) -> str:
    """Run the demo, press Ctrl-C when it prints something, and return all that it prints.

    Args:
        moment: a part of the line to wait for.
        later: seconds between that line and Ctrl-C.
    """
    home, dagster_home = folder / "home", folder / "dagster"
    for made in (home, dagster_home):
        made.mkdir()
    (home / "schema").symlink_to(schema_cache)
    process = subprocess.Popen(
        [sys.executable, "-m", "nmdc_release_ops.demo", *arguments, "--scale", "300"],
        env={**os.environ, "NMDC_ORIGIN_URI": "", "NMDC_RELEASE_HOME": str(home), "DAGSTER_HOME": str(dagster_home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=PROJECT,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    printed = ""
    pressed = False
    for line in process.stdout:
        printed += line
        if moment in line and not pressed:
            pressed = True
            # A terminal sends it to the whole group in its foreground.
            threading.Timer(later, os.killpg, (process.pid, signal.SIGINT)).start()
    process.wait(SECONDS)
    assert pressed, printed
    assert "Traceback" not in printed and "Stack Trace" not in printed, printed
    commands = [" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])]
    assert [command for command in commands if f"{folder}/" in command] == []
    return printed


def test_while_its_origin_is_made(tmp_path: Path, schema_cache: Path) -> None:
    assert interrupt(tmp_path, schema_cache, "Creating a demo origin", "release").endswith("Interrupted.\n")


def test_while_its_origin_is_frozen_and_the_run_thaws_it(tmp_path: Path, schema_cache: Path) -> None:
    # In a step: between two, nothing of the run's own is there to thaw.
    printed = interrupt(tmp_path, schema_cache, "migrator_from_11_23_0_to_11_24_0: from", "release")
    assert "The origin is thawed: writes are allowed again" in printed
    assert printed.endswith("Interrupted.\n")


@pytest.mark.parametrize("later", [0.2, 3])
def test_while_the_ui_starts(tmp_path: Path, schema_cache: Path, later: float) -> None:
    printed = interrupt(tmp_path, schema_cache, "The UI is at", "ui", "--port", "0", later=later)
    assert "waiting for it to end" not in printed
