"""The command starts fast, helps without docs, and completes names in the shell."""

import subprocess
import sys

import pytest

from nmdc_release_ops_tests.command.running import CONTROL, run, run_installed

SEEN = """
import sys
from typer.testing import CliRunner
from nmdc_release_ops.command.main import app
CliRunner().invoke(app, {arguments!r})
print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
"""


def imported_by(*arguments: str) -> set[str]:
    """The packages that are imported when the command ends."""
    program = SEEN.format(arguments=list(arguments))
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    return set(found.stdout.split())


def test_help_imports_nothing_that_takes_time() -> None:
    assert imported_by("--help").isdisjoint({"dagster", "pymongo", "pydantic_settings", "requests"})


@pytest.mark.parametrize("arguments", [("status",), ("archives", "list")], ids=["status", "archives"])
def test_what_is_needed_at_night_does_not_import_dagster(arguments: tuple[str, ...]) -> None:
    seen = imported_by(*arguments)
    assert "pymongo" in seen and seen.isdisjoint({"dagster", "requests"})


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("status",),
        ("check",),
        ("archives",),
        ("archives", "list"),
        ("archives", "verify"),
        ("archives", "commands"),
    ],
    ids=lambda arguments: " ".join(arguments) or "nmdc-release",
)
def test_help_describes_every_option_in_plain_text(arguments: tuple[str, ...]) -> None:
    found = run(*arguments, "--help", columns=60)
    assert found.exit_code == 0
    assert found.output.lstrip().startswith("Usage: nmdc-release") and "--help" in found.output
    assert not CONTROL.search(found.output)


@pytest.mark.parametrize("arguments", [("release",), ("status", "--verbose"), ("archives", "verify")])
def test_bad_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    found = run_installed(*arguments, environment={})
    assert found.returncode == 2
    assert "Traceback" not in found.stderr and found.stdout == ""


def test_shells_can_complete_it() -> None:
    found = run_installed(environment={"_NMDC_RELEASE_COMPLETE": "source_bash"})
    assert found.returncode == 0 and "complete" in found.stdout
