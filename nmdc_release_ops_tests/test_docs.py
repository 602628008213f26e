"""The pages of docs/ lead where they say, and what they say of options and commands is so."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import typer

from nmdc_release_ops.command.main import app
from nmdc_release_ops.definitions import defs
from nmdc_release_ops.runtime.alldocs import JOB as JOB_OF_THE_RUNTIME
from nmdc_release_ops.steps.audit import AuditConfig
from nmdc_release_ops.steps.choose import ChooseConfig
from nmdc_release_ops.steps.plan import PlanConfig
from nmdc_release_ops.steps.rollback import RollbackConfig

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
INDEX = DOCS / "README.md"
PAGES = sorted(DOCS.glob("*.md"))
EVERYWHERE = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *PAGES]
SHORT = 8_000
"""Characters of a page that needs no contents: about two screens."""
LIGHT = 150_000
"""Bytes of a picture."""
CONFIGS: dict[str, type[dg.Config]] = {
    "plan": PlanConfig,
    "choose": ChooseConfig,
    "roll_back": RollbackConfig,
    "audit_origin": AuditConfig,
}


def prose(page: Path) -> str:
    """Without blocks of code."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^    .*$", "", text, flags=re.MULTILINE)


def headings(page: Path, level: str = "#{1,4}") -> list[str]:
    return re.findall(rf"^{level} (.+)$", prose(page), flags=re.MULTILINE)


def anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Path and anchor of each link to a file of the project."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" not in target:
            path, _, name = target.partition("#")
            yield path, name


@pytest.mark.parametrize("page", EVERYWHERE, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading_that_exist(page: Path) -> None:
    for path, name in links(page):
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), path
        if name:
            assert name in {anchor(heading) for heading in headings(target)}, f"{path}#{name}"


def test_the_index_lists_every_page_once() -> None:
    listed = re.findall(r"^\| \[[^|]+\]\(([\w-]+\.md)\) \|", INDEX.read_text(), flags=re.MULTILINE)
    assert sorted(listed) == [page.name for page in PAGES if page != INDEX]


@pytest.mark.parametrize("page", [ROOT / "CONTRIBUTING.md", *PAGES], ids=lambda page: page.name)
def test_a_page_of_more_than_two_screens_begins_with_its_contents(page: Path) -> None:
    contents = re.findall(r"^- \[(.+)\]\(#(.+)\)$", page.read_text().partition("\n## ")[0], flags=re.MULTILINE)
    if contents or len(page.read_text()) > SHORT:
        assert contents == [(heading, anchor(heading)) for heading in headings(page, "##")]


def test_every_picture_is_small_and_on_a_page() -> None:
    pictures = sorted((DOCS / "pictures").iterdir())
    shown = {(page.parent / path).resolve() for page in EVERYWHERE for path, _ in links(page) if path.endswith(".png")}
    assert shown == set(pictures)
    assert [picture.name for picture in pictures if picture.stat().st_size > LIGHT] == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text()) < SHORT


def test_pages_that_messages_name_exist() -> None:
    sources = [*(ROOT / "nmdc_release_ops").rglob("*.py"), ROOT / "docker" / "env.example"]
    named = {name for source in sources for name in re.findall(r"docs/([\w-]+\.\w+)", source.read_text())}
    assert len(named) > 3
    assert [name for name in named if not (DOCS / name).is_file()] == []


def documented_options(op: str) -> dict[str, str]:
    """The default of each option of a step, from the tables of all pages."""
    found: dict[str, str] = {}
    for page in PAGES:
        tables = re.findall(rf"^\| config of `{op}` .*\n\|[-|]+\n((?:\|.*\n)+)", page.read_text(), flags=re.MULTILINE)
        for name, default in re.findall(r"^\| `(\w+)` \| ([^|]+) \|", "".join(tables), flags=re.MULTILINE):
            assert found.setdefault(name, default) == default, f"{name} of {op} has two defaults"
    return found


@pytest.mark.parametrize("op", CONFIGS)
def test_every_option_of_a_step_is_on_a_page_with_its_default(op: str) -> None:
    fields = CONFIGS[op].model_fields
    documented = documented_options(op)
    assert set(documented) == set(fields)
    for name, field in fields.items():
        assert (written(field.default) or documented[name]) == documented[name], name
        assert documented[name].startswith("`") is (written(field.default) is not None), name


def written(default: Any) -> str | None:
    """As a table shows it; None where it has words instead."""
    if default is None or default == []:
        return None
    value = default.value if isinstance(default, Enum) else default
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def named(pattern: str) -> set[str]:
    """What the pages and the README have between backticks or as an indented line of a terminal."""
    pages = "\n".join(page.read_text() for page in EVERYWHERE if page.name != "CHANGELOG.md")
    return set(re.findall(rf"(?:`|^    (?:\S*/)?){pattern}", pages, flags=re.MULTILINE))


def test_every_make_target_that_pages_name_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert "demo" in named(r"make ([a-z-]+)")
    assert named(r"make ([a-z-]+)") - targets == set()


def test_every_subcommand_and_option_of_nmdc_release_that_pages_name_exists() -> None:
    command: Any = typer.main.get_command(app)
    commands = {**command.commands, **command.commands["archives"].commands}
    options = {option for one in (command, *commands.values()) for parameter in one.params for option in parameter.opts}
    lines = named(r"nmdc-release ([a-z-][^`\n]*)")
    words = {word for line in lines for word in re.findall(r"^[a-z]+\b|^archives ([a-z]+)", line) if word}
    assert "status" in {line.split()[0] for line in lines}
    assert words - set(commands) == set()
    given = {option for line in lines for option in re.findall(r"--[a-z-]+", line)}
    assert given - options - {"--install-completion", "--help"} == set()


def test_every_job_that_pages_send_people_to_exists() -> None:
    jobs = {*(job.name for job in defs.jobs or []), JOB_OF_THE_RUNTIME}
    pages = "\n".join(page.read_text() for page in EVERYWHERE)
    sent = set(re.findall(r"(?:\*Jobs\*,|[Ll]aunch(?: the job)?) `(\w+)`", pages))
    assert {"rollback", "rehearsal"} <= sent
    assert sent - jobs == set()


@pytest.mark.faults
def test_the_commands_for_sensors_work_as_they_are_written(tmp_path: Path) -> None:
    page = (DOCS / "automation.md").read_text()
    lines = re.findall(r"^    (\.venv/bin/dagster .+)$", page, flags=re.MULTILINE)
    assert len(lines) == 4
    printed = ""
    for line in lines:
        program, *arguments = shlex.split(line)
        done = subprocess.run(
            [Path(sys.executable).with_name(Path(program).name), *arguments],
            env={**os.environ, "DAGSTER_HOME": str(tmp_path)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        printed += done.stdout
    assert "frozen_origin_watchdog" in printed
    assert "Started sensor schema_release_sensor" in printed and "Stopped sensor schema_release_sensor" in printed
