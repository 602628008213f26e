"""A validation that hangs does not keep the origin frozen."""

from threading import Thread
from typing import Any

import psutil
import pytest
from pymongo import MongoClient

from nmdc_release_ops_tests.steps.held_worker import held, pool_of
from nmdc_release_ops_tests.workplace import Workplace, failure_of, untouched, workplace_fixture

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1_800)]


workplace = workplace_fixture()


def test_a_validation_that_hangs_is_ended_after_its_time_and_the_origin_is_thawed(workplace: Workplace) -> None:
    results: list[Any] = []
    processes: list[psutil.Process] = []

    def hang() -> None:
        with held("validate", lambda: psutil.Process().children(recursive=True), seconds=900) as worker:
            processes.extend([worker, *pool_of(worker)])
            worker.wait(timeout=600)

    hanging = Thread(target=hang, daemon=True)
    hanging.start()
    with MongoClient[Any](workplace.origin.server.uri) as client, untouched(client):
        results.append(workplace.release(target_version="11.25", validation_timeout=1))
        step, failure = failure_of(results[0])
    hanging.join(60)
    assert step == "validate"
    assert failure.metadata["error"].value == "ValidationTimedOut"
    assert "Validation did not finish within 1 min 0 s (validation_timeout) and was terminated" in failure.description
    assert len(processes) > 1
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert alive == []
