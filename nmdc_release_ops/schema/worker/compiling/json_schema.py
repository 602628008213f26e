"""LinkML's JSON Schema, rewritten so that another validator gives the same verdicts.

Python's `re` and the regular expressions of other languages differ in small things (`$`, `\\d`, `\\w`), and so do the
checks of formats. Both become formats with a name, to be checked by the very functions that LinkML's validator uses.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jsonschema

Schema = dict[str, Any]

SHORT = 200
"""Characters; whether a longer text matches a pattern is not remembered."""

QUANTITY = "nmdc:QuantityValue"
_MAPS = {"$defs", "definitions", "properties", "patternProperties", "dependentSchemas"}
_LISTS = {"allOf", "anyOf", "oneOf", "prefixItems"}
_SCHEMAS = {
    *("items", "additionalItems", "contains", "additionalProperties", "propertyNames", "not", "if", "then", "else"),
    *("unevaluatedItems", "unevaluatedProperties"),
}
_SAYS_NOTHING = {"description", "title", "examples", "$id", "metamodel_version", "version", "$comment", "default"}
_UNIT_THERE: Schema = {
    "if": {"properties": {"type": {"const": QUANTITY}}, "required": ["type"]},
    "then": {"required": ["has_unit"], "properties": {"has_unit": {"not": {"type": "null"}}}},
}


class Compiler:
    """Takes in the JSON Schema of one class after the other; what they share is kept once.

    Attributes:
        dialect: URI of the version of JSON Schema.
        definitions: `$defs` of all of them.
        patterns: regular expressions; the format `pattern:3` stands for the one at place 3, and so does
            `pattern:3:long` where nothing is to be remembered.
        formats: names of formats that LinkML's validator checks.
    """

    def __init__(self, units: Mapping[str, list[str]] | None) -> None:
        """Args:
        units: allowed units by the name of the slot, as NMDC's own plugin has them; None where the release has none.
        """
        self.dialect = ""
        self.definitions: dict[str, Schema] = {}
        self.patterns: list[str] = []
        self.formats: list[str] = []
        self._units = units or {}
        self._asks_for_units = units is not None
        self._taken_in: Schema = {}

    def root(self, schema: Schema) -> Schema:
        """The schema of one class, without its `$defs`.

        Raises:
            ValueError: its `$defs` or its version are not those of the schemas before.
        """
        dialect, definitions = schema["$schema"], schema["$defs"]
        self.dialect = self.dialect or dialect
        self._checker = jsonschema.validators.validator_for(schema).FORMAT_CHECKER.checkers
        for name, definition in definitions.items():
            if name not in self._taken_in:
                self._taken_in[name] = definition
                self.definitions[name] = self._rewritten(definition)
        if dialect != self.dialect or definitions != self._taken_in:
            raise ValueError("LinkML made other definitions for one class than for another")
        root: Schema = self._rewritten({key: part for key, part in schema.items() if key not in ("$schema", "$defs")})
        return root

    def _rewritten(self, schema: Any) -> Any:
        if not isinstance(schema, dict):
            return schema
        made: Schema = {}
        asserted: list[Schema] = []
        for key, value in schema.items():
            if key in _SAYS_NOTHING:
                continue
            if key == "pattern":
                asserted.append(self._pattern(value))
            elif key == "format":
                if value in self._checker:
                    asserted.append({"format": self._format(value)})
            elif key == "properties":
                made[key] = {name: self._property(name, value[name]) for name in value}
            else:
                made[key] = _walked(key, value, self._rewritten)
        if self._asks_for_units and _is_quantity(schema):
            asserted.append(_UNIT_THERE)
        if asserted:
            made["allOf"] = [*made.get("allOf", []), *asserted]
        return made

    def _property(self, name: str, schema: Schema) -> Schema:
        made: Schema = self._rewritten(schema)
        if name not in self._units:
            return made
        unit = f"unit of {name}"
        self.definitions.setdefault(unit, _unit_rule(self._units[name], f"#/$defs/{unit.replace(' ', '%20')}"))
        return {"allOf": [made, {"$ref": f"#/$defs/{unit.replace(' ', '%20')}"}]}

    def _pattern(self, pattern: str) -> Schema:
        if pattern not in self.patterns:
            self.patterns.append(pattern)
        name = f"pattern:{self.patterns.index(pattern)}"
        return {"if": {"maxLength": SHORT}, "then": {"format": name}, "else": {"format": f"{name}:long"}}

    def _format(self, name: str) -> str:
        if name not in self.formats:
            self.formats.append(name)
        return f"format:{name}"


def _walked(key: str, value: Any, rewritten: Callable[[Any], Any]) -> Any:
    """The value of a keyword, with the schemas in it rewritten; `enum` and `const` hold none."""
    if key in _MAPS:
        return {name: rewritten(part) for name, part in value.items()}
    if key in _LISTS or (key == "items" and isinstance(value, list)):
        return [rewritten(part) for part in value]
    return rewritten(value) if key in _SCHEMAS else value


def _is_quantity(schema: Schema) -> bool:
    said = schema.get("properties", {}).get("type", {})
    return isinstance(said, dict) and QUANTITY in said.get("enum", [])


def _unit_rule(units: list[str], this: str) -> Schema:
    """What nmdc_schema.nmdc_schema_validation_plugin asks of a value of a slot, or of each in a list of them."""
    return {
        "if": {"type": "object", "properties": {"type": {"const": QUANTITY}}, "required": ["type"]},
        "then": {"required": ["has_unit"], "properties": {"has_unit": {"enum": units}}},
        "else": {"items": {"$ref": this}},
    }
