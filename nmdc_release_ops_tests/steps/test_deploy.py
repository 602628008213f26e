"""After a data release the Runtime is deployed where that is configured, and only there."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from pymongo import MongoClient

from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops_tests.services import rancher_server
from nmdc_release_ops_tests.services.loopback import breaks_off
from nmdc_release_ops_tests.services.rancher_server import loopback_rancher
from nmdc_release_ops_tests.workplace import Workplace, workplace_fixture

# What is wired is decided when the code is loaded, so each runs in a process of its own. Dagster is imported once for all.
_STEPS = """
import json, os, sys
import dagster, pymongo
for variables in json.loads(sys.argv[1]):
    if os.fork() == 0:
        os.environ.update(variables)
        from nmdc_release_ops.definitions import defs
        print(json.dumps(sorted(defs.get_job_def("data_release").graph.node_names())), flush=True)
        os._exit(0)
    assert os.wait()[1] == 0
"""
_RELEASE = """
import json, os
import dagster as dg
from nmdc_release_ops.definitions import defs
with dg.DagsterInstance.get() as instance:
    result = defs.get_job_def("data_release").execute_in_process(
        run_config={"ops": {"plan": {"config": {"target_version": "11.25"}}}}, instance=instance, raise_on_error=False
    )
failed = [event for event in result.all_events if event.is_step_failure]
said = failed[0].step_failure_data.user_failure_data.description if failed else ""
print(json.dumps({"failed": [event.step_key for event in failed], "said": said}))
"""


def run(code: str, environment: dict[str, str], *arguments: str) -> list[str]:
    """The lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()


def release(environment: dict[str, str]) -> Any:
    return json.loads(run(_RELEASE, environment)[-1])


workplace = workplace_fixture(scope="function")


def test_the_graph_has_a_deployment_only_where_one_is_configured() -> None:
    environments = [{}, {"NMDC_RANCHER_URL": "https://rancher.example.org"}, {"NMDC_DEPLOY_WORKFLOWS": "[]"}]
    plain, rancher, workflows = map(json.loads, run(_STEPS, {}, json.dumps(environments)))
    assert "deploy" not in plain
    assert rancher == workflows == sorted([*plain, "deploy"])


@pytest.mark.faults
def test_a_setting_that_is_missing_is_named_before_the_freeze_and_a_deployment_that_fails_leaves_a_complete_release_and_says_so(
    workplace: Workplace,
) -> None:
    with loopback_rancher() as rancher:
        rancher.fail("POST", "dagster-dagit", breaks_off)
        environment = {
            **workplace.environment(),
            "NMDC_RANCHER_URL": rancher.url,
            "NMDC_RANCHER_CONTEXT": rancher_server.CONTEXT,
            "NMDC_RANCHER_NAMESPACE": rancher_server.NAMESPACE,
            "NMDC_RANCHER_TOKEN": rancher_server.TOKEN,
        }
        misconfigured = release({**environment, "NMDC_RANCHER_TOKEN": ""})
        assert misconfigured["failed"] == ["plan"]
        assert "NMDC_RANCHER_TOKEN is not" in misconfigured["said"] and "was not touched" in misconfigured["said"]
        result = release(environment)
        assert len(rancher.requests) == 3
    assert result["failed"] == ["deploy"]
    assert "1 of 3 were not deployed:\n- deployment dagster-dagit" in result["said"]
    assert "The data release itself is complete" in result["said"]
    with MongoClient[Any](workplace.origin.server.uri) as client:
        assert client[DATABASE]["_migration_latest_schema_version"].find_one() == {"schema_version": "11.25.0"}
        client[DATABASE].jobs.insert_one({"id": "written after the release"})
