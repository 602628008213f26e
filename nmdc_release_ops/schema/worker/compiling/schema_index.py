"""The classes and collections of a release's schema: the class of a document, and the classes that a collection may hold."""

from dataclasses import dataclass

from linkml_runtime import SchemaView

DATABASE = "Database"


@dataclass(frozen=True)
class SchemaIndex:
    """Classes by the `type` of documents, and the classes that each collection may hold.

    Attributes:
        class_of_type: name of a class by its CURIE, "nmdc:Biosample" -> "Biosample", and by its IRI, which LinkML
            accepts as well.
        allowed: names of the classes whose documents a collection may hold, by collection. Abstract classes are
            left out: LinkML would accept their documents, which lack what concrete classes require.
        range_of: the class that a collection is declared to hold: the most general of the allowed classes.
        type_required: whether `type` designates the class. Schemas before 11.0.0 had a slot named `type`, which did
            not.
    """

    class_of_type: dict[str, str]
    allowed: dict[str, frozenset[str]]
    range_of: dict[str, str]
    type_required: bool


def index_schema(view: SchemaView) -> SchemaIndex:
    """Index a schema. The `type` of a document is the `class_uri` of its class."""
    class_of_type = {view.get_uri(name, expand=True): str(name) for name in view.all_classes()}
    class_of_type |= {view.get_uri(name): str(name) for name in view.all_classes()}
    allowed = {}
    range_of = {}
    for slot in view.class_induced_slots(DATABASE):
        # For a slot with options (`any_of`), `range` is only their common ancestor.
        ranges = [option.range for option in slot.any_of if option.range] or [slot.range]
        range_of[str(slot.name)] = str(ranges[0])
        allowed[str(slot.name)] = frozenset(
            str(descendant)
            for range_ in ranges
            if range_ in view.all_classes()
            for descendant in view.class_descendants(range_)
            if not view.get_class(descendant).abstract
        )
    designator = view.all_slots().get("type")
    return SchemaIndex(
        class_of_type=class_of_type,
        allowed=allowed,
        range_of=range_of,
        type_required=designator is not None and bool(designator.designates_type),
    )
