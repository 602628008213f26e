"""What a release's schema says about classes and collections: which class a document is of, and where it may be."""

from dataclasses import dataclass

from linkml_runtime import SchemaView

DATABASE = "Database"


@dataclass(frozen=True)
class SchemaIndex:
    """Classes by the `type` of documents, and the classes that each collection takes.

    Attributes:
        class_of_type: name of a class by its CURIE, "nmdc:Biosample" -> "Biosample", and by its IRI, which LinkML
            takes as well.
        allowed: names of the classes whose documents a collection may hold, by collection. No abstract one is
            among them: LinkML accepts a document of an abstract class, which lacks what the real ones require.
        range_of: the class that a collection is declared to hold, the most general of the allowed ones.
        type_required: whether documents carry their class. Before schema 11.0.0 there was a slot named `type` too,
            but it did not designate the class.
    """

    class_of_type: dict[str, str]
    allowed: dict[str, frozenset[str]]
    range_of: dict[str, str]
    type_required: bool


def index_schema(view: SchemaView) -> SchemaIndex:
    """Read the schema once.

    The class of a document is found by its `type`, which is the class's `class_uri`.
    """
    class_of_type = {view.get_uri(name, expand=True): str(name) for name in view.all_classes()}
    class_of_type |= {view.get_uri(name): str(name) for name in view.all_classes()}
    allowed = {}
    range_of = {}
    for slot in view.class_induced_slots(DATABASE):
        # Where there are options, the range is only what they have in common.
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
