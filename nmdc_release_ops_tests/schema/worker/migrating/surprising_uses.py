"""Runs in a schema release's environment: each case with the release's own adapter on a database that holds everything, and with
ours on one whose collections are loaded when they are used.

Prints a JSON object: case -> what differs, an empty text where nothing does.
"""

import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import bson
import bson.json_util
from nmdc_schema.migrators.adapters.mongo_adapter import MongoAdapter
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database
from worker.migrating.adapter import Outcome, make_adapter

sys.path.append(str(Path(__file__).parent))
from on_demand import on_demand

DATA = {
    name: [{"_id": number, "id": f"{name}:{number}", "next": f"b_set:{number + 1}"} for number in range(count)]
    for name, count in {"a_set": 60, "b_set": 40, "c_set": 20, "d_set": 0, "e.parts": 5}.items()
}
EVERYTHING = set(DATA)


def looks_into_another_in_the_middle(adapter: Any) -> None:
    def stage(document: Any) -> Any:
        if document["_id"] < 30:
            return {**document, "x": 1}
        found = adapter.get_document_having_value_in_field("b_set", "id", document["next"])
        return {**document, "found": found}

    adapter.process_each_document("a_set", [stage])


def copies_between(adapter: Any) -> None:
    adapter.do_for_each_document("a_set", lambda document: adapter.insert_document("copies_set", document))
    adapter.do_for_each_document(
        "b_set", lambda document: adapter.insert_document("c_set", {**document, "_id": f"b{document['_id']}"})
    )


def counts(adapter: Any) -> Any:
    database = adapter._db
    return database.a_set.count_documents({}), database["b_set"].estimated_document_count()


def names(adapter: Any) -> Any:
    return sorted(adapter._db.list_collection_names()), adapter._db.name, adapter._db["a_set"].full_name


def inserts_what_exists(adapter: Any) -> None:
    adapter.insert_document("a_set", {"_id": 7})


def deletes_and_creates_again(adapter: Any) -> None:
    adapter.delete_collection("a_set")
    adapter.create_collection("a_set")
    adapter.insert_document("a_set", {"_id": "new"})
    adapter.delete_collection("no_set")


def drops_by_itself(adapter: Any) -> None:
    adapter._db["a_set"].drop()
    adapter._db.drop_collection(adapter._db["b_set"])


def renames(adapter: Any) -> None:
    adapter.rename_collection("a_set", "renamed_set")
    adapter.process_each_document("renamed_set", [lambda document: {**document, "x": 1}])
    adapter.create_collection("a_set")
    adapter.insert_document("a_set", {"_id": "another"})


def renames_over_another(adapter: Any) -> None:
    adapter._db["a_set"].rename("b_set", dropTarget=True)
    adapter.insert_document("b_set", {"_id": "after"})


def renames_onto_another(adapter: Any) -> None:
    adapter.rename_collection("a_set", "b_set")


def joins(adapter: Any) -> Any:
    pipeline = [
        {"$match": {"_id": {"$lt": 3}}},
        {"$lookup": {"from": "b_set", "localField": "next", "foreignField": "id", "as": "joined"}},
    ]
    return list(adapter._db["a_set"].aggregate(pipeline))


def joins_in_a_facet(adapter: Any) -> Any:
    return list(adapter._db.a_set.aggregate([{"$facet": {"both": [{"$unionWith": "c_set"}, {"$count": "n"}]}}]))


def writes_by_aggregation(adapter: Any) -> None:
    adapter._db["a_set"].aggregate([{"$out": "b_set"}])


def aggregates_one(adapter: Any) -> Any:
    return list(adapter._db["a_set"].aggregate([{"$group": {"_id": None, "n": {"$sum": 1}}}]))


def commands(adapter: Any) -> Any:
    return adapter._db.command("count", "c_set")["n"]


def by_its_client(adapter: Any) -> Any:
    database = adapter._db
    return database.client[database.name]["b_set"].count_documents({})


def by_a_collection_of_the_driver(adapter: Any) -> Any:
    return Collection(adapter._db, "c_set").count_documents({})


def by_the_database_of_a_collection(adapter: Any) -> Any:
    return adapter._db["no_set"].database["b_set"].distinct("id")


def by_a_collection_with_a_dot(adapter: Any) -> Any:
    return adapter._db.e.parts.count_documents({}), adapter._db["e"]["parts"].find_one({"_id": 1})


def is_told_what_they_are(adapter: Any) -> Any:
    database = adapter._db
    return (
        isinstance(database, Database),
        isinstance(database["a_set"], Collection),
        database == database.with_options(),
        database["a_set"] == database.get_collection("a_set"),
        len({database["a_set"], database.a_set}),
        database["a_set"].with_options().name,
    )


def makes_a_view(adapter: Any) -> Any:
    adapter._db.create_collection("view_of_a", viewOn="a_set", pipeline=[])
    return adapter._db["view_of_a"].count_documents({})


def keeps_a_collection_for_later(adapter: Any) -> None:
    kept = adapter._db["a_set"]

    def stage(document: Any) -> Any:
        before = kept.find_one({"_id": document["_id"] - 1}) or {}
        return {**document, "chain": before.get("chain", 0) + 1}

    adapter.process_each_document("a_set", [stage])


