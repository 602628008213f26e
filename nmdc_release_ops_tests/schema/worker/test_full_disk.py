"""A worker without room on the disk reports that, and names the file; nothing that it leaves counts as a result."""

from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.schema.environments.environment import NOT_WRITTEN, SchemaEnvironment
from nmdc_release_ops_tests.full_disk import BYTES, FULL_DISKS, FullDisk
from nmdc_release_ops_tests.schema.worker.running import Ended, database_fixture, run, start, warm_environment_fixture
from nmdc_release_ops_tests.schema.worker.validating.validating import extras

DATABASE = "full_disk_of_a_worker"
LONG = 3_000

environment = warm_environment_fixture()


database = database_fixture(DATABASE)


def run_validation(environment: SchemaEnvironment, compiled: Path, uri: str, folder: Path, results: Path) -> Ended:
    return run(environment, "validating.validate", uri, extras(compiled, results, DATABASE, {"study_set": 0}), folder)


@FULL_DISKS
def test_no_room_for_the_ids_is_reported_with_the_file(
    environment: SchemaEnvironment,
    compiled: Path,
    scratch_mongod: PrivateMongod,
    database: Database[Any],
    tmp_path: Path,
    full_disk: FullDisk,
) -> None:
    ids = (f"{number}{'x' * LONG}" for number in range(BYTES // LONG * 2))
    database["study_set"].insert_many({"id": one, "type": "nmdc:Study"} for one in ids)
    results = tmp_path / "results"
    results.mkdir()
    with full_disk(results):
        ended = run_validation(environment, compiled, scratch_mongod.uri, tmp_path, results)
    assert ended.code == NOT_WRITTEN
    (report,) = ended.of_kind("not_written")
    assert report["path"].startswith(str(results)) and report["path"].endswith("/identifiers")
    assert report["reason"]
    assert ended.of_kind("summary") == []


@FULL_DISKS
def test_no_room_for_the_violations_is_reported_with_the_file(
    environment: SchemaEnvironment,
    compiled: Path,
    scratch_mongod: PrivateMongod,
    database: Database[Any],
    tmp_path: Path,
    full_disk: FullDisk,
) -> None:
    # Each violation quotes what it does not accept, up to 2,000 characters.
    wrong = {"type": "nmdc:Study", "study_category": "x" * LONG}
    database["study_set"].insert_many({"id": f"nmdc:sty-{n}", **wrong} for n in range(BYTES // 2_000 + 200))
    results = tmp_path / "results"
    results.mkdir()
    with full_disk(results) as message:
        ended = run_validation(environment, compiled, scratch_mongod.uri, tmp_path, results)
    assert ended.code == NOT_WRITTEN
    (report,) = ended.of_kind("not_written")
    assert report["path"].startswith(str(results))
    assert report["path"].endswith((".violations", "violations.jsonl"))
    assert report["reason"] == message
    assert ended.of_kind("summary") == []


@pytest.mark.parametrize("file", ["validation.json", "violations.jsonl"])
def test_no_room_for_a_result_is_reported_with_the_file(
    environment: SchemaEnvironment,
    compiled: Path,
    scratch_mongod: PrivateMongod,
    database: Database[Any],
    tmp_path: Path,
    file: str,
) -> None:
    database["study_set"].insert_one({"id": "nmdc:sty-1", "type": "nmdc:Study"})
    # Opens, and is full.
    (tmp_path / file).symlink_to("/dev/full")
    ended = run_validation(environment, compiled, scratch_mongod.uri, tmp_path, tmp_path)
    assert ended.code == NOT_WRITTEN
    (report,) = ended.of_kind("not_written")
    assert report == {"kind": "not_written", "path": str(tmp_path / file), "reason": "No space left on device"}


@pytest.mark.parametrize("task", ["validating.validate", "migrating.migrate"])
def test_a_worker_without_room_for_its_messages_reports_that_by_its_exit_code(
    environment: SchemaEnvironment,
    compiled: Path,
    scratch_mongod: PrivateMongod,
    tmp_path: Path,
    task: str,
) -> None:
    (tmp_path / "messages").symlink_to("/dev/full")
    given = {**extras(compiled, tmp_path, DATABASE, {"study_set": 0}), "migrators": []}
    assert start(environment, task, scratch_mongod.uri, given, tmp_path).wait(timeout=300) == NOT_WRITTEN
