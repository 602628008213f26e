"""The rules for references that the data had before, for the tests of this room."""

from pathlib import Path

import pytest

from nmdc_release_ops.schema.environments.compiled import CompiledSchemas
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment
from nmdc_release_ops.schema.packages.package import SchemaPackages
from nmdc_release_ops.schema.version import SchemaVersion


@pytest.fixture(scope="module")
def rules(environment: SchemaEnvironment, schema_cache: Path) -> Path:
    """For references, by the schema before."""
    package = SchemaPackages(schema_cache).fetch(SchemaVersion.parse("11.23"))
    return CompiledSchemas(schema_cache).prepare_references(environment, package)
