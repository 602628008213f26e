"""The fast pass leaves to LinkML what JSON cannot represent, and validates documents of every release."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import nmdc_release_ops.schema
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment, worker_environment
from nmdc_release_ops.schema.packages.package import SchemaPackages
from nmdc_release_ops.schema.version import SchemaVersion

FOLDER = Path(nmdc_release_ops.schema.__file__).parent

VALIDATE = """
import json
from pathlib import Path
import bson
from nmdc_schema.nmdc_data import get_nmdc_schema_definition
from worker.compiling.compile_schema import compile_schema
from worker.validating.compiled import CompiledSchema
from worker.validating.linkml_judge import Judge
from worker.validating.fast_pass import FastPass
compiled = CompiledSchema(compile_schema(get_nmdc_schema_definition()))
judge = Judge(compiled, Path(sys.argv[2]))
for collection in compiled.content["collections"]:
    by_type, otherwise = compiled.checks(collection)
    for check in (*by_type.values(), *([otherwise] if otherwise else [])):
        check.is_valid({})
results = []
for collection, document in json.loads(sys.argv[1]):
    fast_pass, raw = FastPass(compiled, collection, None), bson.encode(document)
    passed = fast_pass.find_rejected(raw, [bson.decode(raw, fast_pass.codec)]).get(0, True)
    results.append([passed, [v.kind + " " + v.path for v in judge.violations(collection, document)]])
print(json.dumps(results))
"""


ODD_NUMBERS = """
import json
import bson
from bson import Code, Int64
from worker.validating.compiled import CompiledSchema
from worker.validating.fast_pass import FastPass
described = {"types": {}, "otherwise": "Any"}
content = {"collections": {"some_set": described}, "classes": {"Any": {}}, "definitions": {}, "patterns": [], "formats": []}
fast_pass = FastPass(CompiledSchema({**content, "dialect": "https://json-schema.org/draft/2019-09/schema"}), "some_set", None)
strict = FastPass(CompiledSchema({**content, "collections": {"some_set": {"types": {}, "otherwise": None}}}), "some_set", None)
def rejected(fast_pass, *documents):
    raw = b"".join(map(bson.encode, documents))
    return fast_pass.find_rejected(raw, bson.decode_all(raw))
left_to_linkml = [
    rejected(fast_pass, {"number": float(number), "text": "x" * length}) == {0: None}
    for number in ("nan", "inf", "-inf")
    for length in range(600)
]
among_others = rejected(fast_pass, {"a": 1.5}, {"a": [{"b": float("nan")}]}, {"a": -1})
code = rejected(strict, {"type": Code("nmdc:Study")}, {"type": "nmdc:Study"}, {})
numbers = {**content, "classes": {"Any": {"type": "object", "properties": {"a": {"type": "number"}}}}}
numeric = FastPass(CompiledSchema({**numbers, "dialect": "https://json-schema.org/draft/2019-09/schema"}), "some_set", None)
long = rejected(numeric, {"a": Int64(1)}, {"a": Int64(2**40)}, {"a": "1"}, {"a": 1})
print(json.dumps([all(left_to_linkml), list(among_others.items()), list(code.items()), list(long.items())]))
"""


def inside(environment: SchemaEnvironment, script: str, *arguments: str, before: str = "") -> Any:
    path = f"import sys; sys.path.append({str(FOLDER)!r}); {before}\n"
    command = [environment.python, "-P", "-c", path + script, *arguments]
    return json.loads(subprocess.check_output(command, env=worker_environment("")))


def test_what_json_cannot_represent_is_left_to_linkml_wherever_it_is(environment: SchemaEnvironment) -> None:
    always, among_others, code, long = inside(environment, ODD_NUMBERS)
    assert always, "whatever the bytes around it are"
    assert among_others == [[1, None]]
    assert sorted(code) == [[0, None], [1, False], [2, False]]
    assert long == [[2, False]], "a 64-bit integer is a number"


@pytest.mark.faults
@pytest.mark.parametrize(("version", "typed"), [("10.4.0", False), ("11.8.0", True)])
def test_releases_without_types_or_rules_of_their_own_are_validated_too(
    version: str, typed: bool, environment: SchemaEnvironment, schema_cache: Path, tmp_path: Path
) -> None:
    package = SchemaPackages(schema_cache).fetch(SchemaVersion.parse(version))
    assert not (package.path / "nmdc_schema" / "nmdc_schema_validation_plugin.py").exists()
    sites = [
        {"id": "nmdc:frsite-11-abc", "name": "a site"},
        {"id": "nmdc:frsite-11-abc", "type": "nmdc:FieldResearchSite"},
        {"id": "nmdc:frsite-11-abc", "no_such_slot": 1},
    ]
    documents = json.dumps([["field_research_site_set", site] for site in sites])
    results = inside(
        environment, VALIDATE, documents, str(tmp_path), before=f"sys.path.insert(0, {str(package.path)!r})"
    )
    missing, extra = [False, ["type missing /type"]], [False, ["additionalProperties /"]]
    assert results == ([missing, [True, []], missing] if typed else [[True, []], extra, extra])
