"""Work is handed out little by little, and releases older than documents' `type` are judged by their collection."""

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
BESIDE = f"sys.path.append({str(Path(__file__).parent)!r})"

JUDGED = """
import json
from pathlib import Path
import bson
from nmdc_schema.nmdc_data import get_nmdc_schema_definition
from worker.compiling.compile_schema import compile_schema
from worker.validating.compiled import CompiledSchema
from worker.validating.linkml_judge import Judge
from worker.validating.fast_pass import Screen
compiled = CompiledSchema(compile_schema(get_nmdc_schema_definition()))
judge = Judge(compiled, Path(sys.argv[2]))
for collection in compiled.content["collections"]:
    by_type, otherwise = compiled.checks(collection)
    for check in (*by_type.values(), *([otherwise] if otherwise else [])):
        check.one({})
judged = []
for collection, document in json.loads(sys.argv[1]):
    screen, raw = Screen(compiled, collection, None), bson.encode(document)
    passed = screen.not_let_through(raw, [bson.decode(raw, screen.codec)]).get(0, True)
    judged.append([passed, [v.kind + " " + v.path for v in judge.violations(collection, document)]])
print(json.dumps(judged))
"""


ODD_NUMBERS = """
import json
import bson
from bson import Code
from worker.validating.compiled import CompiledSchema
from worker.validating.fast_pass import Screen
described = {"types": {}, "otherwise": "Any"}
content = {"collections": {"some_set": described}, "classes": {"Any": {}}, "definitions": {}, "patterns": [], "formats": []}
screen = Screen(CompiledSchema({**content, "dialect": "https://json-schema.org/draft/2019-09/schema"}), "some_set", None)
strict = Screen(CompiledSchema({**content, "collections": {"some_set": {"types": {}, "otherwise": None}}}), "some_set", None)
def refused(screen, *documents):
    run = b"".join(map(bson.encode, documents))
    return screen.not_let_through(run, bson.decode_all(run))
left_to_linkml = [
    refused(screen, {"number": float(number), "text": "x" * length}) == {0: None}
    for number in ("nan", "inf", "-inf")
    for length in range(600)
]
among_others = refused(screen, {"a": 1.5}, {"a": [{"b": float("nan")}]}, {"a": -1})
code = refused(strict, {"type": Code("nmdc:Study")}, {"type": "nmdc:Study"}, {})
print(json.dumps([all(left_to_linkml), list(among_others.items()), list(code.items())]))
"""


def inside(environment: SchemaEnvironment, script: str, *arguments: str, before: str = "") -> Any:
    path = f"import sys; sys.path.append({str(FOLDER)!r}); {before}\n"
    command = [environment.python, "-P", "-c", path + script, *arguments]
    return json.loads(subprocess.check_output(command, env=worker_environment("")))


def test_a_crew_hands_out_little_by_little_and_does_again_once_what_a_killed_process_had_begun(
    environment: SchemaEnvironment, tmp_path: Path
) -> None:
    found = inside(
        environment, "from crew_work import main\nif __name__ == '__main__': main()", str(tmp_path), before=BESIDE
    )
    assert found["in order"]
    most, allowed = found["handed out at most"]
    assert most <= allowed
    assert found["one killed"]
    least, most = found["done at most twice"]
    assert least == 1
    assert most <= 2
    assert found["goes on"] == [0, 2, 4]
    assert "so was the one that did its work again" in found["always killed"]


def test_what_json_has_no_word_for_is_left_to_linkml_wherever_it_stands(environment: SchemaEnvironment) -> None:
    always, among_others, code = inside(environment, ODD_NUMBERS)
    assert always, "whatever the bytes around it are"
    assert among_others == [[1, None]]
    assert sorted(code) == [[0, None], [1, False], [2, False]]


@pytest.mark.parametrize(("version", "typed"), [("10.4.0", False), ("11.8.0", True)])
def test_releases_without_types_or_rules_of_their_own_are_judged_too(
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
    judged = inside(environment, JUDGED, documents, str(tmp_path), before=f"sys.path.insert(0, {str(package.path)!r})")
    missing, extra = [False, ["type missing /type"]], [False, ["additionalProperties /"]]
    assert judged == ([missing, [True, []], missing] if typed else [[True, []], extra, extra])
