"""What the target's schema changes against the origin's: which data it concerns, and what no migrator seems to take care of."""

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass

import pymongo
from pymongo.database import Database
from pymongo.errors import PyMongoError
from pymongo.read_preferences import SecondaryPreferred

from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.records.data_release import PlannedMigrator, ReleasePlan
from nmdc_release_ops.schema.outlines.changes import (
    BECAME_REQUIRED,
    REQUIRED_ADDED,
    Effect,
    SchemaChange,
    compare_outlines,
    find_collections,
    find_holders,
    find_nested,
)
from nmdc_release_ops.schema.outlines.outline import Class, Outline
from nmdc_release_ops.schema.packages.package import SchemaPackage

COUNTED = 1_000_000
"""In a larger collection, documents are not counted: without an index, the server reads all of them."""
COUNT_SECONDS = 5.0
"""Time limit of one count."""
COUNTING_SECONDS = 30.0
"""Time limit of all counts together. What was not counted by then is shown without a number."""


@dataclass(frozen=True)
class Concern:
    """A change of the schema, and what it is about.

    Attributes:
        collections: whose documents, or parts of them, are of a class that changes.
        documents: how many documents of the origin it concerns: those that have the slot or one of the lost values, or lack what
            is required now or say null there. None if they were not counted.
        migrators: those whose code names the slot, the class or a value: they seem to take care of it.
    """

    change: SchemaChange
    collections: list[str]
    documents: int | None
    migrators: list[str]

    @property
    def needs_a_look(self) -> bool:
        """Whether data may not conform, and no migrator seems to take care of that."""
        return self.change.effect is Effect.STRICTER and self.documents != 0 and not self.migrators


def find_concerns(
    plan: ReleasePlan, before: Outline, after: Outline, target: SchemaPackage, database: Database[Document]
) -> list[Concern]:
    """Every change of the schema, what needs a look first.

    Args:
        target: its migrators' code is searched for the names of what changes.
        database: the origin's; the documents that a change concerns are counted there, on a secondary if it has one.
    """
    code = {one.module: "\n".join(target.code_of(one.module).values()) for one in plan.migrators}
    sizes = {one.name: one.documents for one in plan.collections}
    holders, nested = find_holders(before, after), find_nested(before)
    until = time.monotonic() + COUNTING_SECONDS
    found = [
        Concern(
            change=change,
            collections=find_collections(change, holders),
            documents=_count(change, before, sizes, database, until) if _is_countable(change, before, nested) else None,
            migrators=list(_find_migrators(change, before, plan.migrators, code)),
        )
        for change in compare_outlines(before, after)
    ]
    return sorted(found, key=lambda one: (not one.needs_a_look, one.change.effect is Effect.LOOSER))


def _find_migrators(
    change: SchemaChange, before: Outline, migrators: Iterable[PlannedMigrator], code: Mapping[str, str]
) -> Iterator[str]:
    words = {change.element, *change.values} - {"type"}
    if change.classes and change.element in before.collections:
        # Migrators name a collection for many reasons; one that moves a class out of it names the class.
        words = set(change.classes)
    names = re.compile("|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in sorted(words))) if words else None
    for one in migrators:
        if names is not None and names.search(code[one.module]):
            yield one.module


def _is_countable(change: SchemaChange, before: Outline, nested: Set[str]) -> bool:
    """Whether all that a change concerns are whole documents: where parts of documents are concerned too, a count of documents
    would say too little.

    Args:
        nested: as `find_nested` returns it.
    """
    if change.effect is Effect.LOOSER:
        return False
    return change.element in before.collections or nested.isdisjoint(change.classes)


def _count(
    change: SchemaChange, before: Outline, sizes: Mapping[str, int], database: Database[Document], until: float
) -> int | None:
    """How many documents of the origin a change concerns; None where that takes long, or no document is of its classes.

    Args:
        until: when to give up, by `time.monotonic`.
    """
    classes = {name: before.classes[name] for name in change.classes if name in before.classes}
    collections = [name for name, held in before.collections.items() if classes.keys() & set(held)]
    if change.element in before.collections:
        collections = [change.element]
    if not collections or any(sizes.get(name, 0) > COUNTED for name in collections):
        return None
    concerned = _describe_concerned(change, before, classes)
    documents = 0
    for name in collections:
        if not sizes.get(name):
            continue
        seconds = min(COUNT_SECONDS, until - time.monotonic())
        if seconds <= 0:
            return None
        try:
            # The server is told, and a server that does not answer is not waited for either.
            with pymongo.timeout(seconds):
                reading = database.get_collection(name, read_preference=SecondaryPreferred())
                documents += reading.count_documents(concerned)
        except PyMongoError:
            return None
    return documents


def _describe_concerned(change: SchemaChange, before: Outline, classes: Mapping[str, Class]) -> Document:
    """A filter for the documents that may not meet the change, of those classes."""
    if not classes:
        return {}
    # Before 11.0.0, documents had no type.
    of_the_classes = {"type": {"$in": [one.type for one in classes.values()] + [None]}}
    if change.element in classes or change.element in before.collections:
        return of_the_classes
    if change.values:
        slots = {name for one in classes.values() for name, slot in one.slots.items() if change.element in slot.ranges}
        return {"$and": [of_the_classes, {"$or": [{name: {"$in": list(change.values)}} for name in sorted(slots)]}]}
    # LinkML lets an optional slot be null, and a required one not: this finds the documents without it too.
    is_required = change.what in (REQUIRED_ADDED, BECAME_REQUIRED)
    return {"$and": [of_the_classes, {change.element: None if is_required else {"$exists": True}}]}
