"""A release whose disk fills up while it dumps leaves the origin as it was, and thawed."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops_tests.full_disk import BYTES, FULL_DISKS, FullDisk
from nmdc_release_ops_tests.workplace import Workplace, failure_of, make_workplace, untouched

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, schema_cache: Path) -> Iterator[Workplace]:
    for workplace in make_workplace(tmp_path_factory.mktemp("full-disk"), schema_cache, scale=500):
        with MongoClient[Any](workplace.origin.server.uri) as client:
            # They are never validated. What is random is not made smaller by compressing it.
            client[DATABASE].data_object_set.insert_many(
                {"id": f"nmdc:large-{n}", "content": os.urandom(100_000)} for n in range(BYTES // 25_000)
            )
        yield workplace


@FULL_DISKS
def test_a_disk_that_fills_up_during_the_dump_ends_the_release_and_thaws_the_origin(
    workplace: Workplace, full_disk: FullDisk, scratch_mongod: PrivateMongod, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A private one would not even start there.
    monkeypatch.setenv("NMDC_TRANSFORMER_URI", scratch_mongod.uri)
    origins = workplace.home / "origins"
    origins.mkdir(exist_ok=True)
    with MongoClient[Any](workplace.origin.server.uri) as client, untouched(client), full_disk(origins) as message:
        result = workplace.release(target_version="11.25")
        step, failure = failure_of(result)
        assert step == "dump"
        (release,) = [path for path in origins.glob("*/releases/*") if result.run_id[:8] in path.name]
        # What `plan` notes of the schema environments stays, and the release's page; nothing of the archive does.
        files = sorted(path.name for path in release.rglob("*") if path.is_file())
        assert files == ["environments.json", "in-use", "release.html", "release.json", "schema-changes.html"]
        assert "could not be written" in (release / "release.html").read_text()
    assert f"The archive could not be written to {release / 'archive'}: {message}." in str(failure.description)
    assert "The origin's data are unchanged." in str(failure.description)
