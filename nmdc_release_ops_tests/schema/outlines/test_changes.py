"""Every difference between two schemas is found, and whether data may no longer conform."""

from typing import Any

import pytest
from linkml_runtime import SchemaView

from nmdc_release_ops.schema.outlines.changes import (
    Effect,
    SchemaChange,
    compare_outlines,
    find_collections,
    find_holders,
)
from nmdc_release_ops.schema.outlines.outline import Class, Outline, Slot
from nmdc_release_ops.schema.outlines.read_schema import outline_schema, simplify


def slot(ranges: tuple[str, ...] = ("string",), **more: Any) -> Slot:
    return Slot(**{"ranges": ranges, "required": False, "multivalued": False, **more})


def outline(enums: dict[str, tuple[str, ...]] | None = None, **slots: Slot) -> Outline:
    """One collection of samples, which have these slots."""
    return Outline(
        classes={"Sample": Class(type="nmdc:Sample", slots=slots)},
        enums=enums or {},
        collections={"sample_set": ("Sample",)},
    )


@pytest.mark.parametrize(
    ("before", "after", "what", "effect"),
    [
        ({"depth": slot()}, {}, "slot removed", Effect.STRICTER),
        ({}, {"depth": slot()}, "slot added", Effect.LOOSER),
        ({}, {"depth": slot(required=True)}, "required slot added", Effect.STRICTER),
        ({"depth": slot()}, {"depth": slot(required=True)}, "became required", Effect.STRICTER),
        ({"depth": slot(required=True)}, {"depth": slot()}, "is no longer required", Effect.LOOSER),
        ({"depth": slot()}, {"depth": slot(multivalued=True)}, "became multivalued", Effect.STRICTER),
        ({"depth": slot(multivalued=True)}, {"depth": slot()}, "is no longer multivalued", Effect.STRICTER),
        (
            {"depth": slot(("A",))},
            {"depth": slot(("A", "B"))},
            "range changed from A to A or B",
            Effect.LOOSER,
        ),
        ({"depth": slot(("A",))}, {"depth": slot(("B",))}, "range changed from A to B", Effect.STRICTER),
        ({"depth": slot()}, {"depth": slot(pattern="^x$")}, "pattern changed from none to ^x$", Effect.STRICTER),
        ({"depth": slot(pattern="^x$")}, {"depth": slot()}, "pattern changed from ^x$ to none", Effect.LOOSER),
        ({"depth": slot()}, {"depth": slot(minimum=0)}, "minimum changed from none to 0", Effect.STRICTER),
        ({"depth": slot(minimum=1)}, {"depth": slot(minimum=0)}, "minimum changed from 1 to 0", Effect.LOOSER),
        ({"depth": slot(maximum=1)}, {"depth": slot(maximum=0)}, "maximum changed from 1 to 0", Effect.STRICTER),
        ({"depth": slot(maximum=1)}, {"depth": slot()}, "maximum changed from 1 to none", Effect.LOOSER),
        (
            {"depth": slot(("Sample",), parts=("Sample",))},
            {"depth": slot(("Sample",))},
            "became references, were parts",
            Effect.STRICTER,
        ),
        (
            {"depth": slot(("Sample",))},
            {"depth": slot(("Sample",), parts=("Sample",))},
            "became parts of the document, were references",
            Effect.STRICTER,
        ),
    ],
)
def test_a_difference_of_a_slot_is_found(
    before: dict[str, Slot], after: dict[str, Slot], what: str, effect: Effect
) -> None:
    assert compare_outlines(outline(**before), outline(**after)) == [SchemaChange("depth", what, effect, ("Sample",))]


def test_the_same_schema_has_no_differences() -> None:
    same = outline({"Colours": ("red",)}, depth=slot(), colour=slot(("Colours",)))
    assert compare_outlines(same, same) == []


def test_values_that_an_enumeration_lost_are_named_with_the_classes_that_use_it() -> None:
    before = outline({"Colours": ("red", "green")}, colour=slot(("Colours",)))
    after = outline({"Colours": ("red", "blue")}, colour=slot(("Colours",)))
    assert compare_outlines(before, after) == [
        SchemaChange("Colours", "values removed: green", Effect.STRICTER, ("Sample",), ("green",)),
        SchemaChange("Colours", "values added: blue", Effect.LOOSER, ("Sample",)),
    ]


def test_classes_and_collections_that_come_and_go_are_found() -> None:
    before = outline()
    after = Outline(
        classes={"Specimen": Class(type="nmdc:Specimen", slots={})},
        enums={},
        collections={"specimen_set": ("Specimen",)},
    )
    assert {(one.element, one.what, one.effect) for one in compare_outlines(before, after)} == {
        ("sample_set", "collection removed", Effect.STRICTER),
        ("Sample", "class removed", Effect.STRICTER),
        ("specimen_set", "collection added", Effect.LOOSER),
        ("Specimen", "class added", Effect.LOOSER),
    }


