"""LinkML's JSON Schema, rewritten so that another validator gives the same verdicts.

Python's `re` differs from other dialects of regular expressions in details (`$`, `\\d`, `\\w`), and so do the checks of
formats. Both become named formats, which are checked by the same functions that LinkML's validator uses.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jsonschema

Schema = dict[str, Any]

SHORT = 200
"""Characters; the result of matching a longer text against a pattern is not cached."""

QUANTITY = "nmdc:QuantityValue"
_MAPS = {"$defs", "definitions", "properties", "patternProperties", "dependentSchemas"}
_LISTS = {"allOf", "anyOf", "oneOf", "prefixItems"}
_SCHEMAS = {
    *("items", "additionalItems", "contains", "additionalProperties", "propertyNames", "not", "if", "then", "else"),
    *("unevaluatedItems", "unevaluatedProperties"),
}
_ANNOTATIONS = {"description", "title", "examples", "$id", "metamodel_version", "version", "$comment", "default"}
_UNIT_REQUIRED: Schema = {
    "if": {"properties": {"type": {"const": QUANTITY}}, "required": ["type"]},
    "then": {"required": ["has_unit"], "properties": {"has_unit": {"not": {"type": "null"}}}},
}


class Compiler:
    """Compiles the JSON Schema of one class after the other; what they share is kept once.

    Attributes:
        dialect: URI of the version of JSON Schema.
        definitions: `$defs` of all of them.
        patterns: regular expressions; the format `pattern:3` stands for the one at index 3, and so does
            `pattern:3:long`, whose results are not cached.
        formats: names of the formats that LinkML's validator checks.
    """

    def __init__(self, units: Mapping[str, list[str]] | None) -> None:
        """Args:
        units: allowed units by slot, from NMDC's own plugin; None if there are no rules on units to compile.
        """
        self.dialect = ""
        self.definitions: dict[str, Schema] = {}
        self.patterns: list[str] = []
        self.formats: list[str] = []
        self._units = units or {}
        self._requires_units = units is not None
        self._linkml_definitions: Schema = {}

    def root(self, schema: Schema) -> Schema:
        """Compile the schema of one class; return it without its `$defs`.

        Raises:
            ValueError: its `$defs` or its dialect differ from those of the schemas before.
        """
        dialect, definitions = schema["$schema"], schema["$defs"]
        self.dialect = self.dialect or dialect
        self._checker = jsonschema.validators.validator_for(schema).FORMAT_CHECKER.checkers
        for name, definition in definitions.items():
            if name not in self._linkml_definitions:
                self._linkml_definitions[name] = definition
                self.definitions[name] = self._rewrite(definition)
        if dialect != self.dialect or definitions != self._linkml_definitions:
            raise ValueError("LinkML generated different definitions for two classes")
        root: Schema = self._rewrite({key: part for key, part in schema.items() if key not in ("$schema", "$defs")})
        return root

    def _rewrite(self, schema: Any) -> Any:
        if not isinstance(schema, dict):
            return schema
        result: Schema = {}
        assertions: list[Schema] = []
        for key, value in schema.items():
            if key in _ANNOTATIONS:
                continue
            if key == "pattern":
                assertions.append(self._pattern(value))
            elif key == "format":
                if value in self._checker:
                    assertions.append({"format": self._format(value)})
            elif key == "properties":
                result[key] = {name: self._property(name, value[name]) for name in value}
            else:
                result[key] = _rewrite_keyword(key, value, self._rewrite)
        if self._requires_units and _is_quantity(schema):
            assertions.append(_UNIT_REQUIRED)
        if assertions:
            result["allOf"] = [*result.get("allOf", []), *assertions]
        return result

    def _property(self, name: str, schema: Schema) -> Schema:
        rewritten: Schema = self._rewrite(schema)
        if name not in self._units:
            return rewritten
        unit = f"unit of {name}"
        self.definitions.setdefault(unit, _unit_rule(self._units[name], f"#/$defs/{unit.replace(' ', '%20')}"))
        return {"allOf": [rewritten, {"$ref": f"#/$defs/{unit.replace(' ', '%20')}"}]}

    def _pattern(self, pattern: str) -> Schema:
        if pattern not in self.patterns:
            self.patterns.append(pattern)
        name = f"pattern:{self.patterns.index(pattern)}"
        return {"if": {"maxLength": SHORT}, "then": {"format": name}, "else": {"format": f"{name}:long"}}

    def _format(self, name: str) -> str:
        if name not in self.formats:
            self.formats.append(name)
        return f"format:{name}"


def _rewrite_keyword(key: str, value: Any, rewrite: Callable[[Any], Any]) -> Any:
    """The value of a keyword, with the schemas in it rewritten; `enum` and `const` contain none."""
    if key in _MAPS:
        return {name: rewrite(part) for name, part in value.items()}
    if key in _LISTS or (key == "items" and isinstance(value, list)):
        return [rewrite(part) for part in value]
    return rewrite(value) if key in _SCHEMAS else value


def _is_quantity(schema: Schema) -> bool:
    type_ = schema.get("properties", {}).get("type", {})
    return isinstance(type_, dict) and QUANTITY in type_.get("enum", [])


def _unit_rule(units: list[str], this: str) -> Schema:
    """The rule of nmdc_schema.nmdc_schema_validation_plugin for a slot's value, or for each value of a list."""
    return {
        "if": {"type": "object", "properties": {"type": {"const": QUANTITY}}, "required": ["type"]},
        "then": {"required": ["has_unit"], "properties": {"has_unit": {"enum": units}}},
        "else": {"items": {"$ref": this}},
    }
