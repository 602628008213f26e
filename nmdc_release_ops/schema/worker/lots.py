"""Dividing collections into lots that processes judge side by side.

In a module of its own, because a spawned process imports what it is to run by name.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from pymongo.database import Database

from .judge import Judge
from .release import transformer

LOT_DOCUMENTS = 5_000


@dataclass(frozen=True)
class Lot:
    """Documents of one collection in order of `_id`: from the one with `first` on, at most `LOT_DOCUMENTS`."""

    database: str
    collection: str
    first: Any


@dataclass(frozen=True)
class Verdict:
    """How many documents of a lot were judged, and what is wrong with them."""

    collection: str
    documents: int
    violations: list[dict[str, Any]]


def lots(database: Database[dict[str, Any]], collections: list[str]) -> Iterator[Lot]:
    """Every document of every collection, once.

    Bounds are found in the index on `_id`, and not by comparing: a query with `$gt` only sees ids of the same type.
    """
    for name in collections:
        collection = database[name]
        first = next(collection.find({}, {"_id": 1}).sort("_id", 1).hint("_id_").limit(1), None)
        while first is not None:
            yield Lot(database.name, name, first["_id"])
            following = collection.find({}, {"_id": 1}).sort("_id", 1).hint("_id_").min([("_id", first["_id"])])
            first = next(following.skip(LOT_DOCUMENTS).limit(1), None)


def judge_lot(lot: Lot) -> Verdict:
    """Judge the documents of a lot."""
    judge = _judge()
    documents = 0
    violations: list[dict[str, Any]] = []
    with transformer(lot.database) as database:
        found = database[lot.collection].find({}).sort("_id", 1).hint("_id_")
        for document in found.min([("_id", lot.first)]).limit(LOT_DOCUMENTS):
            documents += 1
            violations.extend(judge.violations(lot.collection, document))
    return Verdict(lot.collection, documents, violations)


@cache
def _judge() -> Judge:
    return Judge()
