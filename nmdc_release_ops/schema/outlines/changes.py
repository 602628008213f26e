"""What the schema changes between two releases, and which of it the data may not meet."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from enum import StrEnum

from nmdc_release_ops.schema.outlines.outline import Class, Outline, Slot

REQUIRED_ADDED = "required slot added"
BECAME_REQUIRED = "became required"


class Effect(StrEnum):
    """What a change means for data that conform to the earlier schema."""

    STRICTER = "stricter"
    """Some of them may no longer conform."""
    LOOSER = "looser"
    """All of them still conform."""


@dataclass(frozen=True)
class SchemaChange:
    """A difference between two schemas, in one or several classes.

    Attributes:
        element: name of the class, slot or enumeration.
        what: the difference, a clause for people.
        classes: those that it is in; empty where they cannot be in data.
        values: of an enumeration, if it lost some.
    """

    element: str
    what: str
    effect: Effect
    classes: tuple[str, ...]
    values: tuple[str, ...] = ()


def compare_outlines(before: Outline, after: Outline) -> list[SchemaChange]:
    """Every difference, the stricter ones first. What is the same in several classes, because they inherit it, is one."""
    classes: dict[tuple[str, str, Effect, tuple[str, ...]], list[str]] = defaultdict(list)
    for name, element, what, effect, values in _compare(before, after):
        classes[element, what, effect, values].append(name)
    found = [
        SchemaChange(element, what, effect, tuple(sorted(filter(None, names))), values)
        for (element, what, effect, values), names in classes.items()
    ]
    return sorted(found, key=lambda change: (change.effect is Effect.LOOSER, change.element, change.what))


_Difference = tuple[str, str, str, Effect, tuple[str, ...]]
"""Class, element, difference, effect, and lost values of an enumeration."""


def _compare(before: Outline, after: Outline) -> Iterator[_Difference]:
    for name in before.collections.keys() - after.collections.keys():
        yield "", name, "collection removed", Effect.STRICTER, ()
    for name in after.collections.keys() - before.collections.keys():
        yield "", name, "collection added", Effect.LOOSER, ()
    kept = before.classes.keys() & after.classes.keys()
    for name in before.collections.keys() & after.collections.keys():
        for held, what, effect in _compare_held(before.collections[name], after.collections[name], kept):
            yield held, name, what, effect, ()
    for name in before.classes.keys() - after.classes.keys():
        yield name, name, "class removed", Effect.STRICTER, ()
    for name in after.classes.keys() - before.classes.keys():
        yield name, name, "class added", Effect.LOOSER, ()
    for name in sorted(kept):
        for slot, what, effect in _compare_class(before.classes[name], after.classes[name], kept):
            yield name, slot, what, effect, ()
    yield from _compare_enums(before, after)


def _compare_held(before: Iterable[str], after: Iterable[str], kept: Set[str]) -> Iterator[tuple[str, str, Effect]]:
    """Which classes a collection or a slot may hold, of those that both schemas have: class, difference, effect."""
    for name in (set(before) - set(after)) & kept:
        yield name, f"no longer holds {name}", Effect.STRICTER
    for name in (set(after) - set(before)) & kept:
        yield name, f"now holds {name}", Effect.LOOSER


def _compare_class(before: Class, after: Class, kept: Set[str]) -> Iterator[tuple[str, str, Effect]]:
    if before.type != after.type:
        yield "type", f"changed from {before.type} to {after.type}", Effect.STRICTER
    for name in before.slots.keys() - after.slots.keys():
        yield name, "slot removed", Effect.STRICTER
    for name in after.slots.keys() - before.slots.keys():
        if after.slots[name].required:
            yield name, REQUIRED_ADDED, Effect.STRICTER
        else:
            yield name, "slot added", Effect.LOOSER
    for name in before.slots.keys() & after.slots.keys():
        for what, effect in _compare_slots(before.slots[name], after.slots[name], kept):
            yield name, what, effect


def _compare_slots(before: Slot, after: Slot, kept: Set[str]) -> Iterator[tuple[str, Effect]]:
    if before.required != after.required:
        yield (BECAME_REQUIRED, Effect.STRICTER) if after.required else ("is no longer required", Effect.LOOSER)
    if before.multivalued != after.multivalued:
        yield ("became multivalued" if after.multivalued else "is no longer multivalued"), Effect.STRICTER
    wider = set(before.ranges) <= set(after.ranges)
    if before.ranges != after.ranges:
        what = f"range changed from {' or '.join(before.ranges)} to {' or '.join(after.ranges)}"
        yield what, Effect.LOOSER if wider else Effect.STRICTER
    # Of ranges that have nothing in common, the values are others anyway.
    if bool(before.parts) != bool(after.parts) and set(before.ranges) & set(after.ranges):
        what = "became parts of the document, were references" if after.parts else "became references, were parts"
        yield what, Effect.STRICTER
    # A range that became wider says which parts there are now, and not which of the earlier ones are no longer among them.
    if before.parts and after.parts and wider:
        for _, what, effect in _compare_held(before.parts, after.parts, kept):
            if before.ranges == after.ranges or effect is Effect.STRICTER:
                yield what, effect
    if before.pattern != after.pattern:
        what = f"pattern changed from {before.pattern or 'none'} to {after.pattern or 'none'}"
        yield what, Effect.STRICTER if after.pattern else Effect.LOOSER
    for limit, was, now in (
        ("minimum", before.minimum, after.minimum),
        ("maximum", before.maximum, after.maximum),
    ):
        if was != now:
            yield f"{limit} changed from {_show(was)} to {_show(now)}", _effect_of_limit(limit, was, now)


def _effect_of_limit(limit: str, was: float | None, now: float | None) -> Effect:
    if now is None:
        return Effect.LOOSER
    if was is None:
        return Effect.STRICTER
    return Effect.STRICTER if (now > was) == (limit == "minimum") else Effect.LOOSER


def _show(limit: float | None) -> str:
    return "none" if limit is None else f"{limit:g}"


def _compare_enums(before: Outline, after: Outline) -> Iterator[_Difference]:
    users = _find_users(before)
    for name in before.enums.keys() & after.enums.keys():
        was, now = before.enums[name], after.enums[name]
        lost = tuple(value for value in was if value not in now)
        gained = [value for value in now if value not in was]
        for user in users.get(name, [""]):
            if lost:
                yield user, name, f"values removed: {_list(lost)}", Effect.STRICTER, lost
            if gained:
                yield user, name, f"values added: {_list(gained)}", Effect.LOOSER, ()


def _find_users(outline: Outline) -> Mapping[str, list[str]]:
    """The classes that have a slot whose values are of an enumeration, by its name."""
    users: dict[str, list[str]] = defaultdict(list)
    for name, described in outline.classes.items():
        for enum in {one for slot in described.slots.values() for one in slot.ranges} & outline.enums.keys():
            users[enum].append(name)
    return users


_LISTED = 8


def _list(values: Iterable[str]) -> str:
    names = list(values)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def find_collections(change: SchemaChange, holders: Mapping[str, Set[str]]) -> list[str]:
    """The collections whose documents, or parts of them, are of a class that changes; a collection that changes itself.

    Args:
        holders: as `find_holders` returns it.
    """
    return sorted(set().union(*(holders.get(name, set()) for name in change.classes or [change.element])))


def find_holders(*outlines: Outline) -> Mapping[str, Set[str]]:
    """By the name of a class, the collections whose documents, or parts of them, are of it; by that of a collection, itself."""
    holders: dict[str, set[str]] = defaultdict(set)
    for outline in outlines:
        for name, classes in outline.collections.items():
            for held in (name, *find_parts(outline, classes)):
                holders[held].add(name)
    return holders


def find_nested(outline: Outline) -> set[str]:
    """The classes that parts of documents may be of."""
    documents = {name for held in outline.collections.values() for name in held} & outline.classes.keys()
    slots = (slot for name in documents for slot in outline.classes[name].slots.values())
    return find_parts(outline, {part for slot in slots for part in slot.parts})


def find_parts(outline: Outline, classes: Iterable[str]) -> set[str]:
    """These classes, and those of all parts that their documents may have."""
    found: set[str] = set()
    left = [name for name in classes if name in outline.classes]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            slots = outline.classes[name].slots.values()
            left += [part for slot in slots for part in slot.parts if part in outline.classes]
    return found
