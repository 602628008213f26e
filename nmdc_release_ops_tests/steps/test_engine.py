"""The engine is chosen in `plan`, and is the one that dumps, loads and stages."""

import os
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.archive.manifest import Engine, read_manifest
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.mongo.state.lease import current_lease
from nmdc_release_ops.mongo.state.ledger import recorded_version
from nmdc_release_ops_tests.database_tools import TOOLS, needs_tools
from nmdc_release_ops_tests.workplace import Workplace, failure_of, make_workplace, untouched, workplace_fixture

workplace = workplace_fixture()


def test_plan_refuses_tools_that_are_not_installed(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = os.environ["PATH"].split(os.pathsep)
    without = [folder for folder in folders if not any((Path(folder) / tool).exists() for tool in TOOLS)]
    monkeypatch.setenv("PATH", os.pathsep.join(without))
    with MongoClient[Any](workplace.origin.server.uri) as client, untouched(client):
        step, failure = failure_of(workplace.release(target_version="11.25", engine="mongo-tools"))
    assert step == "plan"
    assert "needs mongodump and mongorestore, not found on PATH" in str(failure.description)
    assert "The origin was not touched. The origin is not frozen" in str(failure.description)


def test_an_engine_that_there_is_not_is_refused(workplace: Workplace) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError, match="mongo-tools"):
        workplace.release(target_version="11.25", engine="mongodump")


# The driver warns of a value that is none, and goes on without it; the tools refuse the connection string.
FOR_THE_DRIVER_ALONE = "&localThresholdMS=soon"


@needs_tools
@pytest.mark.filterwarnings("ignore:.*localthresholdms:UserWarning")
@pytest.mark.parametrize("whose", ["origin", "transformer"])
def test_plan_refuses_a_server_that_the_tools_cannot_work_with(
    workplace: Workplace, scratch_mongod: PrivateMongod, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    server = {"origin": workplace.origin.uri(), "transformer": scratch_mongod.uri}[whose]
    monkeypatch.setenv(f"NMDC_{whose.upper()}_URI", server + FOR_THE_DRIVER_ALONE)
    with MongoClient[Any](workplace.origin.server.uri) as client, untouched(client):
        step, failure = failure_of(workplace.release(target_version="11.25", engine="mongo-tools"))
    assert step == "plan"
    text = str(failure.description)
    assert f"mongodump cannot work with the {whose} at 127.0.0.1:{server.rpartition(':')[2].partition('/')[0]}" in text
    assert "localThresholdMS" in text and "or launch with engine: native" in text.lower()
    assert "The origin was not touched. The origin is not frozen: no release holds it." in text
    assert secret_in(workplace.origin.uri()) not in text
    assert not any(workplace.home.glob("origins/*/releases/*"))


def secret_in(uri: str) -> str:
    return uri.partition("@")[0].rpartition(":")[2]


@needs_tools
@pytest.mark.faults
@pytest.mark.parametrize("login", ["&authSource=admin", ""], ids=["names authSource", "leaves authSource out"])
def test_a_release_goes_through_with_the_database_tools_and_a_private_transformer(
    tmp_path: Path, schema_cache: Path, monkeypatch: pytest.MonkeyPatch, login: str
) -> None:
    with contextmanager(make_workplace)(tmp_path, schema_cache, scale=500) as workplace:
        uri = workplace.origin.uri()
        assert "&authSource=admin" in uri
        monkeypatch.setenv("NMDC_ORIGIN_URI", uri.replace("&authSource=admin", login))
        result = workplace.release(target_version="11.25", engine="mongo-tools")
        assert result.success, [event.message for event in result.all_events if event.is_failure]
        assert result.output_for_node("plan").engine is Engine.MONGO_TOOLS
        archive = result.output_for_node("dump")
        assert read_manifest(archive.path).engine is Engine.MONGO_TOOLS
        assert {one.name for one in result.output_for_node("restore").staged} == set(
            result.output_for_node("migrate").changes.staged
        )
        with MongoClient[Any](workplace.origin.server.uri) as client:
            assert recorded_version(client[DATABASE]) == "11.25.0"
            assert current_lease(client) is None and is_write_blocked(client) is False
        files = [path for path in archive.path.parent.rglob("*") if path.is_file()]
        assert not any(secret_in(uri).encode() in path.read_bytes() for path in files)
