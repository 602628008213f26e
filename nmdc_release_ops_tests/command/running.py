"""Running the command: in this process, or as people do."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from typer.testing import CliRunner, Result

from nmdc_release_ops.command.main import app

COMMAND = Path(sys.executable).parent / "nmdc-release"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def run(*arguments: str, columns: int = 100) -> Result:
    """Run it in this process, without a terminal."""
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": str(columns)})


def run_installed(*arguments: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the installed entry point, with its output piped, and only these variables of ours."""
    variables = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [COMMAND, *arguments],
        env={**variables, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def flat(text: str) -> str:
    """A text without its line breaks."""
    return " ".join(text.split())
