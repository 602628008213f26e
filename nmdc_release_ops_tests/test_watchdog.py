"""The origin is not left frozen by a run that is over, and never thawed under one that goes on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.changes import ChangeSet
from nmdc_release_ops.mongo.freeze import freeze, thaw
from nmdc_release_ops.mongo.holder import Holder
from nmdc_release_ops.mongo.lease import current_lease
from nmdc_release_ops.mongo.privileges import STATE_DATABASE
from nmdc_release_ops.mongo.swap import prepare_swap
from nmdc_release_ops.mongo.topology import is_write_blocked
from nmdc_release_ops.resources import OriginResource
from nmdc_release_ops.sensors import frozen_origin_watchdog
from nmdc_release_ops.steps.thaw import SwapUnderWay
from nmdc_release_ops_tests.conftest import Workplace, make_workplace


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, schema_cache: Path) -> Iterator[Workplace]:
    yield from make_workplace(tmp_path_factory.mktemp("watchdog"), schema_cache, scale=500)


@pytest.fixture
def client(workplace: Workplace) -> Iterator[MongoClient[Any]]:
    with MongoClient(workplace.origin.server.uri) as found:
        yield found
        thaw(found, "a-release", "the-test")
        found[STATE_DATABASE].journal.delete_many({})


def tick(workplace: Workplace) -> str:
    context = dg.build_sensor_context(instance=workplace.instance, resources={"origin": OriginResource()})
    reason = frozen_origin_watchdog(context)
    assert isinstance(reason, dg.SkipReason)
    return str(reason.skip_message)


def run_with_status(workplace: Workplace, status: dg.DagsterRunStatus) -> str:
    return workplace.instance.create_run_for_job(defs.get_job_def("data_release"), status=status).run_id


def test_an_origin_that_nobody_holds_is_left_alone(workplace: Workplace, client: MongoClient[Any]) -> None:
    assert tick(workplace) == "No release holds the origin."


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED])
def test_the_origin_of_a_run_that_is_over_is_thawed(
    workplace: Workplace, client: MongoClient[Any], status: dg.DagsterRunStatus
) -> None:
    freeze(client, "a-release", run_with_status(workplace, status))
    assert "had left the origin frozen" in tick(workplace)
    assert is_write_blocked(client) is False and current_lease(client) is None


def test_the_origin_of_a_run_that_goes_on_stays_frozen(workplace: Workplace, client: MongoClient[Any]) -> None:
    freeze(client, "a-release", run_with_status(workplace, dg.DagsterRunStatus.STARTED))
    assert "goes on" in tick(workplace)
    assert is_write_blocked(client) is True


_FREEZE_AND_DIE = """
import os, sys
from pymongo import MongoClient
from nmdc_release_ops.mongo.freeze import freeze
freeze(MongoClient(os.environ["NMDC_ORIGIN_URI"]), "a-release", sys.argv[1])
os.kill(os.getpid(), 9)
"""


def test_a_run_whose_process_was_killed_is_thawed_and_marked_as_failed(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    run_id = run_with_status(workplace, dg.DagsterRunStatus.STARTED)
    environment = {**os.environ, **workplace.environment()}
    killed = subprocess.run([sys.executable, "-c", _FREEZE_AND_DIE, run_id], env=environment, check=False)
    assert killed.returncode == -9
    assert is_write_blocked(client) is True
    assert "had left the origin frozen" in tick(workplace)
    assert is_write_blocked(client) is False and current_lease(client) is None
    run = workplace.instance.get_run_by_id(run_id)
    assert run is not None and run.status is dg.DagsterRunStatus.FAILURE


def test_a_process_on_another_machine_is_not_taken_for_gone() -> None:
    here = Holder.this_process()
    assert not here.is_gone()
    assert not here.model_copy(update={"host": "elsewhere", "pid": 2**22 + 1}).is_gone()
    assert here.model_copy(update={"pid": 2**22 + 1}).is_gone()
    # The number of a process that has ended may be given to another one.
    assert here.model_copy(update={"started": (here.started or 0) - 1}).is_gone()


def test_a_run_of_another_dagster_is_named_and_left_alone(workplace: Workplace, client: MongoClient[Any]) -> None:
    freeze(client, "a-release", "11111111-2222-3333-4444-555555555555")
    assert "which this Dagster does not know" in tick(workplace)
    assert is_write_blocked(client) is True


def test_half_a_swap_raises_an_alarm_and_stays_frozen(workplace: Workplace, client: MongoClient[Any]) -> None:
    freeze(client, "a-release", run_with_status(workplace, dg.DagsterRunStatus.FAILURE))
    prepare_swap(
        client[DATABASE],
        ChangeSet(changed=[], created=[], renamed=[], deleted=[], untouched=[]),
        release_id="a-release",
        from_version="1.0.0",
        to_version="2.0.0",
        migrator_module="",
    )
    with pytest.raises(SwapUnderWay, match="stays frozen on purpose"):
        tick(workplace)
    assert is_write_blocked(client) is True


def test_the_watchdog_is_on_without_being_asked_for() -> None:
    assert frozen_origin_watchdog.default_status is dg.DefaultSensorStatus.RUNNING
