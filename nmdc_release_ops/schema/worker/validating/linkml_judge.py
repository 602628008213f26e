"""Validating one document by LinkML's validator with the release's own plugin, and checking its class and collection."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from linkml.validator import Validator
from linkml.validator.plugins import JsonschemaValidationPlugin
from linkml.validator.validation_context import ValidationContext
from linkml_runtime import SchemaView
from nmdc_schema.nmdc_data import get_nmdc_schema_definition

from ..compiling.plugin import load_plugins
from ..compiling.schema_index import index_schema
from ..disk import NotWritten, writing
from .compiled import CompiledSchema, Document
from .violations import Violation, name_of

_PATH_IN_TEXT = re.compile(r"(?<=\bat )/\S*")
_JSON_SCHEMA = "jsonschema validation"


class Judge:
    """Finds the violations of a document, exactly as the release's own validation would."""

    def __init__(self, compiled: CompiledSchema, scratch: Path) -> None:
        """Args:
        compiled: the schema of this environment's release.
        scratch: folder for files that have to exist as long as this object does.
        """
        self._compiled = compiled
        self._scratch = scratch
        self._schema = get_nmdc_schema_definition()
        self._plugins = load_plugins()
        self._index = index_schema(SchemaView(self._schema))
        self._validator = cache(self._make_validator)
        self._context = cache(lambda class_name: ValidationContext(self._schema, class_name))

    def _make_validator(self, class_name: str) -> Validator:
        # LinkML takes seconds to generate JSON Schema, so the one from compiling the schema is used.
        with (
            writing(self._scratch),
            NamedTemporaryFile("w", suffix=".json", dir=self._scratch, delete=False) as file,
        ):
            # Many times as fast as `json.dump`.
            file.write(json.dumps(self._compiled.linkml_json_schema(class_name)))
        json_schema_plugin = JsonschemaValidationPlugin(json_schema_path=file.name)
        return Validator(self._schema, validation_plugins=[json_schema_plugin, *self._plugins])

    def violations(self, collection: str, document: Document) -> Iterator[Violation]:
        """Each violation of a document, with LinkML's message."""
        identifier = name_of(document)
        class_name, fault = self._class_of(collection, document)
        if fault:
            yield Violation(collection, identifier, class_name or "", "/type", *fault)
        if class_name is None:
            return
        without_id = {key: value for key, value in document.items() if key != "_id"}
        try:
            for result in self._validator(class_name).iter_results(without_id, class_name):
                yield Violation(collection, identifier, class_name, *_parse_result(result))
        except NotWritten:
            raise
        except Exception as error:
            # A document on which the validator itself fails was not found valid.
            message = f"The validator failed on this document: {type(error).__name__}: {error}"
            yield Violation(collection, identifier, class_name, "", "not judged", message)

    def rules_accept(self, collection: str, document: Document) -> bool:
        """Whether the release's own rules, those of its plugin, accept a document. The document has no `_id`."""
        class_name, fault = self._class_of(collection, document)
        if class_name is None or fault:
            return False
        return not any(True for plugin in self._plugins for _ in plugin.process(document, self._context(class_name)))

    def _class_of(self, collection: str, document: Document) -> tuple[str | None, tuple[str, str] | None]:
        """The class to validate by, None if it is unknown; and what is wrong with it, as (kind, message)."""
        allowed = self._index.allowed.get(collection)
        if allowed is None:
            return None, ("unknown collection", f"The schema describes no collection {collection}")
        if not self._index.type_required:
            # Some documents name their class nevertheless, if a collection may hold several.
            named_class = self._index.class_of_type.get(str(document.get("type")))
            return (named_class if named_class in allowed else self._index.range_of[collection]), None
        if "type" not in document:
            return None, ("type missing", "The document does not name its class")
        class_name = self._index.class_of_type.get(str(document["type"]))
        if class_name is None:
            return None, ("type unknown", f"The schema has no class {document['type']!r}")
        if class_name not in allowed:
            return class_name, ("class not allowed", f"{collection} may not hold documents of class {class_name}")
        return class_name, None


def _parse_result(result: Any) -> tuple[str, str, str]:
    """Path, kind and message of a result of one of LinkML's plugins.

    The kind is the JSON Schema keyword that is violated ("required", "pattern"). For other plugins it is their name.
    """
    # The error itself, which only newer versions of LinkML pass on.
    error = getattr(result, "source", None)
    if error is not None:
        path = "/" + "/".join(str(part) for part in error.absolute_path)
        return path, str(error.validator), result.message.removesuffix(f" in {path}")
    message, separator, path = result.message.rpartition(" in /")
    if separator and result.type == _JSON_SCHEMA:
        return f"/{path}", result.type, message
    match = _PATH_IN_TEXT.search(result.message)
    return (match[0] if match else ""), result.type, result.message
