"""Judging one document: LinkML's validator with the release's own plugin, and whether its class may be where it is."""

import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from linkml.validator import Validator
from linkml.validator.plugins import JsonschemaValidationPlugin
from linkml_runtime import SchemaView
from nmdc_schema.nmdc_data import get_nmdc_schema_definition

from .schema_index import index_schema

LONGEST_MESSAGE = 2_000
"""Characters; JSON Schema quotes the whole value that it does not accept."""
_PATH_IN_TEXT = re.compile(r"(?<=\bat )/\S*")
_JSON_SCHEMA = "jsonschema validation"
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
        identifier = str(document.get("id", document.get("_id")))
        document.pop("_id", None)
        found_class, fault = self._class_of(collection, document)
        if fault:
            yield _violation(collection, identifier, found_class, "/type", *fault)
        if found_class is None:
            return
        try:
            for result in self._validator.iter_results(document, found_class):
                yield _violation(collection, identifier, found_class, *_read(result))
        except Exception as error:
            # A document that makes the validator itself fail has not been found valid.
            message = f"The validator could not judge it: {type(error).__name__}: {error}"
            yield _violation(collection, identifier, found_class, "", "not judged", message)

    def _class_of(self, collection: str, document: dict[str, Any]) -> tuple[str | None, tuple[str, str] | None]:
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
        return path, str(error.validator), _bounded(result.message.removesuffix(f" in {path}"))
    message, separator, path = result.message.rpartition(" in /")
    if separator and result.type == _JSON_SCHEMA:
        return f"/{path}", result.type, _bounded(message)
    found = _PATH_IN_TEXT.search(result.message)
    return (found[0] if found else ""), result.type, _bounded(result.message)


def _bounded(message: str) -> str:
    return message if len(message) <= LONGEST_MESSAGE else message[:LONGEST_MESSAGE] + "..."


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
