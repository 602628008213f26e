"""References and ids: the same violations as refscan finds, and which of them the migration caused."""

import json
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bson import Int64, ObjectId
from pymongo.database import Database

from nmdc_release_ops.demo.database import collections
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment, worker_environment
from nmdc_release_ops_tests.schema.worker.running import emptied, warm_environment_fixture
from nmdc_release_ops_tests.schema.worker.validating.validating import Validated, archive_before, validate

DATABASE = "integrity_test"
SCRIPT = Path(__file__).with_name("refscan_rows.py")
INTEGRITY = {"dangling reference", "misplaced reference"}

environment = warm_environment_fixture()


@pytest.fixture(scope="module")
def demo() -> dict[str, list[dict[str, Any]]]:
    return {name: list(stream) for name, stream in collections(600, seed=3)}


@contextmanager
def filled(server: PrivateMongod, demo: dict[str, list[dict[str, Any]]]) -> Iterator[Database[Any]]:
    with emptied(server, DATABASE) as database:
        for name, documents in demo.items():
            if documents:
                database[name].create_index("id")
                database[name].insert_many(documents)
        yield database


@pytest.fixture
def database(scratch_mongod: PrivateMongod, demo: dict[str, list[dict[str, Any]]]) -> Iterator[Database[Any]]:
    """The demo's documents, at their smallest."""
    with filled(scratch_mongod, demo) as database:
        yield database


def validate_database(
    environment: SchemaEnvironment,
    compiled: Path,
    database: Database[Any],
    uri: str,
    folder: Path,
    before: dict[str, Any] | None = None,
) -> Validated:
    return validate(environment, compiled, uri, folder, database.name, sorted(database.list_collection_names()), before)


def fields_of(references: dict[str, Any], collection: str, document: dict[str, Any]) -> dict[str, list[str]]:
    """The reference fields that a document has, and the collections they may lead to.

    references: of the compiled schema.
    """
    rules = references[collection]["types"].get(document.get("type"), {})
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
    chance = random.Random(5)
    references = json.loads(compiled.read_text())["references"]
    ids = {name: [one["id"] for one in documents if "id" in one] for name, documents in demo.items()}
    seen: dict[tuple[str, bool, bool], int] = {}
    sources = [(name, one) for name, documents in demo.items() for one in documents if fields_of(references, name, one)]
    for name, document in chance.sample(sources, 260):
        fields = fields_of(references, name, document)
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
    database["study_set"].insert_one({"type": "nmdc:Study"})
    # Whatever may have generated it has an id.
    product = database["data_object_set"].find_one({"was_generated_by": {"$exists": True}})
    database["data_object_set"].update_one({"_id": product["_id"]}, {"$set": {"was_generated_by": None}})
    found = rows(validate_database(environment, compiled, database, scratch_mongod.uri, tmp_path))
    assert {(name, identifier, field) for name, _, identifier, field, _, _ in found} == {
        ("data_object_set", product["id"], "was_generated_by")
    }
    assert refscan(environment, scratch_mongod.uri, tmp_path) == found


