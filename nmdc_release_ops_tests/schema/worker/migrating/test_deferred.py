"""A package's own code runs when something of it is used, and not when one of its modules is imported."""

import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from nmdc_release_ops.schema.environments.environment import SchemaEnvironment, worker_environment
from nmdc_release_ops.schema.worker.migrating import deferred

PACKAGE = "deferred_by_a_test"


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package with two modules. Its own code imports one of them, which takes note of each time it runs."""
    folder = tmp_path / PACKAGE
    folder.mkdir()
    (folder / "__init__.py").write_text(f'"""A package."""\nfrom {PACKAGE}.noting import TWO as TWO\n')
    (folder / "noting.py").write_text(
        f"from pathlib import Path\nfrom {PACKAGE}.part import ONE\n"
        f"with Path({str(tmp_path / 'runs')!r}).open('a') as runs:\n    runs.write('x')\nTWO = ONE + 1\n"
    )
    (folder / "part.py").write_text("ONE = 1\n")
    (tmp_path / "runs").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in (PACKAGE, f"{PACKAGE}.part", f"{PACKAGE}.noting", f"{PACKAGE}.relying"):
        sys.modules.pop(name, None)


def runs_of(package: Path) -> int:
    return len((package.parent / "runs").read_text())


def test_a_module_is_imported_without_the_package(package: Path) -> None:
    deferred.defer(PACKAGE)
    assert import_module(f"{PACKAGE}.part").ONE == 1
    assert import_module(PACKAGE).__name__ == PACKAGE
    assert import_module(PACKAGE).part.ONE == 1
    assert runs_of(package) == 0


def test_the_package_runs_once_when_it_is_used(package: Path) -> None:
    deferred.defer(PACKAGE)
    part = import_module(f"{PACKAGE}.part")
    used = import_module(PACKAGE)
    assert used.TWO == 2 and used.TWO == 2
    with pytest.raises(AttributeError, match="THREE"):
        _ = used.THREE
    assert runs_of(package) == 1
    assert used.part is part


def test_a_package_that_fails_says_so_each_time(package: Path) -> None:
    (package / "noting.py").write_text("raise ImportError('no LinkML here')\n")
    deferred.defer(PACKAGE)
    for _ in range(2):
        with pytest.raises(ImportError, match="no LinkML here"):
            _ = import_module(PACKAGE).TWO


def test_a_package_whose_modules_may_rely_on_it_is_not_deferred(package: Path) -> None:
    (package / "__init__.py").write_text(f"THREE = 3\nfrom {PACKAGE}.relying import FOUR\n")
    (package / "relying.py").write_text(f"from {PACKAGE} import THREE\nFOUR = THREE + 1\n")
    deferred.defer(PACKAGE)
    assert import_module(f"{PACKAGE}.relying").FOUR == 4


def test_a_package_that_is_imported_already_stays(package: Path) -> None:
    imported = import_module(PACKAGE)
    deferred.defer(PACKAGE)
    assert import_module(PACKAGE) is imported
    assert runs_of(package) == 1


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(ModuleNotFoundError, match="nowhere_to_be_found"):
        deferred.defer("nowhere_to_be_found")


def test_a_migrator_starts_without_linkml_and_can_use_it(environment: SchemaEnvironment) -> None:
    code = """
import importlib, sys
import worker.migrating.migrate
importlib.import_module("nmdc_schema.migrators.migrator_from_11_24_1_to_11_25_0")
importlib.import_module("nmdc_schema.migrators.adapters.mongo_adapter")
assert "linkml" not in sys.modules
from nmdc_schema import NmdcSchemaValidationPlugin
assert "linkml" in sys.modules
print(NmdcSchemaValidationPlugin.__module__)
"""
    worker = Path(deferred.__file__).parent.parent.parent
    done = subprocess.run(
        [str(environment.python), "-P", "-c", f"import sys; sys.path.append({str(worker)!r})\n{code}"],
        env=worker_environment(""),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "nmdc_schema.nmdc_schema_validation_plugin", done.stderr
