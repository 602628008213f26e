"""The workers, as processes of their own in a release's environment, on a real mongod."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from bson import Decimal128, Int64, ObjectId
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

import nmdc_release_ops.schema
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment, SchemaEnvironments, worker_environment
from nmdc_release_ops.schema.report import read_summary
from nmdc_release_ops.schema.version import SchemaVersion
from nmdc_release_ops_tests.mongo import odd_data
from nmdc_release_ops_tests.schema.worker.running import Ended, database_fixture, run, start, warm_environment_fixture
from nmdc_release_ops_tests.schema.worker.validating.validating import Validated, extras, validate

DATABASE = "worker_test"
FOLDER = Path(nmdc_release_ops.schema.__file__).parent
PATH = ["migrator_from_11_23_0_to_11_24_0", "migrator_from_11_24_0_to_11_24_1", "migrator_from_11_24_1_to_11_25_0"]

environment = warm_environment_fixture()


@pytest.fixture
def validate_collections(
    environment: SchemaEnvironment, compiled: Path, scratch_mongod: PrivateMongod, tmp_path: Path
) -> Callable[..., Validated]:
    """Validates the collections that are named."""
    return lambda *names: validate(environment, compiled, scratch_mongod.uri, tmp_path, DATABASE, list(names))


database = database_fixture(DATABASE)


def instrument(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"nmdc:inst-99-{number}",
        "type": "nmdc:Instrument",
        "name": f"instrument {number}",
        "vendor": "illumina",
        "model": "novaseq_6000",
        **more,
    }


def aggregate(number: int) -> dict[str, Any]:
    return {
        "type": "nmdc:FunctionalAnnotationAggMember",
        "was_generated_by": "nmdc:wfmgan-99-abc.1",
        "gene_function_id": "KEGG.ORTHOLOGY:K00001",
        "count": Int64(number),
    }


def migrate(environment: SchemaEnvironment, uri: str, folder: Path, migrators: list[str], version: str) -> Ended:
    extras = {"database": DATABASE, "migrators": migrators, "schema_version": version}
    return run(environment, "migrating.migrate", uri, extras, folder)


def test_migrators_run_in_order_and_report_what_they_did(
    environment: SchemaEnvironment, scratch_mongod: PrivateMongod, database: Database[Any], tmp_path: Path
) -> None:
    person = {"type": "nmdc:PersonValue", "name": "A"}
    database["data_generation_set"].insert_many(
        [{"_id": n, "id": f"nmdc:dgns-{n}", "type": "nmdc:NucleotideSequencing"} for n in range(10)]
    )
    database["data_generation_set"].update_one({"_id": 3}, {"$set": {"principal_investigator": person}})
    ended = migrate(environment, scratch_mongod.uri, tmp_path, PATH, "11.25.0")
    assert ended.code == 0
    reports = ended.of_kind("migrator")
    assert [message["module"] for message in reports] == PATH
    assert (reports[0]["from"], reports[0]["to"]) == ("11.23.0", "11.24.0")
    assert reports[0]["written"].keys() == {"data_generation_set"}
    assert reports[1]["written"] == {}
    changed = database["data_generation_set"].find_one({"_id": 3})
    assert changed is not None and "principal_investigator" not in changed
    assert changed["has_credit_associations"][0]["applies_to_agent"]["type"] == "nmdc:Person"
    assert any("Running migrator 1 of 5" in line for line in ended.lines)


def test_a_migrator_that_raises_is_named_with_its_message_and_document(
    environment: SchemaEnvironment, scratch_mongod: PrivateMongod, database: Database[Any], tmp_path: Path
) -> None:
    database["biosample_set"].insert_one({"id": "nmdc:bsm-1", "type": "nmdc:Biosample"})
    database["biosample_set"].insert_one({"id": "nmdc:bsm-2", "type": "nmdc:Biosample", "collection_time_inc": "1"})
    ended = migrate(environment, scratch_mongod.uri, tmp_path, PATH, "11.25.0")
    assert ended.code != 0
    (failed,) = ended.of_kind("migrator_failed")
    assert failed["module"] == PATH[-1]
    assert "collection_time_inc" in failed["message"]
    assert failed["document"] == {"collection": "biosample_set", "id": "nmdc:bsm-2"}
    assert "check_for_fields" in failed["traceback"]


def test_an_environment_of_another_release_is_refused(
    environment: SchemaEnvironment, scratch_mongod: PrivateMongod, database: Database[Any], tmp_path: Path
) -> None:
    ended = migrate(environment, scratch_mongod.uri, tmp_path, PATH, "11.24.0")
    assert ended.code != 0
    assert not ended.messages


def test_valid_documents_are_accepted_whatever_types_their_ids_have(
    validate_collections: Callable[..., Validated], database: Database[Any]
) -> None:
    kinds: list[Any] = [int, lambda n: f"id {n}", lambda n: ObjectId(f"{n:024x}"), float, lambda n: {"n": n}]
    ids: list[Any] = [None, *(kinds[n % 5](n) for n in range(1, 12_000))]
    database["functional_annotation_agg"].insert_many({"_id": ids[n], **aggregate(n)} for n in range(12_000))
    database["instrument_set"].insert_one(instrument(1))
    found = validate_collections("functional_annotation_agg", "instrument_set", "study_set")
    # The workflow that the aggregates name is not there.
    assert {one["violation"] for one in found.violations} == {"dangling reference"}
    assert (found.summary.documents, found.summary.violations) == (12_001, 0)
    counts = {one.collection: one.documents for one in found.summary.collections}
    assert counts == {"functional_annotation_agg": 12_000, "instrument_set": 1, "study_set": 0}


def test_every_kind_of_violation_is_found_and_named(
    validate_collections: Callable[..., Validated], database: Database[Any]
) -> None:
    wrong = {
        "additionalProperties": instrument(2, no_such_slot=1),
        "pattern": instrument(3, id="nmdc:wrong-id"),
        "enum": instrument(4, vendor="nobody"),
        "type": instrument(5, name=datetime(2020, 1, 1)),
        "type missing": {"id": "nmdc:inst-99-6"},
        "type unknown": instrument(7, type="nmdc:NoSuchClass"),
        "class not allowed": instrument(8, type="nmdc:Manifest"),
    }
    database["instrument_set"].insert_many([dict(document) for document in wrong.values()])
    strange = {"far date": DatetimeMS(10**17), "decimal": Decimal128("1.1"), "object": ObjectId(), "bytes": b"\xff"}
    for name, value in strange.items():
        database["instrument_set"].insert_one({**instrument(1, name=value), "id": name})
    database["configuration_set"].insert_one({"id": "nmdc:mscon-11-a", "type": "nmdc:Configuration", "name": "x"})
    database["data_object_set"].insert_one({"id": "nmdc:dobj-11-a", "type": "nmdc:DataObject"})
    database["nowhere_set"].insert_one({"id": "nmdc:x"})
    depth = {"type": "nmdc:QuantityValue", "has_unit": "cm", "has_numeric_value": 1}
    database["biosample_set"].insert_one({"id": "nmdc:bsm-11-a", "type": "nmdc:Biosample", "depth": depth})
    validated = validate_collections(
        "instrument_set", "configuration_set", "data_object_set", "nowhere_set", "biosample_set"
    )
    written = validated.violations
    found: dict[str, set[str]] = {}
    for violation in written:
        assert violation["violation"] != "validators disagree"
        found.setdefault(violation["id"], set()).add(violation["violation"])
    for kind, document in wrong.items():
        assert kind in found[document["id"]], (kind, written)
    for name in strange:
        assert any(v["id"] == name and (v["path"], v["violation"]) == ("/name", "type") for v in written), name
    assert "class not allowed" in found["nmdc:mscon-11-a"], "an abstract class is nobody's class"
    assert "required" in found["nmdc:dobj-11-a"]
    assert found["nmdc:x"] == {"unknown collection"}
    (unit,) = (v for v in written if v["violation"] == "nmdc-schema validation")
    assert (unit["id"], unit["path"]) == ("nmdc:bsm-11-a", "/depth")
    assert "unit 'cm' which is not allowed for slot 'depth'" in unit["message"]
    missing = {v["message"] for v in written if v["id"] == "nmdc:bsm-11-a" and v["violation"] == "required"}
    assert {"'name' is a required property", "'env_medium' is a required property"} <= missing, "not only the first"
    vendor = next(v for v in written if v["violation"] == "enum")
    assert (vendor["path"], vendor["class"], vendor["collection"]) == ("/vendor", "Instrument", "instrument_set")
    assert "nobody" in vendor["message"]
    summary = validated.summary
    assert summary.violations == len(written) == sum(summary.by_kind.values())


def test_every_document_is_read_once_whatever_its_id_and_its_collection(
    environment: SchemaEnvironment, scratch_mongod: PrivateMongod, database: Database[Any]
) -> None:
    odd_data.fill(database)
    odd_data.put_empty_timestamps(database)
    database.plain_set.delete_many({"_id": {"$gte": 100}})
    script = Path(__file__).parent / "validating" / "chunk_counts.py"
    start = f"import sys, runpy; sys.path.append({str(FOLDER)!r}); runpy.run_path({str(script)!r})"
    printed = subprocess.check_output(
        [environment.python, "-P", "-c", start, DATABASE], env=worker_environment(scratch_mongod.uri)
    )
    read = json.loads(printed)
    there = {name: database[name].count_documents({}) for name in database.list_collection_names()}
    assert {name: count for name, (count, _) in read.items()} == {name: n for name, n in there.items() if n}
    assert read["identifiers_set"][1] > 3
    assert read["plain_set"] == [100, 15]


def test_documents_that_cannot_be_read_or_validated_are_violations_and_their_neighbours_are_validated(
    validate_collections: Callable[..., Validated], database: Database[Any]
) -> None:
    odd_data.fill(database)
    odd = database.get_collection("instrument_set", codec_options=odd_data.RAW)
    odd.insert_many(map(RawBSONDocument, odd_data.raw_documents()))
    database["instrument_set"].insert_many([instrument(n) for n in range(3)])
    validated = validate_collections(
        "instrument_set", "values_set", "identifiers_set", "large_set", "clustered_set", "collation_set"
    )
    by_id = {one["id"]: one for one in validated.violations if one["collection"] == "instrument_set"}
    assert by_id["not UTF-8"]["violation"] == "not readable"
    assert {f"nmdc:inst-99-{n}" for n in range(3)}.isdisjoint(by_id), "sound ones in the same answer of the server"
    assert by_id.keys() >= {"the same key twice", "NaN with a payload", "undefined", "symbol"}
    for one in validated.summary.collections:
        assert one.documents == database[one.collection].count_documents({}), one
        if one.collection != "instrument_set":
            assert one.violations == one.documents, "the schema describes no such collection"


def test_all_violations_are_written_and_only_the_first_are_messages(
    validate_collections: Callable[..., Validated], database: Database[Any]
) -> None:
    database["instrument_set"].insert_many([instrument(n, extra=1) for n in range(120)])
    validated = validate_collections("instrument_set")
    assert len(validated.violations) == 120
    assert len(validated.ended.of_kind("violation")) == 50
    (group,) = validated.summary.groups
    assert (group.count, group.kind, len(group.examples)) == (120, "additionalProperties", 5)


@pytest.mark.faults
@pytest.mark.parametrize("victim", ["child", "parent"])
def test_a_killed_process_is_replaced_and_one_without_parent_ends(
    victim: str,
    schema_environments: SchemaEnvironments,
    compiled: Path,
    scratch_mongod: PrivateMongod,
    database: Database[Any],
    tmp_path: Path,
) -> None:
    """The unfinished work of a killed process is retried, and nothing is done twice; if the parent is killed, all end."""
    several = 20_000
    database["functional_annotation_agg"].insert_many({**aggregate(n), "count": "many"} for n in range(several))
    process = start(
        schema_environments.prepare(SchemaVersion.parse("11.25")),
        "validating.validate",
        scratch_mongod.uri,
        extras(compiled, tmp_path, DATABASE, {"functional_annotation_agg": several}),
        tmp_path,
    )
    workers = children_at_work(process.pid)
    for each in (*workers, psutil.Process(process.pid)):
        assert each.memory_info().rss < 400_000_000
    os.kill(workers[0].pid if victim == "child" else process.pid, signal.SIGKILL)
    code = process.wait(timeout=120)
    _gone, alive = psutil.wait_procs(workers, timeout=15)
    for left in alive:
        left.kill()
    assert not alive
    messages = (tmp_path / "messages").read_text()
    if victim == "parent":
        assert code != 0
        assert '"summary"' not in messages
        return
    assert code == 0
    assert "is retried once" in messages
    found = read_summary(tmp_path / "validation.json")
    assert (found.documents, found.violations, found.integrity.found) == (several, several, several)
    lines = [json.loads(line) for line in (tmp_path / "violations.jsonl").read_text().splitlines()]
    assert len({(line["id"], line["violation"]) for line in lines}) == len(lines) == 2 * several


def children_at_work(pid: int) -> list[psutil.Process]:
    """The processes of the pool, once they validate."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        children = [child for child in psutil.Process(pid).children() if "spawn_main" in " ".join(child.cmdline())]
        if children and all(child.cpu_times().user > 1 for child in children):
            return children
        time.sleep(0.1)
    raise AssertionError("no process of the pool validates")
