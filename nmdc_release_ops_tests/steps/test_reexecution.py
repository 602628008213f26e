"""A failed step is executed again from its run page: by a running Dagster, in a new process, from the records."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops_tests.dagster_server import DagsterServer, dagster_server
from nmdc_release_ops_tests.workplace import Workplace, workplace_fixture

pytestmark = pytest.mark.faults


CONFIG = {"ops": {"plan": {"config": {"target_version": "11.25"}}}}


workplace = workplace_fixture(scope="function", warm="workers")


@pytest.fixture
def database(workplace: Workplace) -> Iterator[Any]:
    with MongoClient[Any](workplace.origin.server.uri) as client:
        yield client[DATABASE]


@pytest.fixture
def transformer(tmp_path: Path) -> Iterator[PrivateMongod]:
    """A transformer that is not the project's own, so that a test can take it away."""
    server = PrivateMongod.start(tmp_path / "transformer", authentication=False)
    yield server
    server.stop()


@pytest.fixture
def dagster(workplace: Workplace, transformer: PrivateMongod, tmp_path: Path) -> Iterator[DagsterServer]:
    environment = {**workplace.environment(), "NMDC_TRANSFORMER_URI": transformer.uri}
    with dagster_server(environment, str(tmp_path / "dagster.log")) as server:
        yield server


def version_of(database: Any) -> Any:
    return database["_migration_latest_schema_version"].find_one()["schema_version"]


def test_after_a_transformer_was_down_the_release_goes_on_where_it_failed(
    dagster: DagsterServer, workplace: Workplace, database: Any, transformer: PrivateMongod, tmp_path: Path
) -> None:
    # It answers `plan`, and is gone when `migrate` wants it: the first dump finds a hook in the freeze's own record.
    run = dagster.launch(CONFIG)
    _wait_for_archive(workplace.home)
    transformer.stop()
    status, steps = dagster.wait(run)
    assert status == "FAILURE"
    assert steps["dump"] == "SUCCESS" and steps["migrate"] == "FAILURE"
    assert version_of(database) == "11.23.0"
    database.jobs.insert_one({"id": "written after the failure"})

    again = PrivateMongod.start(tmp_path / "transformer", authentication=False, port=transformer.port)
    try:
        status, steps = dagster.wait(dagster.reexecute_from_failure(run))
    finally:
        again.stop()
    assert status == "SUCCESS"
    assert set(steps) == {"migrate", "validate", "restore", "unfreeze"}
    assert version_of(database) == "11.25.0"
    database.jobs.insert_one({"id": "written after the release"})


def test_after_a_document_was_corrected_the_run_goes_on_from_the_dump(dagster: DagsterServer, database: Any) -> None:
    sample = database.biosample_set.find_one({})
    database.biosample_set.update_one({"_id": sample["_id"]}, {"$set": {"collection_time_inc": "13:42+0000"}})
    run = dagster.launch(CONFIG)
    status, steps = dagster.wait(run)
    assert (status, steps["migrate"]) == ("FAILURE", "FAILURE")

    # From the failure alone it fails again: the archive holds the document as it was.
    status, steps = dagster.wait(dagster.reexecute_from_failure(run))
    assert (status, set(steps)) == ("FAILURE", {"migrate"})

    database.biosample_set.replace_one({"_id": sample["_id"]}, sample)
    rest = ["dump", "migrate", "validate", "restore", "unfreeze"]
    status, steps = dagster.wait(dagster.reexecute_steps(run, rest, {}))
    assert status == "SUCCESS"
    assert set(steps) == set(rest)
    assert version_of(database) == "11.25.0"


def _wait_for_archive(home: Path) -> None:
    deadline = time.monotonic() + 120
    while not list(home.glob("origins/*/releases/*/archive/manifest.json")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
