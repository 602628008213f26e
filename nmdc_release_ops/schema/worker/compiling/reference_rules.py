"""Which slots hold references, and to which collections, as refscan derives it from a schema."""

from typing import Any

from linkml_runtime import SchemaView
from refscan.lib.helpers import get_collection_name_to_class_names_map, identify_references

from .schema_index import SchemaIndex


def reference_rules(view: SchemaView, index: SchemaIndex) -> dict[str, Any]:
    """The content of a `references.ReferenceRules`.

    Per collection: by the `type` of a document, the fields that are references, with the collections they may point to; the
    same for documents without a `type`, if the schema allows those; and whether its documents have ids.

    Source: refscan.scanner. It only looks at top-level fields, and only at those that are references in some
    class that the collection may hold.
    """
    classes = get_collection_name_to_class_names_map(view)
    references = identify_references(schema_view=view, collection_name_to_class_names=classes)
    targets: dict[str, dict[str, set[str]]] = {}
    fields: dict[str, set[str]] = {}
    for reference in references:
        of_class = targets.setdefault(reference.source_class_name, {})
        of_class.setdefault(reference.source_field_name, set()).add(reference.target_collection_name)
        fields.setdefault(reference.source_collection_name, set()).add(reference.source_field_name)

    def rules(collection: str, class_name: str) -> dict[str, list[str]]:
        collection_fields = fields.get(collection, set())
        return {
            name: sorted(to) for name, to in sorted(targets.get(class_name, {}).items()) if name in collection_fields
        }

    rules_by_collection = {}
    for collection, allowed in index.allowed.items():
        types = {type_: rules(collection, name) for type_, name in index.class_of_type.items()}
        rules_by_collection[collection] = {
            "types": {type_: rule for type_, rule in types.items() if rule},
            "otherwise": None if index.type_required else rules(collection, index.range_of[collection]),
            "has_ids": any("id" in view.class_slots(name) for name in allowed),
        }
    return rules_by_collection
