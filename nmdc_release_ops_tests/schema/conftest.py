"""What tests of schema releases share: the release that most of them try things on, and its compiled schema."""

from pathlib import Path

import pytest

from nmdc_release_ops.schema.environments.compiled import CompiledSchemas
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment, SchemaEnvironments
from nmdc_release_ops.schema.version import SchemaVersion


@pytest.fixture(scope="module")
def environment(schema_environments: SchemaEnvironments) -> SchemaEnvironment:
    return schema_environments.prepare(SchemaVersion.parse("11.25"))


@pytest.fixture(scope="module")
def compiled(schema_cache: Path, environment: SchemaEnvironment) -> Path:
    return CompiledSchemas(schema_cache).prepare(environment)
