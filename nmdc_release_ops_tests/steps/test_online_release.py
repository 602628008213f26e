"""An online release begins as a rehearsal does, and is none: it is carried out in the same run."""

from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.archive.manifest import read_manifest
from nmdc_release_ops.mongo.freezing.freeze import freeze
from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.state.lease import Strategy
from nmdc_release_ops.records.data_release import Purpose, ReleasePlan, ValidationReport
from nmdc_release_ops.records.rehearsed import REHEARSED
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops_tests.workplace import Workplace, failure_of, untouched, workplace_fixture

workplace = workplace_fixture(scale=200)


def execute(workplace: Workplace, *steps: str) -> dg.ExecuteInProcessResult:
    """The first steps of an online release."""
    config = {"target_version": "11.24.0", "max_frozen_seconds": 4}
    return defs.get_job_def("online_release").execute_in_process(
        run_config={"ops": {"plan": {"config": config}}},
        instance=workplace.instance,
        raise_on_error=False,
        op_selection=list(steps),
    )


@pytest.fixture(scope="module")
def validated(workplace: Workplace) -> dg.ExecuteInProcessResult:
    with MongoClient[Any](workplace.origin.server.uri) as client, untouched(client):
        result = execute(workplace, "plan", "dump", "migrate", "validate")
    assert result.success
    return result


def test_it_dumps_migrates_and_validates_while_people_write(validated: dg.ExecuteInProcessResult) -> None:
    plan: ReleasePlan = validated.output_for_node("plan")
    assert (plan.purpose, plan.max_frozen_seconds, plan.rehearsal) == (Purpose.ONLINE_RELEASE, 4, None)
    assert plan.catches_up
    assert read_manifest(ReleaseHomeResource().archive(plan)).was_frozen is False


def test_it_keeps_the_ids_of_all_documents(validated: dg.ExecuteInProcessResult) -> None:
    report: ValidationReport = validated.output_for_node("validate")
    assert report.identifiers_path == ReleaseHomeResource().identifiers(validated.output_for_node("plan"))
    assert report.identifiers_path.is_file()


def test_it_is_no_rehearsal(workplace: Workplace, validated: dg.ExecuteInProcessResult) -> None:
    """Nobody is told to promote it, the next rehearsal does not remove it, and no promotion takes it."""
    plan: ReleasePlan = validated.output_for_node("plan")
    assert validated.output_for_node("validate").conclusion == ""
    assert workplace.instance.fetch_materializations(dg.AssetKey(["nmdc", "rehearsal"]), limit=1).records == []
    assert ReleaseHomeResource().find_rehearsals(plan.origin, plan.database) == []
    assert not (ReleaseHomeResource().release(plan) / REHEARSED).exists()


def test_its_plan_refuses_while_another_release_holds_the_origin(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    """It freezes in the end, as a release does; a rehearsal would go on."""
    freeze(client, "another", "a-run", Strategy.WRITE_BLOCK, database=DATABASE, drain_timeout=10)
    try:
        step, failure = failure_of(execute(workplace, "plan"))
    finally:
        thaw(client, "another", thawed_by="a-run")
    assert step == "plan"
    assert "another" in failure.description
