"""What a release's schema says about classes and collections: which class a document is of, and where it may be."""

from dataclasses import dataclass

from linkml_runtime import SchemaView

DATABASE = "Database"


@dataclass(frozen=True)
class SchemaIndex:
    """Classes by the `type` of documents, and the classes that each collection takes.

    Attributes:
        class_of_type: name of a class by its CURIE, "nmdc:Biosample" -> "Biosample".
        allowed: names of the classes whose documents a collection may hold, by collection.
        range_of: the class that a collection is declared to hold, the most general of the allowed ones.
        type_required: whether documents carry their class; those before schema 11.0.0 do not.
    """

    class_of_type: dict[str, str]
    allowed: dict[str, frozenset[str]]
    range_of: dict[str, str]
    type_required: bool


def index_schema(view: SchemaView) -> SchemaIndex:
    """Read the schema once.

    The class of a document is found by its `type`, which is the class's `class_uri`.
    """
    class_of_type = {view.get_uri(name): str(name) for name in view.all_classes()}
    allowed = {}
    range_of = {}
    for slot in view.class_induced_slots(DATABASE):
        range_of[str(slot.name)] = str(slot.range)
        ranges = [slot.range, *(option.range for option in slot.any_of)]
        allowed[str(slot.name)] = frozenset(
            str(descendant)
            for range_ in ranges
            if range_ in view.all_classes()
            for descendant in view.class_descendants(range_)
        )
    return SchemaIndex(
        class_of_type=class_of_type,
        allowed=allowed,
        range_of=range_of,
        type_required=any("type" in view.class_slots(name) for names in allowed.values() for name in names),
    )
