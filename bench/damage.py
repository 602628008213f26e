"""Damaging documents on purpose, so that the violations that validators find can be compared with the damage."""

import re
from collections.abc import Iterator
from typing import Any

from pymongo.database import Database

from nmdc_release_ops.mongo.server.raw import RawWriter, read_raw, split

Key = tuple[str, str]
"""Collection and id of a document."""
Reference = tuple[str, str, str, str]
"""Collection and id of a document as `Key`, the field with the reference, and an id that no document has."""

EVERY = 1_000
AT_LEAST = 20
REFERENCES = 50
_REFERRING = (
    ("biosample_set", "associated_studies"),
    ("data_generation_set", "has_input"),
    ("material_processing_set", "has_output"),
    ("workflow_execution_set", "has_input"),
    ("functional_annotation_agg", "was_generated_by"),
)
_KEPT = ("_id", "id", "type")
# What makes an id unique; a version may follow it.
_BLADE = re.compile(r"^(nmdc:[a-z]+-[0-9]+-)[0-9a-z]+")


def key_of(collection: str, document: dict[str, Any]) -> Key:
    """How the validators name a document: aggregates have no `id`."""
    return collection, str(document.get("id", document.get("_id")))


def damage_documents(database: Database[Any], names: list[str], documents: int) -> dict[Key, Any]:
    """Give one in a thousand documents, taken evenly, an additional key or a value of a wrong type; return their `_id`s."""
    every = max(1, min(EVERY, documents // AT_LEAST))
    damaged = {}
    for number, (name, identifier) in enumerate(_every(database, names, every)):
        (found,) = database[name].find({"_id": identifier})
        field = next((field for field in found if field not in _KEPT), None)
        added, wrong = {"not_in_the_schema": number}, {field: {"not_in_the_schema": [number]}}
        # No slot of any class, whatever its range, may hold these values.
        change = added if number % 2 or field is None else wrong
        database[name].update_one({"_id": identifier}, {"$set": change})
        damaged[key_of(name, found)] = identifier
    return damaged


def damage_references(database: Database[Any]) -> set[Reference]:
    """Make references of fifty documents of five collections dangling; the documents still conform to the schema."""
    damaged = set()
    each = REFERENCES // len(_REFERRING)
    for name, field in _REFERRING:
        found = list(database[name].find({field: {"$exists": True}}).sort("_id", 1).limit(each))
        for number, document in enumerate(found):
            first, *others = document[field] if isinstance(document[field], list) else [document[field]]
            missing = _BLADE.sub(rf"\g<1>{number}zzzzzzzz", first)
            value = [missing, *others] if isinstance(document[field], list) else missing
            database[name].update_one({"_id": document["_id"]}, {"$set": {field: value}})
            damaged.add((*key_of(name, document), field, missing))
    return damaged


def sample(database: Database[Any], names: list[str], every: int, into: Database[Any]) -> int:
    """Copy one document in `every`, counted over all collections so that the mix is the same; return how many."""
    copied = passed = 0
    for name in names:
        writer = RawWriter(into, name)
        for run in read_raw(database[name]):
            for document in split(run):
                if passed % every == 0:
                    writer.add(document)
                    copied += 1
                passed += 1
        writer.flush()
    return copied


def _every(database: Database[Any], names: list[str], every: int) -> Iterator[tuple[str, Any]]:
    """Collection and `_id` of one document in `every`, counted over all collections."""
    passed = 0
    for name in names:
        for found in database[name].find({}, {"_id": 1}).sort("_id", 1).hint("_id_"):
            if passed % every == 0:
                yield name, found["_id"]
            passed += 1
