"""What tests share: real servers and real schema environments, made once per session."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod, private_mongod
from nmdc_release_ops.schema.environments.environment import SchemaEnvironments
from nmdc_release_ops_tests.services.github_server import LoopbackGitHub, loopback_github
from nmdc_release_ops_tests.workplace import PROJECT

LONGEST = Path("steps", "test_every_selection.py")
"""A quarter of an hour in one file."""
LONG_ROOMS = ("steps", "schema", "demo")
"""Where files take minutes: they make whole releases or run a schema's own code."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first. They are spread over the workers one by one: a long file at the end keeps one worker busy
    while the others have nothing left."""

    def rank(item: pytest.Item) -> int:
        path = item.path.relative_to(Path(__file__).parent)
        return 0 if path == LONGEST else 1 if path.parts[0] in LONG_ROOMS else 2

    items.sort(key=rank)


@pytest.fixture(scope="session")
def schema_cache() -> Path:
    """Where packages and environments of schema releases are kept between test runs: they take long to make."""
    home = Path(os.environ.get("NMDC_RELEASE_HOME") or PROJECT / ".nmdc-release")
    folder = home.resolve() / "schema"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def schema_environments(schema_cache: Path) -> SchemaEnvironments:
    return SchemaEnvironments(schema_cache)


@pytest.fixture(scope="session")
def scratch_mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateMongod]:
    """A replica set of one node without authentication, for everything that may write where it likes."""
    with private_mongod(tmp_path_factory.mktemp("scratch"), authentication=False) as server:
        yield server


@pytest.fixture(scope="session")
def guarded_mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateMongod]:
    """A replica set of one node with authentication: only there can writes of others be blocked and ours not."""
    with private_mongod(tmp_path_factory.mktemp("guarded")) as server:
        yield server


@pytest.fixture
def github() -> Iterator[LoopbackGitHub]:
    """GitHub on the loopback address, with nothing on it."""
    with loopback_github() as found:
        yield found
