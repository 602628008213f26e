"""Compiles the schema of this environment's release into the data that validation needs, so that it need not load LinkML.

Arguments: `schema` and the output file, or `references`, a schema's YAML file and the output file. The output is JSON;
`validating/compiled.py` reads it.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from linkml.validator import validation_context
from linkml.validator.plugins import JsonschemaValidationPlugin
from linkml.validator.validation_context import ValidationContext
from linkml_runtime import SchemaView
from linkml_runtime.linkml_model import SchemaDefinition
from nmdc_schema.nmdc_data import get_nmdc_schema_definition

from ..disk import EXIT_CODE, NotWritten, writing
from .json_schema import Compiler
from .plugin import choose_rules, storage_units
from .reference_rules import reference_rules
from .schema_index import SchemaIndex, index_schema


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
    """The content of a `compiled.CompiledSchema`."""
    view = SchemaView(schema)
    index = index_schema(view)
    rules = choose_rules()
    units = dict(storage_units(view)) if rules == "compiled" else None
    compiler = Compiler(units)
    classes = {name for allowed in index.allowed.values() for name in allowed}
    if not index.type_required:
        # Documents without a class are validated by these, abstract or not.
        classes |= {name for name in index.range_of.values() if name in view.all_classes()}
    with _one_view():
        linkml_schemas = {name: _json_schema(schema, name) for name in sorted(classes)}
    roots = {name: compiler.root(json_schema) for name, json_schema in linkml_schemas.items()}
    definitions = next(iter(linkml_schemas.values()))["$defs"]
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
        "linkml": {
            "definitions": definitions,
            "classes": {name: _without_definitions(one) for name, one in linkml_schemas.items()},
        },
    }


def _without_definitions(json_schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in json_schema.items() if key != "$defs"}


def _types(index: SchemaIndex, collection: str) -> dict[str, Any]:
    allowed = index.allowed[collection]
    return {
        "types": {type_: name for type_, name in index.class_of_type.items() if name in allowed},
        "otherwise": index.range_of[collection] if not index.type_required and allowed else None,
    }


@contextmanager
def _one_view() -> Iterator[None]:
    """Let LinkML's generators of JSON Schema share one view of the schema, which remembers the slots of each class.

    LinkML before 1.12 makes a generator for each class, and each takes seconds to find all slots anew. Later versions make one.
    """
    if hasattr(validation_context, "_json_schema_cache"):
        yield
        return
    generator, views = validation_context.JsonSchemaGenerator, []

    class SharingGenerator(generator):  # type: ignore[misc, valid-type]
        schemaview: Any

        def __post_init__(self) -> None:
            super().__post_init__()
            views.append(self.schemaview)
            self.schemaview = views[0]

    validation_context.JsonSchemaGenerator = SharingGenerator
    try:
        yield
    finally:
        validation_context.JsonSchemaGenerator = generator


class _RecordingContext(ValidationContext):  # type: ignore[misc]
    """Records the validator that LinkML's plugin requests, whatever arguments this version of LinkML passes."""

    def json_schema_validator(self, **arguments: Any) -> Any:
        self.requested = super().json_schema_validator(**arguments)
        return self.requested


def _json_schema(schema: SchemaDefinition, class_name: str) -> dict[str, Any]:
    """The JSON Schema by which LinkML validates documents of a class."""
    context = _RecordingContext(schema, class_name)
    for _ in JsonschemaValidationPlugin(closed=True).process({}, context):
        break
    # A round trip through JSON: some of its strings are instances of LinkML's own classes.
    return dict(json.loads(json.dumps(context.requested.schema)))


if __name__ == "__main__":
    sys.exit(main())