def keeps_a_method_for_later(adapter: Any) -> None:
    update, find = adapter._db["a_set"].update_one, adapter._db["a_set"].find_one

    def stage(document: Any) -> Any:
        update({"_id": document["_id"]}, {"$set": {"lost": True}})
        before = find({"_id": document["_id"] - 1}) or {}
        return {**document, "chain": before.get("chain", 0) + 1} if document["_id"] % 2 else document

    adapter.process_each_document("a_set", [stage])


def iterates_over_a_collection(adapter: Any) -> Any:
    return list(adapter._db["a_set"])


def uses_two_threads(adapter: Any) -> Any:
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda name: adapter._db[name].count_documents({}), ["a_set", "b_set", "a_set", "c_set"]))


def makes_an_index(adapter: Any) -> Any:
    adapter._db["a_set"].create_index("id", unique=True)
    return sorted(adapter._db["a_set"].index_information())


def fails_half_way(adapter: Any) -> None:
    def stage(document: Any) -> Any:
        if document["_id"] == 10:
            adapter.delete_documents_having_value_in_field("b_set", "id", "b_set:3")
            raise ValueError("half-way")
        return {**document, "x": 1}

    adapter.process_each_document("a_set", [stage])


def does_all_in_transactions(adapter: Any) -> None:
    if hasattr(adapter, "execute_in_transaction"):
        adapter.execute_in_transaction(
            lambda a, session: a.process_each_document("a_set", [lambda d: {**d, "y": 1}], session),
            commit_changes=True,
        )
        adapter.process_collections_in_transaction(["b_set"], lambda d: {**d, "z": 1}, commit_changes=False)


# What may be loaded, at most.
CASES: dict[Callable[[Any], Any], set[str]] = {
    looks_into_another_in_the_middle: {"a_set", "b_set"},
    copies_between: {"a_set", "b_set", "c_set"},
    counts: {"a_set", "b_set"},
    names: set(),
    inserts_what_exists: {"a_set"},
    deletes_and_creates_again: set(),
    drops_by_itself: set(),
    renames: {"a_set"},
    renames_over_another: {"a_set"},
    renames_onto_another: {"a_set"},
    joins: EVERYTHING,
    joins_in_a_facet: EVERYTHING,
    writes_by_aggregation: EVERYTHING,
    aggregates_one: {"a_set"},
    commands: EVERYTHING,
    by_its_client: EVERYTHING,
    by_a_collection_of_the_driver: EVERYTHING,
    by_the_database_of_a_collection: {"b_set"},
    by_a_collection_with_a_dot: {"e.parts"},
    is_told_what_they_are: set(),
    makes_a_view: EVERYTHING,
    keeps_a_collection_for_later: {"a_set"},
    keeps_a_method_for_later: {"a_set"},
    iterates_over_a_collection: set(),
    uses_two_threads: {"a_set", "b_set", "c_set"},
    makes_an_index: {"a_set"},
    fails_half_way: {"a_set", "b_set"},
    does_all_in_transactions: EVERYTHING,
}


def outcome_of(case: Callable[[Any], Any], adapter: Any) -> Any:
    try:
        return json.loads(bson.json_util.dumps(case(adapter)))
    except Exception as error:
        # The rest is of the moment.
        return f"{type(error).__name__}: {str(error).partition(', full error')[0]}"


def content(database: Any) -> Any:
    return {
        name: [bson.encode(document) for document in database[name].find().sort("_id", 1)]
        for name in sorted(database.list_collection_names())
        if name != "system.views"
    }


def with_theirs(case: Callable[[Any], Any], database: Any) -> Any:
    for name, documents in DATA.items():
        if documents:
            database[name].insert_many(documents)
    return outcome_of(case, MongoAdapter(database)), content(database)


def with_ours(case: Callable[[Any], Any], database: Any) -> tuple[Any, list[str], dict[str, set[str]]]:
    with on_demand(database, DATA, DATA.__getitem__) as (loader, loaded):
        outcome = Outcome(loader=loader)
        result = outcome_of(case, make_adapter(database, MongoAdapter, outcome))
        needed = list(loaded)
        loader.load_all()
    return (result, content(database)), needed, outcome.uses.used


def difference(case: Callable[[Any], Any], at_most: set[str], client: MongoClient[Any], name: str) -> str:
    found = []
    for run in (with_theirs, with_ours):
        # Messages of the server name the database.
        client.drop_database(name)
        for collection in DATA:
            client[name].create_collection(collection)
        found.append(run(case, client[name]))
    client.drop_database(name)
    theirs, (ours, loaded, used) = found
    if theirs[0] != ours[0]:
        return f"{theirs[0]!r} became {ours[0]!r}"
    if differing := [one for one in {*theirs[1], *ours[1]} if theirs[1].get(one) != ours[1].get(one)]:
        return f"the documents of {differing} differ"
    if len(loaded) != len(set(loaded)) or not set(loaded) <= at_most:
        return f"{loaded} were loaded"
    return "" if set(loaded) <= set(used) else f"of {loaded} only {used} were noted"


def main() -> None:
    client: MongoClient[dict[str, Any]] = MongoClient(os.environ["NMDC_TRANSFORMER_URI"])
    differences = {case.__name__: difference(case, at_most, client, sys.argv[1]) for case, at_most in CASES.items()}
    sys.stdout.write(json.dumps(differences))


main()