@dataclass(frozen=True)
class Migrated:
    """What a validation found after a migration that did all sorts of things, and the documents that it did them to."""

    validated: Validated
    documents: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def migrated(
    environment: SchemaEnvironment,
    compiled: Path,
    rules: Path,
    scratch_mongod: PrivateMongod,
    demo: dict[str, list[dict[str, Any]]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Migrated:
    folder = tmp_path_factory.mktemp("migrated")
    with filled(scratch_mongod, demo) as database:
        documents = choose(database)
        damage_before(database, documents)
        before = archive_before(database, folder / "archive", rules)
        migrate(database, documents)
        validated = validate_database(environment, compiled, database, scratch_mongod.uri, folder, before)
    return Migrated(validated, documents)


def choose(database: Database[Any]) -> dict[str, dict[str, Any]]:
    generated = {"was_generated_by": {"$exists": True}}
    products = list(database["data_object_set"].find(generated).sort("_id", -1).limit(2))
    names = {
        ("study", "other study", "copied study", "study and instrument"): database["study_set"].find().limit(4),
        ("aggregate", "other aggregate"): database["functional_annotation_agg"].find().limit(2),
        ("instrument", "instrument twice"): database["instrument_set"].find().limit(2),
        ("target that goes", "target that stays"): database["calibration_set"].find().limit(2),
        ("orphan",): [database["data_object_set"].find_one(generated)],
        ("misplaced, gone", "misplaced, there"): products,
    }
    return {name: document for several, found in names.items() for name, document in zip(several, found, strict=True)}


NAMELESS = {
    # Without an id, as aggregates are; the same `_id` will be one of another collection.
    "_id": "nameless",
    "type": "nmdc:FunctionalAnnotationAggMember",
    "was_generated_by": "nmdc:wfmgan-11-old.1",
}


def refer(database: Database[Any], collection: str, document: dict[str, Any], field: str, target: Any) -> None:
    database[collection].update_one({"_id": document["_id"]}, {"$set": {field: target}})


def damage_before(database: Database[Any], documents: dict[str, dict[str, Any]]) -> None:
    """What the data had before."""
    refer(database, "study_set", documents["study"], "part_of", ["nmdc:sty-11-old"])
    refer(
        database,
        "functional_annotation_agg",
        documents["aggregate"],
        "was_generated_by",
        "nmdc:wfmgan-11-old.1",
    )
    database["instrument_set"].insert_one({**documents["instrument"], "_id": 1})
    database["instrument_set"].insert_one({**documents["instrument twice"], "_id": 2})
    # Two that are misplaced: of the one the target goes, of the other it stays.
    for name, target in (("misplaced, gone", "target that goes"), ("misplaced, there", "target that stays")):
        refer(database, "data_object_set", documents[name], "was_generated_by", documents[target]["id"])
    database["functional_annotation_agg"].insert_one(NAMELESS)


def migrate(database: Database[Any], documents: dict[str, dict[str, Any]]) -> None:
    """One document refers to what was never there, one to what is deleted, and so on."""
    refer(database, "study_set", documents["other study"], "part_of", ["nmdc:sty-11-old", "nmdc:sty-11-new"])
    refer(
        database,
        "functional_annotation_agg",
        documents["other aggregate"],
        "was_generated_by",
        "nmdc:wfmgan-11-old.1",
    )
    for name in ("workflow_execution_set", "data_generation_set"):
        database[name].delete_one({"id": documents["orphan"]["was_generated_by"]})
    database["organism_set"].insert_one({"_id": 1, "id": documents["instrument"]["id"], "type": "nmdc:Organism"})
    database["calibration_set"].insert_many(
        {"_id": n, "id": "nmdc:calib-11-twice", "type": "nmdc:CalibrationInformation", "n": Int64(n)} for n in range(2)
    )
    database["calibration_set"].delete_one({"_id": documents["target that goes"]["_id"]})
    database["functional_annotation_set"].insert_one({**NAMELESS, "type": "nmdc:FunctionalAnnotation"})
    for name in ("copied study", "study and instrument"):
        database["study_set"].insert_one({**documents[name], "_id": ObjectId()})
    database["instrument_set"].insert_one(
        {**documents["instrument"], "_id": 3, "id": documents["study and instrument"]["id"]}
    )


def test_ids_that_are_not_unique_are_found_within_a_collection_and_across(migrated: Migrated) -> None:
    found = {one["id"]: one["message"] for one in migrated.validated.violations if one["violation"] == "duplicate id"}
    ids = {name: document["id"] for name, document in migrated.documents.items() if "id" in document}
    assert found == {
        ids["copied study"]: "2 documents have this id: 2 in study_set",
        ids["study and instrument"]: "3 documents have this id: 1 in instrument_set, 2 in study_set",
        ids["instrument"]: "3 documents have this id: 2 in instrument_set, 1 in organism_set",
        ids["instrument twice"]: "2 documents have this id: 2 in instrument_set",
        "nmdc:calib-11-twice": "2 documents have this id: 2 in calibration_set",
    }


def test_only_what_the_data_did_not_have_before_is_new(migrated: Migrated) -> None:
    """Determined from the archive: the same document, the same target, and a violation then."""
    validated, documents = migrated.validated, migrated.documents
    ids = {name: document.get("id", str(document["_id"])) for name, document in documents.items()}
    twins = {one["collection"]: one["new"] for one in validated.violations if one["id"] == "nameless" and "new" in one}
    assert twins == {"functional_annotation_agg": False, "functional_annotation_set": True}
    found = {(one["id"], one["target"]): one["new"] for one in validated.violations if "new" in one}
    assert found[ids["study"], "nmdc:sty-11-old"] is False
    assert found[ids["other study"], "nmdc:sty-11-old"] is True, "another document had it"
    assert found[ids["other study"], "nmdc:sty-11-new"] is True
    assert found[ids["aggregate"], "nmdc:wfmgan-11-old.1"] is False
    assert found[ids["other aggregate"], "nmdc:wfmgan-11-old.1"] is True
    assert found[ids["orphan"], documents["orphan"]["was_generated_by"]] is True, "the target was there"
    assert found[ids["misplaced, gone"], ids["target that goes"]] is True, "it was misplaced, and is gone"
    assert found[ids["misplaced, there"], ids["target that stays"]] is False
    assert found[ids["instrument"], ids["instrument"]] is True, "two had the id, and three have it now"
    assert found[ids["instrument twice"], ids["instrument twice"]] is False, "two had the id"
    assert found["nmdc:calib-11-twice", "nmdc:calib-11-twice"] is True
    flags = [one["new"] for one in validated.violations if "new" in one]
    between = validated.summary.integrity
    assert (between.found, between.new, between.old) == (len(flags), flags.count(True), flags.count(False))


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
