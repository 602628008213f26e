"""The release's own validation rules: a plugin for LinkML's validator. Releases before 11.16 have none."""

import hashlib
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from linkml_runtime import SchemaView

PLUGIN = "nmdc_schema.nmdc_schema_validation_plugin"
# The digest of the plugin's file in every release from 11.16.0 to 11.25. Its only rule, on storage units, can be compiled.
# Any other plugin is called for each document instead.
KNOWN_DIGEST = "ae3b67d6d6219e01b2735015f2f713f0127d6bf3261db70ade14547fd7733ed0"


def load_plugins() -> list[Any]:
    """The release's plugin for LinkML's validator, if it has one."""
    return [import_module(PLUGIN).NmdcSchemaValidationPlugin()] if find_spec(PLUGIN) else []


def choose_rules() -> str:
    """How the release's own rules are checked: "none", "compiled" into the schema, or the plugin "called" per document."""
    if not find_spec(PLUGIN):
        return "none"
    return "compiled" if _digest() == KNOWN_DIGEST else "called"


def storage_units(view: SchemaView) -> Iterator[tuple[str, list[str]]]:
    """Each slot that allows only some units, with these units."""
    (plugin,) = load_plugins()
    for name in view.all_slots():
        units = plugin._slot_storage_units(view, name)
        if units:
            yield str(name), units


def _digest() -> str:
    spec = find_spec(PLUGIN)
    if spec is None or spec.origin is None:
        return ""
    return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()