def test_a_class_that_moved_to_another_collection_or_out_of_a_slot_is_found() -> None:
    def described(first: tuple[str, ...], second: tuple[str, ...], parts: tuple[str, ...]) -> Outline:
        slots = {"values": slot(("Value",), parts=parts)}
        return Outline(
            classes={name: Class(type=f"nmdc:{name}", slots=slots if name == "A" else {}) for name in "AXY"},
            enums={},
            collections={"first_set": first, "second_set": second},
        )

    before, after = described(("A", "X"), (), ("X", "Y")), described(("A",), ("X",), ("X",))
    changes = compare_outlines(before, after)
    assert changes == [
        SchemaChange("first_set", "no longer holds X", Effect.STRICTER, ("X",)),
        SchemaChange("values", "no longer holds Y", Effect.STRICTER, ("A",)),
        SchemaChange("second_set", "now holds X", Effect.LOOSER, ("X",)),
    ]
    assert find_collections(changes[0], find_holders(before, after)) == ["first_set", "second_set"]


def test_a_part_that_a_slot_loses_while_its_range_becomes_wider_is_found() -> None:
    def described(held: Slot) -> Outline:
        slots = {"A": {"values": held}}
        return Outline(
            classes={name: Class(type=f"nmdc:{name}", slots=slots.get(name, {})) for name in ("A", "P", "P1", "Q")},
            enums={},
            collections={"sample_set": ("A",)},
        )

    before = described(slot(("P",), parts=("P", "P1")))
    # P1 is no longer a P.
    after = described(slot(("P", "Q"), parts=("P", "Q")))
    assert compare_outlines(before, after) == [
        SchemaChange("values", "no longer holds P1", Effect.STRICTER, ("A",)),
        SchemaChange("values", "range changed from P to P or Q", Effect.LOOSER, ("A",)),
    ]


def test_what_is_inherited_by_several_classes_is_one_difference() -> None:
    before, after = (
        Outline(
            classes={name: Class(type=f"nmdc:{name}", slots=slots) for name in ("One", "Other")},
            enums={},
            collections={},
        )
        for slots in ({"depth": slot()}, {})
    )
    assert compare_outlines(before, after) == [SchemaChange("depth", "slot removed", Effect.STRICTER, ("One", "Other"))]


def test_a_change_of_a_part_concerns_the_collections_whose_documents_have_such_parts() -> None:
    def described(parts: Slot) -> Outline:
        return Outline(
            classes={
                "Study": Class(type="nmdc:Study", slots={"people": parts}),
                "Person": Class(type="nmdc:Person", slots={"name": slot()}),
            },
            enums={},
            collections={"study_set": ("Study",), "other_set": ()},
        )

    change = SchemaChange("name", "slot removed", Effect.STRICTER, ("Person",))
    assert find_collections(change, find_holders(described(slot(("Person",), parts=("Person",))))) == ["study_set"]
    assert find_collections(change, find_holders(described(slot(("Person",))))) == [], "a reference is no part"


def test_a_slot_has_the_limits_of_its_type_and_a_part_may_be_of_a_descendant() -> None:
    view = SchemaView(
        """
id: https://example.org/schema
name: example
default_range: string
types:
  string: {uri: "xsd:string", base: str}
  identifier: {typeof: string, pattern: "^a"}
  percentage: {uri: "xsd:float", base: float, minimum_value: 0, maximum_value: 100}
classes:
  Value: {}
  Quantity: {is_a: Value}
  Sample:
    attributes:
      plain: {}
      name: {range: identifier}
      short_name: {range: identifier, pattern: "^.{3}$"}
      cover: {range: percentage, minimum_value: 10, maximum_value: 200}
      measured: {range: Value}
  Database:
    attributes:
      sample_set: {range: Sample, multivalued: true, inlined_as_list: true}
"""
    )
    slots = outline_schema(view).classes["Sample"].slots
    assert (slots["plain"].pattern, slots["name"].pattern) == ("", "^a")
    assert slots["short_name"].pattern == "^.{3}$ and ^a"
    assert (slots["cover"].minimum, slots["cover"].maximum) == (10, 100)
    assert slots["measured"].parts == ("Quantity", "Value") and slots["plain"].parts == ()


@pytest.mark.parametrize(
    ("pattern", "simple"),
    [
        ("^(?:^(nmdc):sty-([0-9])$)$", "^(nmdc):sty-([0-9])$"),
        ("^(?:(nmdc):sty-([0-9]))$", "^(nmdc):sty-([0-9])$"),
        ("^[a-f]{32}$", "^[a-f]{32}$"),
        ("^(?:a)(?:b)$", "^(?:a)(?:b)$"),
        ("^(?:a|b)$", "^(?:a|b)$"),
        ("^a|b$", "^a|b$"),
        (r"^(?:a[)|]b)$", "^a[)|]b$"),
        (r"^(?:a\$)$", r"^a\$$"),
        (r"^(?:a\)b)$", r"^a\)b$"),
        ("x", "x"),
        ("", ""),
    ],
)
def test_only_wrappers_that_say_nothing_are_removed_from_a_pattern(pattern: str, simple: str) -> None:
    assert simplify(pattern) == simple
