"""The asset catalog tells the story of a database: lineage, numbers over releases, and checks that really look."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.catalog import (
    ARCHIVE,
    CONFORMS_TO_SCHEMA,
    DATABASE,
    IDS_UNIQUE,
    LEDGER_AGREES,
    REFERENCES_RESOLVE,
    REHEARSAL,
    SCHEMA_RELEASE,
    WRITES_ALLOWED,
)
from nmdc_release_ops.definitions import defs
from nmdc_release_ops.demo.origin import DATABASE as NMDC
from nmdc_release_ops.mongo.freezing.freeze import freeze
from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.state.lease import Strategy
from nmdc_release_ops_tests.steps.checks import evaluations, execute_checks
from nmdc_release_ops_tests.workplace import Workplace, failure_of, untouched, workplace_fixture

workplace = workplace_fixture(scale=300, warm=True)
ALL = {CONFORMS_TO_SCHEMA, REFERENCES_RESOLVE, IDS_UNIQUE, LEDGER_AGREES, WRITES_ALLOWED}


@pytest.fixture(scope="module")
def released(workplace: Workplace) -> dg.ExecuteInProcessResult:
    result = workplace.release(target_version="11.24.0")
    assert result.success, failure_of(result)
    return result


def numbers(workplace: Workplace, asset: dg.AssetKey) -> dict[str, int | float]:
    """What Dagster plots of the newest materialization."""
    event = workplace.instance.get_latest_materialization_event(asset)
    assert event is not None and event.asset_materialization is not None
    values = {label: shown.value for label, shown in event.asset_materialization.metadata.items()}
    return {label: value for label, value in values.items() if isinstance(value, int | float)}


@contextmanager
def last_event(client: MongoClient[Any], **changed: str) -> Iterator[None]:
    """Somebody edits the newest event of the ledger."""
    events = client[NMDC]["_migration_events"]
    newest = events.find_one(sort=[("created_at", -1)])
    assert newest is not None
    events.replace_one({"_id": newest["_id"]}, {**newest, **changed})
    yield
    events.replace_one({"_id": newest["_id"]}, newest)


def test_the_lineage_leads_from_the_schema_and_the_archive_over_the_rehearsal_to_the_database() -> None:
    graph = defs.resolve_asset_graph()
    assert {key: graph.get(key).parent_keys for key in graph.get_all_asset_keys()} == {
        SCHEMA_RELEASE: set(),
        ARCHIVE: set(),
        REHEARSAL: {SCHEMA_RELEASE, ARCHIVE},
        DATABASE: {SCHEMA_RELEASE, ARCHIVE, REHEARSAL},
    }
    assert {graph.get(key).group_name for key in graph.get_all_asset_keys()} == {"nmdc"}
    assert all(graph.get(key).description and graph.get(key).owners for key in graph.get_all_asset_keys())


def test_a_release_adds_its_numbers_to_the_history_of_the_database_and_of_the_archive(
    workplace: Workplace, released: dg.ExecuteInProcessResult
) -> None:
    of_database, of_archive = numbers(workplace, DATABASE), numbers(workplace, ARCHIVE)
    migrated = released.output_for_node("migrate")
    window = released.output_for_node("unfreeze")
    assert of_database["documents"] == sum(migrated.documents.values())
    assert of_database["documents changed"] == migrated.documents_changed > 0
    assert of_database["violations"] == 0
    assert of_database["writes blocked (s)"] == round(window.seconds, 3)
    assert of_database["bytes"] > 100_000
    steps = ("plan", "freeze", "dump", "migrate", "validate", "restore", "unfreeze")
    assert all(of_database[f"{step} (s)"] > 0 for step in steps)
    assert of_archive["documents"] == released.output_for_node("dump").documents
    assert of_archive["bytes"] > of_archive["bytes on disk"] > 0
    assert of_archive["dump (s)"] > 0


def test_a_release_records_all_checks_when_people_can_write_again(
    workplace: Workplace, released: dg.ExecuteInProcessResult
) -> None:
    found = evaluations(workplace, released.run_id)
    assert set(found) == ALL
    assert all(one.passed for one in found.values()), found
    assert "11.24.0" in str(found[CONFORMS_TO_SCHEMA].description)


def test_a_check_of_the_ledger_looks_at_the_ledger_and_only_reads(
    workplace: Workplace, released: dg.ExecuteInProcessResult, client: MongoClient[Any]
) -> None:
    assert released.success
    with untouched(client):
        assert execute_checks(workplace, LEDGER_AGREES)[LEDGER_AGREES].passed
    with last_event(client, to_schema_version="11.99.0"), untouched(client):
        found = execute_checks(workplace, LEDGER_AGREES)[LEDGER_AGREES]
    assert not found.passed
    assert "brought the database to schema 11.24.0" in str(found.description)
    assert "11.99.0" in str(found.description)
    with last_event(client, event="MIGRATION_STARTED"):
        assert not execute_checks(workplace, LEDGER_AGREES)[LEDGER_AGREES].passed


def test_a_check_of_writes_says_who_blocks_them(workplace: Workplace, client: MongoClient[Any]) -> None:
    assert execute_checks(workplace, WRITES_ALLOWED)[WRITES_ALLOWED].passed
    freeze(client, "another", "a-run", Strategy.WRITE_BLOCK, database=NMDC, drain_timeout=10)
    try:
        found = execute_checks(workplace, WRITES_ALLOWED)[WRITES_ALLOWED]
    finally:
        thaw(client, "another", thawed_by="a-run")
    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.WARN, "its run is alive"
    assert "release another" in str(found.description)


def test_plan_observes_what_the_schema_project_has_published(workplace: Workplace) -> None:
    result = defs.get_job_def("check").execute_in_process(instance=workplace.instance, raise_on_error=False)
    assert result.success, failure_of(result)
    (record,) = workplace.instance.fetch_observations(SCHEMA_RELEASE, limit=1).records
    assert record.run_id == result.run_id
    assert record.asset_observation is not None
    assert record.asset_observation.metadata["schema version"].value == result.output_for_node("plan").to_version


def test_a_rollback_records_what_it_knows_and_no_more(
    workplace: Workplace, released: dg.ExecuteInProcessResult
) -> None:
    assert released.success
    result = defs.get_job_def("rollback").execute_in_process(instance=workplace.instance, raise_on_error=False)
    assert result.success, failure_of(result)
    found = evaluations(workplace, result.run_id)
    assert set(found) == {LEDGER_AGREES, WRITES_ALLOWED}
    assert all(one.passed for one in found.values())
    assert numbers(workplace, DATABASE)["writes blocked (s)"] > 0
