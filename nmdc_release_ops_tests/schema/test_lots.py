"""Work is handed out little by little, and releases older than documents' `type` are judged by their collection."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import nmdc_release_ops.schema
from nmdc_release_ops.schema.environment import SchemaEnvironment, SchemaEnvironments, worker_environment
from nmdc_release_ops.schema.package import SchemaPackages
from nmdc_release_ops.schema.version import SchemaVersion

FOLDER = Path(nmdc_release_ops.schema.__file__).parent

# The lots are numbers here, and to judge one is to double it; what is handed out and not read yet is counted.
HANDED_OUT = """
import json, operator
from worker import validate
handed_out, most, read = 0, 0, []
def lots(database, collections):
    global handed_out
    for number in range(300):
        handed_out += 1
        yield number
validate.lots, validate.judge_lot = lots, operator.index
if __name__ == "__main__":
    for verdict in validate.verdicts(None, []):
        read.append(verdict)
        most = max(most, handed_out - len(read))
    print(json.dumps([read == list(range(300)), most, validate.MOST_PROCESSES * validate.LOTS_AHEAD]))
"""

JUDGED = """
import json
from worker.judge import Judge
judge = Judge()
documents = json.loads(sys.argv[1])
print(json.dumps([[v["violation"] + " " + v["path"] for v in judge.violations(*d)] for d in documents]))
"""


@pytest.fixture(scope="module")
def environment(schema_environments: SchemaEnvironments) -> SchemaEnvironment:
    return schema_environments.prepare(SchemaVersion.parse("11.25"))


def inside(environment: SchemaEnvironment, script: str, *arguments: str, before: str = "") -> Any:
    path = f"import sys; sys.path.append({str(FOLDER)!r}); {before}\n"
    command = [environment.python, "-P", "-c", path + script, *arguments]
    return json.loads(subprocess.check_output(command, env=worker_environment("")))


def test_lots_are_handed_out_as_they_are_judged_and_read_in_order(environment: SchemaEnvironment) -> None:
    in_order, most, allowed = inside(environment, HANDED_OUT)
    assert in_order
    assert most <= allowed


@pytest.mark.parametrize(("version", "typed"), [("10.4.0", False), ("11.8.0", True)])
def test_releases_without_types_or_rules_of_their_own_are_judged_too(
    version: str, typed: bool, environment: SchemaEnvironment, schema_cache: Path
) -> None:
    package = SchemaPackages(schema_cache).fetch(SchemaVersion.parse(version))
    assert not (package.path / "nmdc_schema" / "nmdc_schema_validation_plugin.py").exists()
    sites = [
        {"id": "nmdc:frsite-11-abc", "name": "a site"},
        {"id": "nmdc:frsite-11-abc", "type": "nmdc:FieldResearchSite"},
        {"id": "nmdc:frsite-11-abc", "no_such_slot": 1},
    ]
    documents = json.dumps([["field_research_site_set", site] for site in sites])
    judged = inside(environment, JUDGED, documents, before=f"sys.path.insert(0, {str(package.path)!r})")
    extra = "additionalProperties /"
    assert judged == ([["type missing /type"], [], ["type missing /type"]] if typed else [[], [extra], [extra]])
