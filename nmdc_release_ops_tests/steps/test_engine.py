"""The engine is chosen in `plan`, and is the one that dumps, loads and stages."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from nmdc_release_ops.mongo.archive import Engine, read_manifest
from nmdc_release_ops_tests.conftest import Workplace, failure_of, make_workplace, untouched
from nmdc_release_ops_tests.database_tools import TOOLS, needs_tools


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, schema_cache: Path) -> Iterator[Workplace]:
    yield from make_workplace(tmp_path_factory.mktemp("engine"), schema_cache, scale=500)


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
    with pytest.raises(Exception, match="mongo-tools"):
        workplace.release(target_version="11.25", engine="mongodump")


@needs_tools
@pytest.mark.faults
def test_a_release_goes_through_with_the_database_tools(workplace: Workplace) -> None:
    result = workplace.release(target_version="11.25", engine="mongo-tools")
    assert result.success
    assert result.output_for_node("plan").engine is Engine.MONGO_TOOLS
    archive = result.output_for_node("dump")
    assert read_manifest(archive.path).engine is Engine.MONGO_TOOLS
    assert {one.name for one in result.output_for_node("restore").staged} == set(
        result.output_for_node("migrate").changes.staged
    )
    secret = workplace.origin.uri().partition("@")[0].rpartition(":")[2]
    assert secret not in "".join(
        path.read_text(errors="replace") for path in archive.path.parent.rglob("*") if path.is_file()
    )
