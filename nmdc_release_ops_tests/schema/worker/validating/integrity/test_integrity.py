"""References and ids: the same violations as refscan finds, and which of them the migration caused."""

import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import Int64, ObjectId
from pymongo import MongoClient
from pymongo.database import Database

from nmdc_release_ops.demo.database import collections
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment, worker_environment
from nmdc_release_ops_tests.schema.worker.validating.validating import Validated, archive_before, validate

DATABASE = "integrity_test"
SCRIPT = Path(__file__).with_name("refscan_rows.py")
INTEGRITY = {"dangling reference", "misplaced reference"}


@pytest.fixture(scope="module")
def demo() -> dict[str, list[dict[str, Any]]]:
    return {name: list(stream) for name, stream in collections(600, seed=3)}


@pytest.fixture
def database(scratch_mongod: PrivateMongod, demo: dict[str, list[dict[str, Any]]]) -> Iterator[Database[Any]]:
    """The demo's documents, at their smallest."""
    with MongoClient[Any](scratch_mongod.uri) as client:
        client.drop_database(DATABASE)
        for name, documents in demo.items():
            if documents:
                client[DATABASE][name].create_index("id")
                client[DATABASE][name].insert_many(documents)
        yield client[DATABASE]
        client.drop_database(DATABASE)


def validate_database(
    environment: SchemaEnvironment,
    compiled: Path,
    database: Database[Any],
    uri: str,
    folder: Path,
    before: dict[str, Any] | None = None,
) -> Validated:
    return validate(environment, compiled, uri, folder, database.name, sorted(database.list_collection_names()), before)


def fields_of(compiled: Path, collection: str, document: dict[str, Any]) -> dict[str, list[str]]:
    """The reference fields that a document has, and the collections they may lead to."""
    rules = json.loads(compiled.read_text())["references"][collection]["types"].get(document.get("type"), {})
    return {field: allowed for field, allowed in rules.items() if field in document}


