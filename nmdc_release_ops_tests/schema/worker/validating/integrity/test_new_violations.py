"""With `integrity: fail_on_new`, a violation counts as old only if the archive shows the same one."""

import gzip
from pathlib import Path
from typing import Any

import bson
import pytest
from pymongo.database import Database

from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.schema.environments.environment import NOT_WRITTEN, SchemaEnvironment
from nmdc_release_ops_tests.schema.worker.running import database_fixture, emptied, run, warm_environment_fixture
from nmdc_release_ops_tests.schema.worker.validating.validating import Validated, archive_before, extras, validate

DATABASE = "new_violations_test"
AGGREGATES = "functional_annotation_agg"
RUN, STUDY, SAMPLE = "workflow_execution_set", "study_set", "biosample_set"
TYPES = {RUN: "nmdc:MetagenomeAnnotation", STUDY: "nmdc:Study", SAMPLE: "nmdc:Biosample"}

environment = warm_environment_fixture()


def made(collection: str, identifier: str, **fields: Any) -> dict[str, Any]:
    return {"_id": identifier, "id": identifier, "type": TYPES[collection], **fields}


database = database_fixture(DATABASE)


def is_new(validated: Validated) -> dict[tuple[str, str, str], bool]:
    """Whether each violation between documents is new, by document, path and target."""
    return {
        (one["id"], one["path"], one["target"]): one["new"]
        for one in validated.violations
        if one.get("new") is not None
    }


