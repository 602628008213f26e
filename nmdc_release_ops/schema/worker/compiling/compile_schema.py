"""Compiles the schema of the release whose environment this is into data: what validation needs, and nothing of LinkML.

Arguments: `schema` and the file to write, or `references`, a schema's YAML file and the file to write. What is written is
JSON; `compiled.py` reads it.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from linkml.validator.plugins import JsonschemaValidationPlugin
from linkml.validator.validation_context import ValidationContext
from linkml_runtime import SchemaView
from linkml_runtime.linkml_model import SchemaDefinition
from nmdc_schema.nmdc_data import get_nmdc_schema_definition

from ..disk import EXIT_CODE, NotWritten, writing
from ..release import PLUGIN
from .json_schema import Compiler
from .reference_rules import reference_rules
from .schema_index import SchemaIndex, index_schema

# Of the plugin's file, in every release from 11.16.0 to 11.25. Its only rule is that of storage units, which is
# compiled too. Any other file is asked about each document instead.
KNOWN_PLUGIN = "ae3b67d6d6219e01b2735015f2f713f0127d6bf3261db70ade14547fd7733ed0"


def main() -> int:
    what, *files = sys.argv[1:]
    if what == "schema":
        compiled = compile_schema(get_nmdc_schema_definition())
    else:
        view = SchemaView(files[0])
        compiled = reference_rules(view, index_schema(view))
    try:
        with writing(Path(files[-1])):
            Path(files[-1]).write_text(json.dumps(compiled), encoding="utf-8")
    except NotWritten as error:
        sys.stderr.write(f"{error.reason}\n")
        return EXIT_CODE
    return 0


def compile_schema(schema: SchemaDefinition) -> dict[str, Any]:
    """What `compiled.CompiledSchema` reads."""
    view = SchemaView(schema)
    index = index_schema(view)
    rules = "none"
    if find_spec(PLUGIN):
        rules = "compiled" if _plugin_digest() == KNOWN_PLUGIN else "called"
    units = dict(_storage_units(view)) if rules == "compiled" else None
    compiler = Compiler(units)
    classes = {name for allowed in index.allowed.values() for name in allowed}
    if not index.type_required:
        # By these, abstract or not, documents are judged that say no class.
        classes |= {name for name in index.range_of.values() if name in view.all_classes()}
    own = {name: _json_schema(schema, name) for name in sorted(classes)}
    roots = {name: compiler.root(json_schema) for name, json_schema in own.items()}
    definitions = next(iter(own.values()))["$defs"]
    return {
        "dialect": compiler.dialect,
        "definitions": compiler.definitions,
        "patterns": compiler.patterns,
        "formats": compiler.formats,
        "classes": roots,
        "rules": rules,
        "units": units or {},
        "collections": {name: _types(index, name) for name in index.allowed},
        "references": reference_rules(view, index),
        "linkml": {"definitions": definitions, "classes": {name: _without_definitions(own[name]) for name in own}},
    }


def _without_definitions(json_schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in json_schema.items() if key != "$defs"}


def _types(index: SchemaIndex, collection: str) -> dict[str, Any]:
    allowed = index.allowed[collection]
    return {
        "types": {said: name for said, name in index.class_of_type.items() if name in allowed},
        "otherwise": index.range_of[collection] if not index.type_required and allowed else None,
    }


class _Overheard(ValidationContext):  # type: ignore[misc]
    """Remembers the validator that LinkML's plugin asks for, with whatever arguments this version of it does."""

    def json_schema_validator(self, **arguments: Any) -> Any:
        self.asked_for = super().json_schema_validator(**arguments)
        return self.asked_for


def _json_schema(schema: SchemaDefinition, class_name: str) -> dict[str, Any]:
    """The JSON Schema by which LinkML judges documents of a class."""
    context = _Overheard(schema, class_name)
    for _ in JsonschemaValidationPlugin(closed=True).process({}, context):
        break
    # Through JSON: some of its texts are of classes of LinkML's own.
    return dict(json.loads(json.dumps(context.asked_for.schema)))


def _storage_units(view: SchemaView) -> Iterator[tuple[str, list[str]]]:
    plugin = import_module(PLUGIN).NmdcSchemaValidationPlugin()
    for name in view.all_slots():
        units = plugin._slot_storage_units(view, name)
        if units:
            yield str(name), units


def _plugin_digest() -> str:
    found = find_spec(PLUGIN)
    if found is None or found.origin is None:
        return ""
    return hashlib.sha256(Path(found.origin).read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
