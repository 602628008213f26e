"""Judging one document: LinkML's validator with the release's own plugin, and whether its class may be where it is."""

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from linkml.validator import Validator
from linkml.validator.plugins import JsonschemaValidationPlugin
from linkml_runtime import SchemaView
from nmdc_schema.nmdc_data import get_nmdc_schema_definition

from .schema_index import index_schema

_PLUGIN = "nmdc_schema.nmdc_schema_validation_plugin"


class Judge:
    """Finds what is wrong with documents, exactly as the release's own validation would."""

    def __init__(self) -> None:
        schema = get_nmdc_schema_definition()
        plugins: list[Any] = [JsonschemaValidationPlugin(closed=True)]
        # Releases before 11.16 have no rules of their own.
        if find_spec(_PLUGIN):
            plugins.append(import_module(_PLUGIN).NmdcSchemaValidationPlugin())
        self._validator = Validator(schema, validation_plugins=plugins)
        self._index = index_schema(SchemaView(schema))

    def violations(self, collection: str, document: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Each violation of a document: collection, id, class, path, kind (as `violation`) and message."""
        identifier = str(document.get("id", document.pop("_id", None)))
        document.pop("_id", None)
        found_class, fault = self._class_of(collection, document)
        if fault:
            yield _violation(collection, identifier, found_class, "/type", *fault)
        if found_class is None:
            return
        for result in self._validator.iter_results(document, found_class):
            message, separator, path = result.message.rpartition(" in ")
            # Where in the document: the end of what LinkML's JSON Schema plugin says.
            if not separator or not path.startswith("/"):
                message, path = result.message, ""
            yield _violation(collection, identifier, found_class, path, result.type, message)

    def _class_of(self, collection: str, document: dict[str, Any]) -> tuple[str | None, tuple[str, str] | None]:
        """The class to judge by, None where it cannot be told; and what is wrong with it, as (kind, message)."""
        allowed = self._index.allowed.get(collection)
        if allowed is None:
            return None, ("unknown collection", f"The schema describes no collection {collection}")
        if not self._index.type_required:
            return self._index.range_of[collection], None
        if "type" not in document:
            return None, ("type missing", "The document does not say of which class it is")
        found_class = self._index.class_of_type.get(str(document["type"]))
        if found_class is None:
            return None, ("type unknown", f"The schema has no class {document['type']!r}")
        if found_class not in allowed:
            return found_class, ("class not allowed", f"{collection} may not hold documents of class {found_class}")
        return found_class, None


def _violation(
    collection: str, identifier: str, found_class: str | None, path: str, kind: str, message: str
) -> dict[str, Any]:
    return {
        "collection": collection,
        "id": identifier,
        "class": found_class,
        "path": path,
        "violation": kind,
        "message": message,
    }
