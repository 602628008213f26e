"""A schema is compiled once, and again whenever the code that compiles it, or the environment's packages, change."""

import ast
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nmdc_release_ops.schema.environments import compiled
from nmdc_release_ops.schema.environments.compiled import COMPILING, CompiledSchemas
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment
from nmdc_release_ops.schema.version import SchemaVersion

FILES = sorted(file.relative_to(COMPILING).as_posix() for file in COMPILING.rglob("*.py"))
# Stands for the environment's Python: writes to the last argument, the output file, and notes that it was called.
PYTHON = """#!/bin/sh
for last; do :; done
echo '{}' > "$last"
echo called >> "$(dirname "$0")/calls"
"""


@pytest.fixture
def environment(tmp_path: Path) -> SchemaEnvironment:
    (tmp_path / "environment" / "bin").mkdir(parents=True)
    made = SchemaEnvironment(SchemaVersion.parse("11.25"), tmp_path / "environment", {"linkml": "1.9.2"})
    made.python.write_text(PYTHON)
    made.python.chmod(0o700)
    return made


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the room that compiles, which a test may change."""
    monkeypatch.setattr(compiled, "COMPILING", tmp_path / "compiling")
    shutil.copytree(COMPILING, tmp_path / "compiling")
    return tmp_path / "compiling"


@pytest.fixture
def is_compiled(environment: SchemaEnvironment, tmp_path: Path) -> Callable[[SchemaEnvironment], bool]:
    """Prepares the compiled schema, and returns whether it had to be compiled."""

    def prepare(environment: SchemaEnvironment) -> bool:
        calls = environment.python.parent / "calls"
        calls.unlink(missing_ok=True)
        assert CompiledSchemas(tmp_path).prepare(environment).read_text() == "{}\n"
        return calls.exists()

    return prepare


def test_a_schema_is_compiled_once(
    environment: SchemaEnvironment, room: Path, is_compiled: Callable[[SchemaEnvironment], bool]
) -> None:
    assert [is_compiled(environment) for _ in range(2)] == [True, False]


@pytest.mark.parametrize("file", FILES)
def test_a_change_of_any_file_of_the_room_recompiles(
    environment: SchemaEnvironment, room: Path, is_compiled: Callable[[SchemaEnvironment], bool], file: str
) -> None:
    is_compiled(environment)
    with (room / file).open("a") as changed:
        changed.write("# changed\n")
    assert is_compiled(environment)


def test_another_file_in_the_room_or_another_package_recompiles(
    environment: SchemaEnvironment, room: Path, is_compiled: Callable[[SchemaEnvironment], bool]
) -> None:
    is_compiled(environment)
    (room / "another.py").touch()
    assert is_compiled(environment)
    assert is_compiled(SchemaEnvironment(environment.release, environment.path, {"linkml": "1.9.3"}))


@pytest.mark.parametrize("file", FILES)
def test_the_room_imports_nothing_from_outside_that_decides_what_is_compiled(file: str) -> None:
    """Or the digest would have to include it. `disk` only reports errors."""
    imported = {
        node.module
        for node in ast.walk(ast.parse((COMPILING / file).read_text()))
        if isinstance(node, ast.ImportFrom) and node.level > 1
    }
    assert imported <= {"disk"}
