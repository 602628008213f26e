"""Every difference between two schemas is found, and whether data may no longer conform."""

from typing import Any

import pytest

from nmdc_release_ops.schema.outlines.changes import (
    Effect,
    SchemaChange,
    compare_outlines,
    find_collections,
    find_holders,
)
from nmdc_release_ops.schema.outlines.outline import Class, Outline, Slot
from nmdc_release_ops.schema.outlines.read_schema import simplify


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
    assert find_collections(change, find_holders(described(slot(("Person",), is_inlined=True)))) == ["study_set"]
    assert find_collections(change, find_holders(described(slot(("Person",))))) == [], "a reference is no part"


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
