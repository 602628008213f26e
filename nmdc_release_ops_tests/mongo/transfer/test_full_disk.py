"""A dump that finds no room says so and leaves nothing behind."""

import os
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from nmdc_release_ops.mongo.archive.making import DumpFailed
from nmdc_release_ops.mongo.archive.manifest import Engine
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.progress import silent
from nmdc_release_ops.mongo.transfer import engine
from nmdc_release_ops_tests.database_tools import ENGINES
from nmdc_release_ops_tests.full_disk import BYTES, FULL_DISKS, FullDisk
from nmdc_release_ops_tests.mongo.transfer.side import Side


@FULL_DISKS
@pytest.mark.parametrize("by", ENGINES)
def test_a_dump_that_finds_no_room_names_the_folder_and_leaves_nothing(
    scratch_mongod: PrivateMongod, tmp_path: Path, by: Engine, full_disk: FullDisk
) -> None:
    with MongoClient[Any](scratch_mongod.uri) as client:
        database = client[f"full_{ObjectId()}"]
        for name in ("one_set", "two_set", "three_set"):
            database[name].insert_many({"bytes": os.urandom(100_000)} for _ in range(BYTES // 40_000))
        try:
            with full_disk(tmp_path) as message:
                with pytest.raises(DumpFailed) as failure:
                    engine.dump(
                        by,
                        Side(database, scratch_mongod.uri),
                        database.list_collection_names(),
                        tmp_path / "archive",
                        release_id="r",
                        cluster_time=ClusterTime(seconds=1, increment=1),
                        report=silent,
                        log=lambda line: None,
                    )
                assert list(tmp_path.iterdir()) == []
        finally:
            client.drop_database(database.name)
    assert str(tmp_path / "archive") in str(failure.value)
    assert message.lower() in str(failure.value).lower()
    assert "Make room, or point NMDC_RELEASE_HOME at a larger disk" in str(failure.value)
