"""CONTRIBUTING.md shows the rooms as they are, and sends nobody to a file that does not exist."""

import re
from pathlib import Path

from nmdc_release_ops_tests.rooms import PAGE, current, draw

ROOT = Path(__file__).parent.parent
PREFIXES = ("", "nmdc_release_ops/", "nmdc_release_ops_tests/")


def test_the_picture_of_the_rooms_is_current() -> None:
    assert current(PAGE.read_text()) == f"\n{draw()}\n", "run .venv/bin/python -m nmdc_release_ops_tests.rooms"


def test_every_file_that_is_named_exists() -> None:
    page = PAGE.read_text()
    tables = [line for line in page.splitlines() if line.startswith("| ") and "`" in line]
    named = {path for line in tables for path in re.findall(r"`([\w./]+/|[\w./]+\.(?:py|yaml))`", line)}
    assert len(named) > 20
    missing = [path for path in named if not any((ROOT / (prefix + path)).exists() for prefix in PREFIXES)]
    assert missing == []
