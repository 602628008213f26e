"""The schema as `compile_schema` wrote it: how documents are told to conform, without LinkML."""

import json
import re
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import jsonschema
import jsonschema_rs

Document = dict[str, Any]

_REMEMBERED = 1_024
"""Texts per pattern of which it is remembered whether they match: many documents say the same."""


class Check:
    """How documents of a class are told to conform.

    It raises ValueError for values that JSON has no word for, and takes numbers that are not finite for null.
    """

    def __init__(self, make: Callable[[Mapping[str, Any]], Any], schema: Mapping[str, Any]) -> None:
        self._make = make
        self._schema = schema

    @cached_property
    def one(self) -> Callable[[Document], bool]:
        """Whether a document conforms."""
        conforms: Callable[[Document], bool] = self._make(self._schema).is_valid
        return conforms

    @cached_property
    def all(self) -> Callable[[list[Document]], bool]:
        """Whether each of a list of documents does, which takes less time."""
        conform: Callable[[list[Document]], bool] = self._make({"items": self._schema}).is_valid
        return conform


class CompiledSchema:
    """What validation needs to know of a release's schema, as `compile_schema.compile_schema` describes it."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content = content
        self._checks: dict[str, Check] = {}

    @classmethod
    def read(cls, path: Path) -> "CompiledSchema":
        return cls(json.loads(path.read_text(encoding="utf-8")))

    @property
    def calls_plugin(self) -> bool:
        """Whether the release has rules of its own that are not compiled, and are to be asked about each document."""
        return bool(self.content["rules"] == "called")

    def checks(self, collection: str) -> tuple[dict[str, Check], Check | None]:
        """How documents of a collection are checked, by what they say in `type`, and those that say nothing of use.

        A document for which there is no check is not one that the collection may hold.
        """
        described = self.content["collections"].get(collection)
        if described is None:
            return {}, None
        otherwise = described["otherwise"]
        by_type = {said: self._check(name) for said, name in described["types"].items()}
        return by_type, None if otherwise is None else self._check(otherwise)

    def linkml_json_schema(self, class_name: str) -> dict[str, Any]:
        """The JSON Schema of a class as LinkML made it, for LinkML's own validator."""
        linkml = self.content["linkml"]
        return {**linkml["classes"][class_name], "$defs": linkml["definitions"]}

    def _check(self, class_name: str) -> Check:
        if class_name not in self._checks:
            self._checks[class_name] = Check(self._validator, self.content["classes"][class_name])
        return self._checks[class_name]

    def _validator(self, schema: Mapping[str, Any]) -> Any:
        whole = {"$schema": self.content["dialect"], **schema, "$defs": self.content["definitions"]}
        return jsonschema_rs.validator_for(whole, formats=self._formats, validate_formats=True)

    @cached_property
    def _formats(self) -> dict[str, Callable[[str], bool]]:
        patterns: dict[str, Callable[[str], bool]] = {}
        for number, pattern in enumerate(self.content["patterns"]):
            patterns[f"pattern:{number}:long"] = matching = _matching(pattern)
            patterns[f"pattern:{number}"] = lru_cache(_REMEMBERED)(matching)
        checker = jsonschema.validators.validator_for({"$schema": self.content["dialect"]}).FORMAT_CHECKER
        return patterns | {f"format:{name}": partial(_conforms, checker, name) for name in self.content["formats"]}


def _matching(pattern: str) -> Callable[[str], bool]:
    search = re.compile(pattern).search
    return lambda text: search(text) is not None


def _conforms(checker: Any, name: str, text: str) -> bool:
    return bool(checker.conforms(text, name))
