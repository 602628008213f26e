"""Judging one document: LinkML's validator with the release's own plugin, and whether its class may be where it is."""

import json
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from linkml.validator import Validator
from linkml.validator.plugins import JsonschemaValidationPlugin
from linkml.validator.validation_context import ValidationContext
from linkml_runtime import SchemaView
from nmdc_schema.nmdc_data import get_nmdc_schema_definition

from ..compiling.schema_index import index_schema
from ..disk import NotWritten, writing
from ..release import PLUGIN
from .compiled import CompiledSchema, Document
from .violations import Violation, named

_PATH_IN_TEXT = re.compile(r"(?<=\bat )/\S*")
_JSON_SCHEMA = "jsonschema validation"


class Judge:
    """Finds what is wrong with documents, exactly as the release's own validation would."""

    def __init__(self, compiled: CompiledSchema, scratch: Path) -> None:
        """Args:
        compiled: of the release whose environment this is.
        scratch: folder for files that are needed as long as this is.
        """
        self._compiled = compiled
        self._scratch = scratch
        self._schema = get_nmdc_schema_definition()
        # Releases before 11.16 have no rules of their own.
        self._rules: list[Any] = [import_module(PLUGIN).NmdcSchemaValidationPlugin()] if find_spec(PLUGIN) else []
        self._index = index_schema(SchemaView(self._schema))
        self._validator = cache(self._make_validator)
        self._context = cache(lambda class_name: ValidationContext(self._schema, class_name))

    def _make_validator(self, class_name: str) -> Validator:
        # LinkML takes seconds to make JSON Schema of a schema. It did when the schema was compiled.
        with (
            writing(self._scratch),
            NamedTemporaryFile("w", suffix=".json", dir=self._scratch, delete=False) as file,
        ):
            json.dump(self._compiled.linkml_json_schema(class_name), file)
        judging = JsonschemaValidationPlugin(json_schema_path=file.name)
        return Validator(self._schema, validation_plugins=[judging, *self._rules])

    def violations(self, collection: str, document: Document) -> Iterator[Violation]:
        """Each violation of a document, in the words of LinkML."""
        identifier = named(document)
        found_class, fault = self._class_of(collection, document)
        if fault:
            yield Violation(collection, identifier, found_class or "", "/type", *fault)
        if found_class is None:
            return
        judged = {key: value for key, value in document.items() if key != "_id"}
        try:
            for result in self._validator(found_class).iter_results(judged, found_class):
                yield Violation(collection, identifier, found_class, *_read(result))
        except NotWritten:
            raise
        except Exception as error:
            # A document that makes the validator itself fail has not been found valid.
            message = f"The validator could not judge it: {type(error).__name__}: {error}"
            yield Violation(collection, identifier, found_class, "", "not judged", message)

    def rules_accept(self, collection: str, document: Document) -> bool:
        """Whether the release's own rules, those of its plugin, accept a document, which comes without its `_id`."""
        found_class, fault = self._class_of(collection, document)
        if found_class is None or fault:
            return False
        return not any(True for rule in self._rules for _ in rule.process(document, self._context(found_class)))

    def _class_of(self, collection: str, document: Document) -> tuple[str | None, tuple[str, str] | None]:
        """The class to judge by, None where it cannot be told; and what is wrong with it, as (kind, message)."""
        allowed = self._index.allowed.get(collection)
        if allowed is None:
            return None, ("unknown collection", f"The schema describes no collection {collection}")
        if not self._index.type_required:
            # Some say their class nevertheless, where a collection takes several.
            said = self._index.class_of_type.get(str(document.get("type")))
            return (said if said in allowed else self._index.range_of[collection]), None
        if "type" not in document:
            return None, ("type missing", "The document does not say of which class it is")
        found_class = self._index.class_of_type.get(str(document["type"]))
        if found_class is None:
            return None, ("type unknown", f"The schema has no class {document['type']!r}")
        if found_class not in allowed:
            return found_class, ("class not allowed", f"{collection} may not hold documents of class {found_class}")
        return found_class, None


def _read(result: Any) -> tuple[str, str, str]:
    """Path, kind and message of what one of LinkML's plugins found.

    The kind is the JSON Schema keyword that is not met ("required", "pattern"); other plugins only have a name.
    """
    # The error itself; only newer versions of LinkML hand it on.
    error = getattr(result, "source", None)
    if error is not None:
        path = "/" + "/".join(str(part) for part in error.absolute_path)
        return path, str(error.validator), result.message.removesuffix(f" in {path}")
    message, separator, path = result.message.rpartition(" in /")
    if separator and result.type == _JSON_SCHEMA:
        return f"/{path}", result.type, message
    found = _PATH_IN_TEXT.search(result.message)
    return (found[0] if found else ""), result.type, result.message
