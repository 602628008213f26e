"""A database from before the Berkeley schema is released: collections created, renamed and deleted, and put back."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.demo import before_berkeley
from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.mongo.state.lease import current_lease
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops_tests.steps.origin_facts import look_at
from nmdc_release_ops_tests.workplace import Workplace, failure_of, make_workplace

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3_000)]

Facts = dict[str, Any]
AFTER = {
    "biosample_set",
    "collecting_biosamples_from_site_set",
    "data_generation_set",
    "data_object_set",
    "field_research_site_set",
    "functional_annotation_agg",
    "instrument_set",
    "material_processing_set",
    # Neither described by 11.0.0 nor deleted by a migrator; it is empty.
    "planned_process_set",
    "processed_sample_set",
    "protocol_execution_set",
    "storage_process_set",
    "study_set",
    "workflow_execution_set",
}


@pytest.fixture
def workplace(request: pytest.FixtureRequest, tmp_path: Path, schema_cache: Path) -> Iterator[Workplace]:
    content = partial(before_berkeley.fill, curated=getattr(request, "param", False))
    yield from make_workplace(tmp_path / "workplace", schema_cache, scale=0, content=content)


def data_of(client: MongoClient[Any]) -> Facts:
    """All of the database but for the ledger, which grows."""
    facts = look_at(client)
    for kind in ("uuids", "indexes", "options", "hashes"):
        for name in ("_migration_events", "_migration_latest_schema_version", "system.views"):
            facts[kind].pop(name, None)
    return facts


def roll_back(workplace: Workplace) -> dg.ExecuteInProcessResult:
    return defs.get_job_def("rollback").execute_in_process(instance=workplace.instance, raise_on_error=False)


def version(client: MongoClient[Any]) -> str:
    return str(client[DATABASE]["_migration_latest_schema_version"].find_one()["schema_version"])


def assert_released(workplace: Workplace, result: dg.ExecuteInProcessResult) -> None:
    assert result.success, failure_of(result)[1].description


def test_sixteen_parts_that_create_rename_and_delete_are_swapped_in_and_rolled_back(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    before = data_of(client)
    # The schema wants a calibration where 11.0.0 still has the file of one; its documents came with 11.1.0.
    result = workplace.release(from_version="10.2.0", target_version="11.0.0", integrity="warn")
    assert_released(workplace, result)
    assert version(client) == "11.0.0"
    plan = result.output_for_node("plan")
    assert [hop.module for hop in plan.migrators if hop.environment] == [
        "migrator_from_10_3_0_to_10_4_0",
        "migrator_from_10_2_0_to_11_0_0",
    ]
    assert plan.migrators[-1].environment == "11.0.0"
    changes = result.output_for_node("migrate").changes
    assert {(rename.old, rename.new) for rename in changes.renamed} == {
        ("omics_processing_set", "data_generation_set"),
        ("activity_set", "workflow_execution_set"),
    }
    assert set(changes.created) == {
        *("instrument_set", "material_processing_set", "protocol_execution_set", "storage_process_set")
    }
    assert {"extraction_set", "mags_activity_set", "pooling_set"} <= set(changes.deleted)
    assert "planned_process_set" in changes.untouched
    counted = {counts.name: counts for counts in result.output_for_node("migrate").counts}
    assert counted["omics_processing_set → data_generation_set"].changed == 6
    assert (counted["pooling_set"].removed, counted["material_processing_set"].added) == (1, 4)
    assert {counts.after for counts in counted.values() if counts.fate == "created"} == set(changes.created)

    after = data_of(client)
    live = {name for name in after["hashes"] if not name.startswith("_release.")}
    assert live == AFTER
    for rename in changes.renamed:
        assert after["indexes"][rename.new] == before["indexes"][rename.old], "a renamed collection keeps its indexes"
    assert "inputs" in str(after["indexes"]["data_generation_set"])
    for name in changes.deleted:
        previous = f"_release.previous.{name}"
        assert previous in client[DATABASE].list_collection_names(), name
    assert client[DATABASE].data_generation_set.count_documents({"type": "nmdc:MassSpectrometry"}) == 4
    assert client[DATABASE].workflow_execution_set.count_documents({}) == 8
    assert client[DATABASE].material_processing_set.count_documents({"extraction_targets": ["DNA"]}) == 1

    rolled_back = roll_back(workplace)
    assert rolled_back.success, failure_of(rolled_back)[1].description
    assert data_of(client) == before
    assert version(client) == "10.2.0"
    assert is_write_blocked(client) is False
    assert current_lease(client) is None


@pytest.mark.parametrize("workplace", [True], indirect=True, ids=["curated"])
def test_one_release_goes_all_the_way_from_before_berkeley_to_the_newest_schema_and_back(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    before = data_of(client)
    result = workplace.release(from_version="10.2.0", target_version="11.25", integrity="warn")
    assert_released(workplace, result)
    assert version(client) == "11.25.0"
    plan = result.output_for_node("plan")
    ran = {hop.module: hop.environment for hop in plan.migrators if hop.environment}
    assert len(ran) == 18
    assert len(set(ran.values())) == 18
    outcomes = result.output_for_node("migrate").migrators
    assert [outcome.module for outcome in outcomes] == [hop.module for hop in plan.migrators]
    assert (ReleaseHomeResource().attempt(plan, result.run_id) / "environments.json").is_file()
    log = "\n".join(entry.message for entry in workplace.instance.all_logs(result.run_id))
    assert "MIGRATION SUMMARY" in log and "RECORDS UPDATED" in log, "the reporter of 11.10.0 is heard"
    assert "migrator_from_11_22_0_to_11_23_0 is a no-op and is not run" in log
    association = client[DATABASE].data_generation_set.find_one({"has_credit_associations": {"$exists": True}})
    assert association is not None

    rolled_back = roll_back(workplace)
    assert rolled_back.success, failure_of(rolled_back)[1].description
    assert data_of(client) == before
    assert version(client) == "10.2.0"
