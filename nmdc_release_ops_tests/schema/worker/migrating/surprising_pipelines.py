"""Runs in a schema release's environment: each case with the release's own adapter and with ours, on the same data.

Prints a JSON object: case -> what differs, an empty text where nothing does.
"""

import copy
import datetime
import json
import os
import sys
from typing import Any

import bson
from bson import Decimal128, Int64, ObjectId
from bson.codec_options import DatetimeConversion
from bson.datetime_ms import DatetimeMS
from nmdc_schema.migrators.adapters.mongo_adapter import MongoAdapter
from pymongo import MongoClient
from worker.migrating.adapter import Outcome, make_adapter

MANY = 150
"""More than the server's first answer holds, which is 101. The release's own adapter writes them one by one."""
DOCUMENTS: list[dict[str, Any]] = [
    {
        "_id": (number, {"odd": number}, f"nmdc:{number}", ObjectId(f"{number:024x}"))[number % 4],
        "id": f"nmdc:{number}",
        "long": Int64(number),
        "short": number,
        "when": datetime.datetime(2020, 1, 1, microsecond=5000),
        "exactly": Decimal128("1.10"),
        "object": ObjectId("0" * 24),
        "bytes": b"\x00\xff",
        "far away": DatetimeMS(10**17),
        "nested": {"b": 1, "a": [1, {"z": None}]},
    }
    for number in range(MANY)
]
SHARED = {"id": "shared"}


def in_order(document: Any) -> Any:
    return {"_id": document["_id"], **dict(sorted(document.items(), reverse=True))}


def shared(document: Any) -> Any:
    # One object for all of them, with another content each time.
    SHARED.clear()
    SHARED.update({"id": document["id"], "was": document["short"]})
    return SHARED


def in_place(document: Any) -> Any:
    document["nested"]["a"][1]["z"] = "changed"
    document["_id"] = document.pop("_id")
    return document


def raises_half_way(document: Any) -> Any:
    document["seen"] = True
    if document["short"] == 120:
        raise ValueError("half-way")
    return document


def other_id(document: Any) -> Any:
    return {**document, "_id": "other", "x": 1} if document["short"] == 120 else {**document, "x": 1}


def unencodable(document: Any) -> Any:
    return {**document, "x": {1, 2}} if document["short"] == 120 else {**document, "x": 1}


def looks_like_an_update(document: Any) -> Any:
    return {"$set": {"x": 1}} if document["short"] == 120 else {**document, "x": 1}


PIPELINES: dict[str, list[Any]] = {
    "same object": [lambda d: d],
    "equal copy": [copy.deepcopy],
    "key order": [in_order],
    "keys removed and added": [lambda d: {**{k: v for k, v in d.items() if k != "when"}, "new": 1}],
    "types": [lambda d: {**d, "long": int(d["long"]), "short": Int64(d["short"]), "exactly": 1.0}],
    "without _id": [lambda d: {k: v for k, v in d.items() if k != "_id"}],
    "in place": [in_place],
    "one shared object": [shared],
    "several stages": [lambda d: {**d, "n": 1}, lambda d: {**d, "n": d["n"] + 1}],
    "nothing returned": [lambda d: None],
    "raises half-way": [raises_half_way],
    "another _id": [other_id],
    "cannot be encoded": [unencodable],
    "looks like an update": [looks_like_an_update],
}


def whole(pipeline: list[Any]) -> Any:
    return lambda adapter: adapter.process_each_document("a_set", pipeline)


def looks_up_the_one_before(adapter: Any) -> None:
    def stage(document: Any) -> Any:
        before = adapter.get_document_having_value_in_field("a_set", "id", f"nmdc:{document['short'] - 1}")
        return {**document, "chain": (before or {}).get("chain", 0) + 1}

    adapter.process_each_document("a_set", [stage])


def writes_meanwhile(adapter: Any) -> None:
    def stage(document: Any) -> Any:
        if document["short"] % 50 == 0:
            adapter.insert_document("b_set", {"_id": document["short"], "made": True})
            adapter.set_field_of_each_document("a_set", "touched", True)
            adapter.process_each_document("b_set", [lambda d: {**d, "again": True}])
        return document if document["short"] % 3 else {**document, "x": 1}

    adapter.process_each_document("a_set", [stage])


