"""What tests share: real servers and real schema environments, made once per session."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nmdc_release_ops.mongo.server import PrivateMongod, private_mongod
from nmdc_release_ops.schema.environment import SchemaEnvironments

PROJECT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def schema_cache() -> Path:
    """Where packages and environments of schema releases are kept between test runs: they take long to make."""
    home = Path(os.environ.get("NMDC_RELEASE_HOME") or PROJECT / ".nmdc-release")
    return home.resolve() / "schema"


@pytest.fixture(scope="session")
def schema_environments(schema_cache: Path) -> SchemaEnvironments:
    return SchemaEnvironments(schema_cache)


@pytest.fixture(scope="session")
def scratch_mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateMongod]:
    """A replica set of one node without authentication, for everything that may write where it likes."""
    with private_mongod(tmp_path_factory.mktemp("scratch"), authentication=False) as server:
        yield server
