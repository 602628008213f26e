"""Judges documents by a schema release's own rules. Run with the Python of that release's environment.

Reads JSON lines on stdin, each a pair of a collection's name and a document without its `_id`, and prints a report as
JSON. Validity is what LinkML's validator and the release's own plugin say. What a reference is comes from the schema:
a slot whose range is a class with an identifier and that is not inlined.
"""

import json
import sys
from functools import cache

from linkml.validator import Validator
from linkml.validator.plugins import JsonschemaValidationPlugin
from linkml_runtime import SchemaView
from nmdc_schema.nmdc_data import get_nmdc_schema_definition
from nmdc_schema.nmdc_schema_validation_plugin import NmdcSchemaValidationPlugin

definition = get_nmdc_schema_definition()
view = SchemaView(definition)
validator = Validator(
    definition,
    validation_plugins=[JsonschemaValidationPlugin(closed=True), NmdcSchemaValidationPlugin()],
)
class_of_type = {str(view.get_uri(view.get_class(name))): name for name in view.all_classes()}


def descendants(slot):
    """Every class that a value of a slot may be of; nothing if its range is no class."""
    ranges = [expression.range for expression in slot.any_of] or [slot.range]
    return {name for r in ranges if r in view.all_classes() for name in view.class_descendants(r)}


allowed_in = {slot.name: descendants(slot) for slot in view.class_induced_slots("Database")}


@cache
def reference_slots(class_name):
    """The slots of a class that hold ids of other documents, with the classes that those may be of."""
    return {
        slot.name: classes
        for slot in view.class_induced_slots(class_name)
        if (classes := descendants(slot))
        and all(view.get_identifier_slot(name) for name in classes)
        and not view.is_inlined(slot)
    }


def references(document, class_name):
    """Every reference of a document, those of the objects inside it included: slot, id, allowed classes."""
    slots = reference_slots(class_name)
    for name, value in document.items():
        for item in value if isinstance(value, list) else [value]:
            if name in slots and isinstance(item, str):
                yield name, item, slots[name]
            elif isinstance(item, dict):
                yield from references(item, class_of_type[item["type"]])


counts, violations, seen, duplicates = {}, [], {}, []
pending = {}
for line in sys.stdin:
    collection, document = json.loads(line)
    class_name = class_of_type.get(document.get("type"))
    counts.setdefault(collection, {}).setdefault(class_name, 0)
    counts[collection][class_name] += 1
    where = [collection, document.get("id")]
    if class_name not in allowed_in[collection]:
        violations.append([*where, f"{class_name} is not allowed in {collection}"])
        continue
    violations += [[*where, result.message] for result in validator.validate(document, class_name).results]
    if "id" in document:
        if document["id"] in seen:
            duplicates.append(document["id"])
        seen[document["id"]] = class_name
    for slot, target, classes in references(document, class_name):
        pending.setdefault((class_name, slot, target), classes)

broken = [
    [*reference, seen.get(reference[2])]
    for reference, classes in pending.items()
    if seen.get(reference[2]) not in classes
]
json.dump(
    {
        "collections": sorted(allowed_in),
        "counts": counts,
        "violations": violations,
        "duplicates": duplicates,
        "broken_references": broken,
        "references": sorted({f"{class_name}.{slot}" for class_name, slot, _ in pending}),
    },
    sys.stdout,
)