@pytest.fixture(scope="module")
def compared(
    environment: SchemaEnvironment,
    compiled: Path,
    rules: Path,
    scratch_mongod: PrivateMongod,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[tuple[str, str, str], bool]:
    """Which violations are new, of one validation for all tests that compare a database with its archive."""
    folder = tmp_path_factory.mktemp("compared")
    with emptied(scratch_mongod, DATABASE) as database:
        insert_references(database)
        insert_shared_ids(database)
        before = archive_before(database, folder / "archive", rules)
        change_references(database)
        change_shared_ids(database)
        names = sorted(database.list_collection_names())
        return is_new(validate(environment, compiled, scratch_mongod.uri, folder, DATABASE, names, before))


def insert_references(database: Database[Any]) -> None:
    database[RUN].insert_many(
        [
            made(RUN, "kept", has_input=["nobody", "another"]),
            made(RUN, "also in another field", has_input=["nobody"]),
            made(RUN, "moved to another field", has_input=["nobody"]),
            made(RUN, "twice", has_input=["nobody"]),
            made(RUN, "twice before", has_input=["nobody", "nobody"]),
            made(RUN, "was dangling", has_input=["appears"]),
            made(RUN, "was misplaced there", has_input=["stays"]),
            made(RUN, "was misplaced elsewhere", has_input=["moves"]),
            made(RUN, "one of two", has_input=["nobody"]),
            # Not text, and text that is written like it.
            made(RUN, "null", has_input=[None]),
            made(RUN, "text", has_input=[5]),
            made(RUN, "a number still", has_input=[5]),
        ]
    )
    database["data_object_set"].insert_one({"_id": 1, "type": "nmdc:DataObject"})
    database[STUDY].insert_many([made(STUDY, "stays"), made(STUDY, "moves")])


def change_references(database: Database[Any]) -> None:
    for identifier, change in {
        "kept": {"has_input": ["another", "nobody"]},
        "also in another field": {"has_output": ["nobody"]},
        "twice": {"has_input": ["nobody", "nobody"]},
        "twice before": {"has_input": ["nobody"]},
        "text": {"has_input": ["5"]},
    }.items():
        database[RUN].update_one({"id": identifier}, {"$set": change})
    database[RUN].update_one({"id": "moved to another field"}, {"$rename": {"has_input": "has_output"}})
    database[STUDY].insert_one(made(STUDY, "appears"))
    database[STUDY].delete_one({"id": "moves"})
    database[SAMPLE].insert_many(
        [made(SAMPLE, "moves"), {**made(SAMPLE, "one of two"), "associated_studies": ["nobody"]}]
    )
    database["data_object_set"].update_one({"_id": 1}, {"$set": {"id": "has one now"}})


SHARED = ("as before", "moved", "fewer", "more")


def insert_shared_ids(database: Database[Any]) -> None:
    for identifier in SHARED:
        database[STUDY].insert_many({**made(STUDY, identifier), "_id": f"{identifier} {n}"} for n in range(3))


def change_shared_ids(database: Database[Any]) -> None:
    database[STUDY].delete_one({"_id": "moved 0"})
    database[SAMPLE].insert_one(made(SAMPLE, "moved"))
    database[STUDY].delete_one({"_id": "fewer 0"})
    database[STUDY].insert_one({**made(STUDY, "more"), "_id": "more 3"})


def test_only_the_very_same_reference_of_the_same_document_counts_as_old(
    compared: dict[tuple[str, str, str], bool],
) -> None:
    assert {key: new for key, new in compared.items() if key[0] not in SHARED} == {
        ("kept", "/has_input/0", "another"): False,
        ("kept", "/has_input/1", "nobody"): False,
        ("also in another field", "/has_input/0", "nobody"): False,
        ("also in another field", "/has_output/0", "nobody"): True,
        ("moved to another field", "/has_output/0", "nobody"): True,
        ("twice", "/has_input/0", "nobody"): True,
        ("twice", "/has_input/1", "nobody"): True,
        ("twice before", "/has_input/0", "nobody"): False,
        ("was dangling", "/has_input/0", "appears"): True,
        ("was misplaced there", "/has_input/0", "stays"): False,
        ("was misplaced elsewhere", "/has_input/0", "moves"): True,
        ("one of two", "/has_input/0", "nobody"): False,
        ("one of two", "/associated_studies/0", "nobody"): True,
        ("one of two", "/id", "one of two"): True,
        ("null", "/has_input/0", "None"): True,
        ("text", "/has_input/0", "5"): True,
        ("a number still", "/has_input/0", "5"): False,
    }


def test_an_id_that_is_shared_in_other_collections_than_before_is_new(
    compared: dict[tuple[str, str, str], bool],
) -> None:
    assert {identifier: new for (identifier, _, _), new in compared.items() if identifier in SHARED} == {
        "as before": False,
        "moved": True,
        "fewer": False,
        "more": True,
    }


def test_an_archive_that_is_not_what_was_dumped_is_named_and_nothing_is_taken_from_it(
    environment: SchemaEnvironment,
    compiled: Path,
    rules: Path,
    scratch_mongod: PrivateMongod,
    database: Database[Any],
    tmp_path: Path,
) -> None:
    # Valid but for what it leads to: LinkML is not needed.
    dangling = {
        "_id": 1,
        "type": "nmdc:FunctionalAnnotationAggMember",
        "was_generated_by": "nmdc:wfmgan-99-nobody.1",
        "gene_function_id": "KEGG.ORTHOLOGY:K00001",
        "count": 1,
    }
    database[AGGREGATES].insert_one(dangling)
    before = archive_before(database, tmp_path / "archive", rules)
    file = Path(before["files"][AGGREGATES]["path"])
    whole = file.read_bytes()
    # Whole gzip with whole documents, and another reference: it would make the violation new.
    other = bson.encode({**dangling, "was_generated_by": "nmdc:wfmgan-99-another.1"})
    as_long = whole[:-20] + bytes(20)
    damages = {"other documents": gzip.compress(other), "cut": whole[:-20], "changed": as_long, "missing": None}
    reports = {}
    for damage, content in damages.items():
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)
        given = extras(compiled, tmp_path, DATABASE, {AGGREGATES: 1}, before)
        folder = tmp_path / damage
        folder.mkdir()
        ended = run(environment, "validating.validate", scratch_mongod.uri, given, folder)
        (reports[damage],) = ended.of_kind("archive_damaged")
        assert ended.code not in (0, NOT_WRITTEN)
        assert ended.of_kind("summary") == []
        assert reports[damage]["path"] == str(file)
    assert f"block 1 of {AGGREGATES} is damaged: its sha256 is" in reports["changed"]["fault"]
    assert all(
        f"the blocks of {AGGREGATES} end at byte" in reports[damage]["fault"] for damage in ("other documents", "cut")
    )
    assert "No such file" in reports["missing"]["fault"]