def writes_once_to_what_was_already_read(adapter: Any) -> None:
    def stage(document: Any) -> Any:
        if document["short"] == 10:
            adapter.set_field_of_each_document("a_set", "touched", True)
        return document

    adapter.process_each_document("a_set", [stage])


def structure(adapter: Any) -> None:
    adapter.create_collection("c_set")
    adapter.do_for_each_document("a_set", lambda document: adapter.insert_document("c_set", document))
    adapter.rename_collection("c_set", "d_set")
    adapter.copy_value_from_field_to_field_in_each_document("d_set", "short", "shorter")
    adapter.remove_field_from_each_document("d_set", "when")
    adapter.delete_documents_having_value_in_field("d_set", "id", "nmdc:7")
    adapter.delete_collection("a_set")
    adapter.process_each_document("a_set", [lambda document: 1 / 0])


def committed(adapter: Any) -> None:
    adapter.process_collections_in_transaction(["a_set"], lambda d: {**d, "x": 1}, commit_changes=True)
    adapter.execute_in_transaction(
        lambda a, session: a.process_each_document("a_set", [lambda d: {**d, "y": 1}], session), commit_changes=True
    )


def rolled_back(adapter: Any) -> None:
    adapter.process_collections_in_transaction(["a_set"], lambda d: {**d, "x": 1}, commit_changes=False)
    adapter.execute_in_transaction(
        lambda a, session: a.process_each_document("a_set", [lambda d: {**d, "y": 1}], session), commit_changes=False
    )


CASES: dict[str, Any] = {
    **{name: whole(pipeline) for name, pipeline in PIPELINES.items()},
    "looks up the one before": looks_up_the_one_before,
    "writes meanwhile": writes_meanwhile,
    "writes once to what was already read": writes_once_to_what_was_already_read,
    "structure": structure,
    "committed": committed,
    "rolled back": rolled_back,
}


def outcome_of(case: Any, database: Any, adapter: Any) -> Any:
    raised = ""
    try:
        case(adapter)
    except Exception as error:
        raised = f"{type(error).__name__}: {error}"
    return raised, {
        name: [bson.encode(document) for document in database[name].find().sort("_id", 1)]
        for name in sorted(database.list_collection_names())
    }


def writes_more_than_it_must(database: Any) -> str:
    database.client.drop_database(database.name)
    database["a_set"].insert_many(copy.deepcopy(DOCUMENTS))
    outcome = Outcome()
    adapter = make_adapter(database, MongoAdapter, outcome)
    before = database.command("serverStatus")["opcounters"]["update"]
    adapter.process_each_document(
        "a_set", [lambda d: adapter.get_document_having_value_in_field("a_set", "id", d["id"])]
    )
    between = database.command("serverStatus")["opcounters"]["update"]
    adapter.process_each_document("a_set", [lambda d: {**d, "x": 1} if d["short"] % 50 == 0 else d])
    after = database.command("serverStatus")["opcounters"]["update"]
    database.client.drop_database(database.name)
    # The server updates documents of its own besides, for sessions and the like.
    enough = between - before < 5 and 3 <= after - between < 8 and outcome.written == {"a_set": 3}
    return "" if enough else f"{between - before} and {after - between} updates, {outcome.written}"


def main() -> None:
    client: MongoClient[dict[str, Any]] = MongoClient(
        os.environ["NMDC_TRANSFORMER_URI"], datetime_conversion=DatetimeConversion.DATETIME_AUTO
    )
    differences = {
        "writes": writes_more_than_it_must(client[f"{sys.argv[1]}_writes"]),
    }
    for name, case in CASES.items():
        found = []
        for suffix in ("theirs", "ours"):
            database = client[f"{sys.argv[1]}_{suffix}"]
            client.drop_database(database.name)
            database["a_set"].insert_many(copy.deepcopy(DOCUMENTS))
            database["b_set"].insert_one({"_id": "b"})
            ours = make_adapter(database, MongoAdapter, Outcome())
            assert isinstance(ours, MongoAdapter)
            found.append(outcome_of(case, database, ours if suffix == "ours" else MongoAdapter(database)))
            client.drop_database(database.name)
        (their_error, theirs), (our_error, ours) = found
        differing = [key for key in {*theirs, *ours} if theirs.get(key) != ours.get(key)]
        differences[name] = "" if found[0] == found[1] else f"{their_error!r} {our_error!r} {differing}"
    sys.stdout.write(json.dumps(differences))


main()
