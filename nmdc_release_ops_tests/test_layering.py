"""Imports point down the layout, and the libraries know only what they are named for."""

import ast
from pathlib import Path

import pytest

from nmdc_release_ops_tests.layout import PACKAGE_FOLDER, modules, violations

TESTS_FOLDER = Path(__file__).parent


@pytest.mark.parametrize("path", modules())
def test_a_module_keeps_to_the_layout(path: str) -> None:
    assert violations(path, (PACKAGE_FOLDER / path).read_text()) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("mongo/made_up.py", "from nmdc_release_ops.schema import versions"),
        ("mongo/made_up.py", "from nmdc_release_ops import schema"),
        ("mongo/made_up.py", "from .. import schema"),
        ("mongo/made_up.py", "from ..records import Archive"),
        ("mongo/made_up.py", "def late():\n    import nmdc_release_ops.steps.dump"),
        ("mongo/made_up.py", "import dagster as dg"),
        ("mongo/made_up.py", "from dagster_pipes import open_dagster_pipes"),
        ("mongo/made_up.py", "import nmdc_schema"),
        ("mongo/server/made_up.py", "from nmdc_release_ops.mongo.state.lease import Lease"),
        ("mongo/state/made_up.py", "from nmdc_release_ops.mongo.freezing import freeze"),
        ("mongo/transfer/made_up.py", "from nmdc_release_ops.mongo.swapping.moves import make"),
        ("mongo/difference/made_up.py", "from ..swapping import swap"),
        ("mongo/programs/made_up.py", "from nmdc_release_ops.mongo.state import lease"),
        ("mongo/errors.py", "from nmdc_release_ops.mongo.server.connection import connect"),
        ("schema/packages/made_up.py", "from nmdc_release_ops.schema.environments.environment import python"),
        ("schema/version.py", "from nmdc_release_ops.schema.packages import package"),
        ("schema/worker/compiling/made_up.py", "from ..validating.violations import Violation"),
        ("schema/worker/disk.py", "from .migrating import migrate"),
        ("steps/made_up.py", "from nmdc_release_ops.steps.freeze import freeze"),
        ("steps/shared/made_up.py", "from nmdc_release_ops.steps.freeze import freeze"),
        ("services/made_up.py", "from nmdc_release_ops.runtime.readiness import Check"),
        ("mongo/made_up.py", "from nmdc_release_ops import utils"),
        ("schema/made_up.py", "from dagster import op"),
        ("runtime/made_up.py", "import dagster as dg"),
        ("services/made_up.py", "import os\ntoken = os.environ['GITHUB_TOKEN']"),
        ("schema/made_up.py", "from nmdc_release_ops.resources.origin import Origin"),
        ("demo/made_up.py", "from nmdc_release_ops.schema import environments"),
        ("records/made_up.py", "import nmdc_release_ops.resources"),
        ("planning/made_up.py", "import dagster as dg"),
        ("planning/made_up.py", "from nmdc_release_ops.resources.origin import Origin"),
        ("lineage.py", "from nmdc_release_ops.planning.release import Options"),
        ("steps/made_up.py", "from nmdc_release_ops.jobs import data_release"),
        ("utils.py", ""),
        ("schema/worker/made_up.py", "from nmdc_release_ops.mongo import raw"),
        ("schema/worker/made_up.py", "from ..versions import parse"),
        ("schema/worker/made_up.py", "import dagster"),
        ("schema/worker/made_up.py", "import pydantic"),
        ("steps/made_up.py", "import os\nuri = os.environ['NMDC_ORIGIN_URI']"),
        ("resources/made_up.py", "import os\nuri = os.environ['NMDC_ORIGIN_URI']"),
        ("resources/made_up.py", "from pydantic_settings import BaseSettings"),
        ("steps/made_up.py", "import os\nuri = os.getenv('NMDC_ORIGIN_URI')"),
        ("steps/made_up.py", "from os import environ"),
        ("mongo/programs/mongod.py", "import os\npath = os.environ.get('NMDC_ORIGIN_URI')"),
        ("mongo/programs/environment.py", "import os\ncopy = dict(os.environ)"),
        ("mongo/programs/environment.py", "import os\ncopy = os.environ.copy()"),
        ("mongo/made_up.py", "import os\nname = 'MONGOD'\npath = os.environ[name]"),
        ("schema/worker/made_up.py", "import os\nuri = os.environ['NMDC_ORIGIN_URI']"),
    ],
)
def test_a_made_up_offender_is_noticed(path: str, source: str) -> None:
    assert len(violations(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("__init__.py", ""),
        ("definitions.py", "from nmdc_release_ops import jobs, sensors\nimport dagster as dg"),
        (
            "steps/made_up.py",
            "from nmdc_release_ops.mongo.transfer.dump import dump\nfrom .shared.display import table",
        ),
        ("schema/made_up.py", "from nmdc_release_ops.mongo.server.raw import documents"),
        (
            "demo/made_up.py",
            "import os\nfrom nmdc_release_ops.mongo.programs.private_mongod import start\nos.environ['HOME']",
        ),
        (
            "mongo/programs/mongod.py",
            "import os\nos.environ.get('MONGOD')\nos.getenv('MONGOD')\nos.environ['MONGOD']",
        ),
        ("mongo/made_up.py", "import os\nos.replace('a', 'b')"),
        ("resources/environment.py", "from pydantic_settings import BaseSettings"),
        ("schema/made_up.py", "import os\nchild = {'PATH': os.environ['PATH']}"),
        (
            "schema/worker/made_up.py",
            "import os, json\nimport nmdc_schema.migrators\nfrom dagster_pipes import open_dagster_pipes\n"
            "from . import messages\nos.environ['NMDC_TRANSFORMER_URI']",
        ),
    ],
)
def test_a_made_up_module_that_keeps_to_the_rules_passes(path: str, source: str) -> None:
    assert violations(path, source) == []


def imported_tests(source: str) -> set[str]:
    """The test modules that a module imports, whole or by names of theirs."""
    imported: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            # `from . import test_swap` names the module last, `from .test_swap import RUN` first.
            imported |= {node.module or "", *(alias.name for alias in node.names)}
    return {name for name in imported if name.split(".")[-1].startswith("test_")}


@pytest.mark.parametrize(
    "path", sorted(file.relative_to(TESTS_FOLDER).as_posix() for file in TESTS_FOLDER.rglob("*.py"))
)
def test_no_test_module_is_imported(path: str) -> None:
    """What tests share has a module of its own, so that a test can be changed, moved or deleted without looking around."""
    assert imported_tests((TESTS_FOLDER / path).read_text()) == set()


@pytest.mark.parametrize(
    "source",
    [
        "from nmdc_release_ops_tests.mongo.swapping.test_swap import RUN",
        "from nmdc_release_ops_tests.mongo.swapping import test_swap",
        "from .test_swap import RUN",
        "from . import test_swap",
        "import nmdc_release_ops_tests.mongo.swapping.test_swap",
        "def late():\n    from nmdc_release_ops_tests.mongo.swapping.test_swap import RUN",
    ],
)
def test_a_made_up_import_of_a_test_is_noticed(source: str) -> None:
    assert len(imported_tests(source)) == 1
