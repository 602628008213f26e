"""Our adapter leaves the same database behind as the release's own does, whatever a pipeline does."""

import json
import subprocess
from pathlib import Path

import pytest

import nmdc_release_ops.schema
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment, SchemaEnvironments, worker_environment
from nmdc_release_ops.schema.version import SchemaVersion

FOLDER = Path(nmdc_release_ops.schema.__file__).parent


# The first that had an adapter; the last without callbacks; the first with sixteen parts, with transactions; the newest.
VERSIONS = ("10.0.0", "10.1.4", "11.0.0", "11.10.0")
OLDER = [pytest.param(version, marks=pytest.mark.faults) for version in VERSIONS]


@pytest.mark.faults
@pytest.mark.parametrize("version", [*VERSIONS, "11.25"])
def test_the_outcome_is_that_of_the_releases_own_adapter(
    version: str, schema_environments: SchemaEnvironments, scratch_mongod: PrivateMongod
) -> None:
    environment = schema_environments.prepare(SchemaVersion.parse(version))
    assert differences("surprising_pipelines.py", environment, scratch_mongod, at_least=15) == {}


@pytest.mark.parametrize("version", [*OLDER, "11.25"])
def test_a_collection_is_loaded_before_whatever_use_a_migrator_makes_of_it(
    version: str, schema_environments: SchemaEnvironments, scratch_mongod: PrivateMongod
) -> None:
    environment = schema_environments.prepare(SchemaVersion.parse(version))
    assert differences("surprising_uses.py", environment, scratch_mongod, at_least=20) == {}


def differences(script: str, environment: SchemaEnvironment, mongod: PrivateMongod, at_least: int) -> dict[str, str]:
    """The cases of the script that differ, and in what.

    at_least is how many cases there have to be.
    """
    path = Path(__file__).with_name(script)
    run_it = f"import sys, runpy; sys.path.append({str(FOLDER)!r}); runpy.run_path({str(path)!r})"
    printed = subprocess.check_output(
        [environment.python, "-P", "-c", run_it, "adapter_test"], env=worker_environment(mongod.uri)
    )
    found = json.loads(printed)
    assert len(found) >= at_least
    return {case: difference for case, difference in found.items() if difference}
