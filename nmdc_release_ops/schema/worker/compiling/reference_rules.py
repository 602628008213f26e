"""Which slots hold references, and where the documents that they name may be, as refscan derives it from a schema."""

from typing import Any

from linkml_runtime import SchemaView
from refscan.lib.helpers import get_collection_name_to_class_names_map, identify_references

from .schema_index import SchemaIndex


def reference_rules(view: SchemaView, index: SchemaIndex) -> dict[str, Any]:
    """What `references.ReferenceRules` reads.

    Per collection: the fields that are references, with the collections they lead to, by what documents say in `type`;
    the same for documents that say nothing, where these have a class all the same; and whether its documents have ids.

    Source: refscan.scanner. It looks at fields of the document itself only, and only at those that are a reference in
    some class that the collection may hold.
    """
    classes = get_collection_name_to_class_names_map(view)
    found = identify_references(schema_view=view, collection_name_to_class_names=classes)
    targets: dict[str, dict[str, set[str]]] = {}
    fields: dict[str, set[str]] = {}
    for reference in found:
        of_class = targets.setdefault(reference.source_class_name, {})
        of_class.setdefault(reference.source_field_name, set()).add(reference.target_collection_name)
        fields.setdefault(reference.source_collection_name, set()).add(reference.source_field_name)

    def rules(collection: str, class_name: str) -> dict[str, list[str]]:
        here = fields.get(collection, set())
        return {name: sorted(to) for name, to in sorted(targets.get(class_name, {}).items()) if name in here}

    described = {}
    for collection, allowed in index.allowed.items():
        types = {said: rules(collection, name) for said, name in index.class_of_type.items()}
        described[collection] = {
            "types": {said: rule for said, rule in types.items() if rule},
            "otherwise": None if index.type_required else rules(collection, index.range_of[collection]),
            "has_ids": any("id" in view.class_slots(name) for name in allowed),
        }
    return described