def refscan(environment: SchemaEnvironment, uri: str, folder: Path) -> set[tuple[Any, ...]]:
    file = folder / "refscan"
    done = subprocess.run(
        [environment.python, "-P", SCRIPT, DATABASE, file],
        env=worker_environment(uri),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    return {comparable(*json.loads(line)) for line in file.read_text().splitlines()}


def comparable(*row: Any) -> tuple[Any, ...]:
    """A row of refscan's; where the target is null, it names any collection with a document that has no id."""
    return (*row[:5], None) if row[4] == "None" else row


def rows(validated: Validated) -> set[tuple[Any, ...]]:
    """Ours, as refscan writes them."""
    return {
        comparable(
            one["collection"], one["class"], one["id"], one["path"].split("/")[1], one["target"], one.get("found_in")
        )
        for one in validated.violations
        if one["violation"] in INTEGRITY
    }


@pytest.mark.faults
def test_the_same_references_are_broken_as_refscan_finds(
    environment: SchemaEnvironment,
    compiled: Path,
    scratch_mongod: PrivateMongod,
    database: Database[Any],
    demo: dict[str, list[dict[str, Any]]],
    tmp_path: Path,
) -> None:
    assert rows(validate_database(environment, compiled, database, scratch_mongod.uri, tmp_path)) == set()
    chance = random.Random(5)
    ids = {name: [one["id"] for one in documents if "id" in one] for name, documents in demo.items()}
    seen: dict[tuple[str, bool, bool], int] = {}
    sources = [(name, one) for name, documents in demo.items() for one in documents if fields_of(compiled, name, one)]
    for name, document in chance.sample(sources, 260):
        fields = fields_of(compiled, name, document)
        field = chance.choice(list(fields))
        allowed = fields[field]
        elsewhere = [one for collection in ids if collection not in allowed for one in ids[collection]]
        # A document of another class than the slot's, in a collection that the slot leads to, is fine for refscan.
        kind, target = chance.choice(
            [
                ("nobody's id", f"nmdc:nobody-11-{chance.randint(0, 9)}"),
                ("in another collection", chance.choice(elsewhere)),
                ("in an allowed collection", chance.choice(ids[chance.choice(allowed)] or ["nmdc:nobody-11-x"])),
                ("itself", document.get("id", "nmdc:nobody-11-y")),
                ("no text", chance.choice([None, 5, 1.5, True])),
                ("empty", ""),
            ]
        )
        value = document[field]
        several = isinstance(value, list)
        if several:
            value = [*value, target] if chance.random() < 0.5 else [target, *value[1:]]
        database[name].update_one({"_id": document["_id"]}, {"$set": {field: value if several else target}})
        seen[kind, several, len(allowed) > 1] = seen.get((kind, several, len(allowed) > 1), 0) + 1
    assert len(seen) == 24, "each kind in fields of one and of several values, with one and with several collections"
    expected = refscan(environment, scratch_mongod.uri, tmp_path)
    assert len(expected) > 150
    assert {row[5] is None for row in expected} == {True, False}
    assert {row[0] for row in expected} >= {
        "functional_annotation_agg",
        "data_object_set",
        "study_set",
        "biosample_set",
    }
    assert rows(validate_database(environment, compiled, database, scratch_mongod.uri, tmp_path)) == expected


def test_a_reference_without_a_target_is_fine_where_a_document_without_an_id_is(
    environment: SchemaEnvironment,
    compiled: Path,
    scratch_mongod: PrivateMongod,
    database: Database[Any],
    tmp_path: Path,
) -> None:
    """refscan looks for a document whose id is the value, and null is the id of a document that has none."""
    study = database["study_set"].find_one({"part_of": {"$exists": False}})
    database["study_set"].update_one({"_id": study["_id"]}, {"$set": {"part_of": [None]}})
    assert len(rows(validate_database(environment, compiled, database, scratch_mongod.uri, tmp_path))) == 1
    database["study_set"].insert_one({"type": "nmdc:Study"})
    assert rows(validate_database(environment, compiled, database, scratch_mongod.uri, tmp_path)) == set()
    assert refscan(environment, scratch_mongod.uri, tmp_path) == set()


def test_ids_that_are_not_unique_are_found_within_a_collection_and_across(
    environment: SchemaEnvironment,
    compiled: Path,
    scratch_mongod: PrivateMongod,
    database: Database[Any],
    tmp_path: Path,
) -> None:
    first, second = database["study_set"].find().limit(2)
    database["study_set"].insert_one({**first, "_id": ObjectId()})
    database["study_set"].insert_one({**second, "_id": ObjectId()})
    database["instrument_set"].insert_one({**database["instrument_set"].find_one(), "_id": 1, "id": second["id"]})
    found = {
        one["id"]: one
        for one in validate_database(environment, compiled, database, scratch_mongod.uri, tmp_path).violations
        if one["violation"] == "duplicate id"
    }
    assert found.keys() == {first["id"], second["id"]}
    assert found[first["id"]]["message"] == "2 documents have this id: 2 in study_set"
    assert found[second["id"]]["message"] == "3 documents have this id: 1 in instrument_set, 2 in study_set"


def test_only_what_the_data_did_not_have_before_is_new(
    environment: SchemaEnvironment,
    compiled: Path,
    rules: Path,
    scratch_mongod: PrivateMongod,
    database: Database[Any],
    tmp_path: Path,
) -> None:
    """Determined from the archive: the same document, the same target, and a violation then."""
    study, other = database["study_set"].find().limit(2)
    gone = database["data_object_set"].find_one({"was_generated_by": {"$exists": True}})
    aggregates = list(database["functional_annotation_agg"].find().limit(2))
    instrument = database["instrument_set"].find_one()
    old = {"$set": {"part_of": ["nmdc:sty-11-old"]}}
    database["study_set"].update_one({"_id": study["_id"]}, old)
    database["functional_annotation_agg"].update_one(
        {"_id": aggregates[0]["_id"]}, {"$set": {"was_generated_by": "nmdc:wfmgan-11-old.1"}}
    )
    database["instrument_set"].insert_one({**instrument, "_id": 1})
    # Two that are misplaced: of the one the target goes, of the other it stays.
    misplaced = list(database["data_object_set"].find({"was_generated_by": {"$exists": True}}).sort("_id", -1).limit(2))
    elsewhere = list(database["calibration_set"].find().limit(2))
    for document, target in zip(misplaced, elsewhere, strict=True):
        database["data_object_set"].update_one({"_id": document["_id"]}, {"$set": {"was_generated_by": target["id"]}})
    # Without an id, as aggregates are; the same `_id` will be one of another collection.
    nameless = {
        "_id": "nameless",
        "type": "nmdc:FunctionalAnnotationAggMember",
        "was_generated_by": "nmdc:wfmgan-11-old.1",
    }
    database["functional_annotation_agg"].insert_one(nameless)
    before = archive_before(database, tmp_path / "archive", rules)

    # What the migration does: one document refers to what was never there, one to what it deletes, and so on.
    database["study_set"].update_one(
        {"_id": other["_id"]}, {"$set": {"part_of": ["nmdc:sty-11-old", "nmdc:sty-11-new"]}}
    )
    database["functional_annotation_agg"].update_one(
        {"_id": aggregates[1]["_id"]}, {"$set": {"was_generated_by": "nmdc:wfmgan-11-old.1"}}
    )
    for name in ("workflow_execution_set", "data_generation_set"):
        database[name].delete_one({"id": gone["was_generated_by"]})
    database["organism_set"].insert_one({"_id": 1, "id": instrument["id"], "type": "nmdc:Organism"})
    database["calibration_set"].insert_many(
        {"_id": n, "id": "nmdc:calib-11-twice", "type": "nmdc:CalibrationInformation", "n": Int64(n)} for n in range(2)
    )
    database["calibration_set"].delete_one({"_id": elsewhere[0]["_id"]})
    database["functional_annotation_set"].insert_one({**nameless, "type": "nmdc:FunctionalAnnotation"})
    validated = validate_database(environment, compiled, database, scratch_mongod.uri, tmp_path, before)
    twins = {one["collection"]: one["new"] for one in validated.violations if one["id"] == "nameless" and "new" in one}
    assert twins == {"functional_annotation_agg": False, "functional_annotation_set": True}
    found = {(one["id"], one["target"]): one["new"] for one in validated.violations if "new" in one}
    assert found[study["id"], "nmdc:sty-11-old"] is False
    assert found[other["id"], "nmdc:sty-11-old"] is True, "another document had it"
    assert found[other["id"], "nmdc:sty-11-new"] is True
    assert found[str(aggregates[0]["_id"]), "nmdc:wfmgan-11-old.1"] is False
    assert found[str(aggregates[1]["_id"]), "nmdc:wfmgan-11-old.1"] is True
    assert found[gone["id"], gone["was_generated_by"]] is True, "the target was there"
    assert found[misplaced[0]["id"], elsewhere[0]["id"]] is True, "it was misplaced, and is gone"
    assert found[misplaced[1]["id"], elsewhere[1]["id"]] is False
    assert found[instrument["id"], instrument["id"]] is True, "two had the id, and three have it now"
    assert found["nmdc:calib-11-twice", "nmdc:calib-11-twice"] is True
    flags = [one["new"] for one in validated.violations if "new" in one]
    between = validated.summary.integrity
    assert (between.found, between.new, between.old) == (len(flags), flags.count(True), flags.count(False))
    database["organism_set"].delete_one({"_id": 1})
    again = validate_database(environment, compiled, database, scratch_mongod.uri, tmp_path, before)
    (twice,) = (one for one in again.violations if one.get("target") == instrument["id"])
    assert twice["new"] is False


def test_without_violations_the_archive_is_not_read(
    environment: SchemaEnvironment,
    compiled: Path,
    scratch_mongod: PrivateMongod,
    database: Database[Any],
    tmp_path: Path,
) -> None:
    nowhere = {
        "files": {"study_set": {"path": str(tmp_path / "no such file"), "blocks": []}},
        "references": str(tmp_path / "no such file"),
    }
    validated = validate_database(environment, compiled, database, scratch_mongod.uri, tmp_path, nowhere)
    assert validated.summary.integrity.found == 0
