"""The schema as `compiling/compile_schema.py` wrote it: checking documents without LinkML."""

import json
import re
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema_rs

Document = dict[str, Any]

_BY_FIELD = {"type", "properties", "required", "additionalProperties"}
_DEFINITION = "#/$defs/"

_CACHED_TEXTS = 1_024
"""Texts per pattern whose match is cached: many documents hold the same texts."""


class Check:
    """Checks whether documents conform to a class.

    It raises ValueError for values that JSON cannot represent, and takes numbers that are not finite for null.
    """

    def __init__(self, make: Callable[[Mapping[str, Any]], Any], schema: Mapping[str, Any]) -> None:
        self._make = make
        self._schema = schema

    @cached_property
    def is_valid(self) -> Callable[[Document], bool]:
        """Whether a document conforms."""
        is_valid: Callable[[Document], bool] = self._make(self._schema).is_valid
        return is_valid

    @cached_property
    def are_valid(self) -> Callable[[list[Document]], bool]:
        """Whether every document of a list conforms. It is faster than `is_valid` for each."""
        are_valid: Callable[[list[Document]], bool] = self._make({"items": self._schema}).is_valid
        return are_valid

    @property
    def is_by_field(self) -> bool:
        """Whether a document conforms if its fields are those of a document that does, and each value conforms by itself."""
        additional = self._schema.get("additionalProperties", True)
        return (
            self._schema.keys() <= _BY_FIELD and self._schema.get("type") == "object" and isinstance(additional, bool)
        )


class CompiledSchema:
    """What validation needs of a release's schema; `compile_schema.compile_schema` creates it."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content = content
        self._checks: dict[str, Check] = {}

    @classmethod
    def read(cls, path: Path) -> "CompiledSchema":
        return cls(json.loads(path.read_text(encoding="utf-8")))

    @property
    def calls_plugin(self) -> bool:
        """Whether the release's plugin has to be called for each document, because its rules are not compiled."""
        return bool(self.content["rules"] == "called")

    def checks(self, collection: str) -> tuple[dict[str, Check], Check | None]:
        """The checks for documents of a collection, by `type`, and the one for documents with no known `type`.

        The collection may not hold a document for which there is no check.
        """
        content = self.content["collections"].get(collection)
        if content is None:
            return {}, None
        otherwise = content["otherwise"]
        by_type = {type_: self._check(name) for type_, name in content["types"].items()}
        return by_type, None if otherwise is None else self._check(otherwise)

    def prepare(self) -> None:
        """Make the checks of every collection, which are otherwise made at their first use."""
        for collection in self.content["collections"]:
            by_type, otherwise = self.checks(collection)
            for check in (*by_type.values(), *([otherwise] if otherwise else [])):
                check.is_valid({})
                check.are_valid([])

    def linkml_json_schema(self, class_name: str) -> dict[str, Any]:
        """The JSON Schema of a class as LinkML generated it, for LinkML's own validator."""
        linkml = self.content["linkml"]
        return {**linkml["classes"][class_name], "$defs": linkml["definitions"]}

    def _check(self, class_name: str) -> Check:
        if class_name not in self._checks:
            self._checks[class_name] = Check(self._validator, self.content["classes"][class_name])
        return self._checks[class_name]

    def _validator(self, schema: Mapping[str, Any]) -> Any:
        definitions = _definitions_used(schema, self.content["definitions"])
        whole = {"$schema": self.content["dialect"], **schema, "$defs": definitions}
        return jsonschema_rs.validator_for(whole, formats=self._formats, validate_formats=True)

    @cached_property
    def _formats(self) -> dict[str, Callable[[str], bool]]:
        patterns: dict[str, Callable[[str], bool]] = {}
        for number, pattern in enumerate(self.content["patterns"]):
            patterns[f"pattern:{number}:long"] = matches = _make_matcher(pattern)
            patterns[f"pattern:{number}"] = lru_cache(_CACHED_TEXTS)(matches)
        # The processes that validate need it; the one that starts them reads other parts of the content.
        import jsonschema

        checker = jsonschema.validators.validator_for({"$schema": self.content["dialect"]}).FORMAT_CHECKER
        return patterns | {f"format:{name}": partial(_conforms, checker, name) for name in self.content["formats"]}


def _definitions_used(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """The definitions that a schema refers to, directly or through others. All are read for every validator, and all of a
    release take many times as long as those of one class.
    """
    used: dict[str, Any] = {}
    parts: list[Any] = [schema]
    while parts:
        part = parts.pop()
        if isinstance(part, Mapping):
            reference = part.get("$ref")
            if isinstance(reference, str):
                name = unquote(reference.removeprefix(_DEFINITION))
                if name not in definitions:
                    # It points into a definition, or elsewhere.
                    return definitions
                if name not in used:
                    used[name] = definitions[name]
                    parts.append(definitions[name])
            parts.extend(part.values())
        elif isinstance(part, list):
            parts.extend(part)
    return used


def _make_matcher(pattern: str) -> Callable[[str], bool]:
    search = re.compile(pattern).search
    return lambda text: search(text) is not None


def _conforms(checker: Any, name: str, text: str) -> bool:
    return bool(checker.conforms(text, name))
