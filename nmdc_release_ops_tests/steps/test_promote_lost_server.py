"""A promotion whose server steps down, or forgets its history: nothing is lost, nobody stays locked out, and
what was written meanwhile is released too."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from nmdc_release_ops.demo.origin import CACHE_GIGABYTES, DATABASE, DemoOrigin
from nmdc_release_ops.mongo.delta.moment import oplog_reaches_back_to, present_moment
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.mongo.state.lease import current_lease
from nmdc_release_ops_tests.fault_point import Point, at
from nmdc_release_ops_tests.prepared_release import AFTER, data_hashes, put_back, recorded_version, tick
from nmdc_release_ops_tests.replica_set import ReplicaSet
from nmdc_release_ops_tests.steps.validated_release import SECOND_HALF, Validated
from nmdc_release_ops_tests.workplace import (
    Workplace,
    failure_of,
    replicated_workplace_fixture,
    untouched,
    workplace_around,
)

pytestmark = pytest.mark.faults
workplace = replicated_workplace_fixture()


@contextmanager
def meanwhile(client: MongoClient[Any], last: MongoClient[Any]) -> Iterator[None]:
    """What people wrote since the rehearsal, to collections that migrators change and do not use; `last` puts it back."""
    database = client[DATABASE]
    study, instrument = (database[name].find_one(sort=[("id", 1)]) for name in ("study_set", "instrument_set"))
    assert study is not None and instrument is not None
    database.study_set.update_one({"_id": study["_id"]}, {"$set": {"name": "written meanwhile"}})
    database.instrument_set.update_one({"_id": instrument["_id"]}, {"$set": {"name": "written meanwhile"}})
    yield
    # On the origin as it was before the release.
    last[DATABASE].study_set.replace_one({"_id": study["_id"]}, study)
    last[DATABASE].instrument_set.replace_one({"_id": instrument["_id"]}, instrument)


def finish(release: Validated) -> None:
    """Carry out the second half; after a failure, see that nothing is lost, and re-execute from failure."""
    uri = release.workplace.origin.server.uri
    result = release.execute("catch_up", *SECOND_HALF)
    if not result.success:
        failure_of(result)
        tick(release.workplace.instance)
        with MongoClient[Any](uri) as client:
            # Where a swap was begun, it stays frozen; otherwise nobody is locked out.
            assert is_write_blocked(client) is (current_lease(client) is not None)
        again = release.execute_from_failure()
        assert again.success, failure_of(again)
    with MongoClient[Any](uri) as client:
        assert recorded_version(client) == AFTER
        assert current_lease(client) is None and is_write_blocked(client) is False


@pytest.fixture(scope="module")
def expected(workplace: Workplace) -> dict[str, str]:
    """The data that a promotion ends with that nothing disturbs."""
    with MongoClient[Any](workplace.origin.server.uri) as client:
        release = Validated(workplace)
        with meanwhile(client, client):
            finish(release)
            hashes = data_hashes(client)
            put_back(client)
    return hashes


@pytest.mark.parametrize(
    "point",
    [
        Point("catch_up", "aggregate", "before", number=2),
        Point("catch_up", "create", "after"),
        Point("freeze", "setUserWriteBlockMode", "after"),
        Point("freeze", "renameCollection", "after", number=3),
        Point("unfreeze", "find", "after", number=2),
    ],
    ids=str,
)
def test_a_step_down_is_survived_and_what_was_written_meanwhile_is_released(
    workplace: Workplace, members: ReplicaSet, expected: dict[str, str], point: Point
) -> None:
    uri = workplace.origin.server.uri
    # A new connection for each part: one that wrote to a primary of an earlier term fails when it becomes the primary again.
    with MongoClient[Any](uri) as client, MongoClient[Any](uri) as last:
        release = Validated(workplace)
        with meanwhile(client, last):
            with at(point, workplace.instance, members.step_down):
                finish(release)
            with MongoClient[Any](uri) as later:
                assert data_hashes(later) == expected
                put_back(later)


def test_an_oplog_that_was_overrun_since_the_rehearsal_asks_for_another_one_and_changes_nothing(
    tmp_path: Path, warm_schema: Path
) -> None:
    server = PrivateMongod.start(tmp_path / "origin", cache_gigabytes=CACHE_GIGABYTES, oplog_megabytes=16)
    origin = DemoOrigin.fill(server, scale=100, log=lambda line: None)
    for workplace in workplace_around(origin, tmp_path, warm_schema):
        with MongoClient[Any](origin.server.uri) as client:
            release = Validated(workplace)
            overrun(client)
            with untouched(client):
                step, text = release.fail("catch_up", *SECOND_HALF)
            assert step == "catch_up" and "oplog" in text
            Validated(workplace).succeed("catch_up", *SECOND_HALF)
            assert recorded_version(client) == AFTER


def overrun(client: MongoClient[Any]) -> None:
    """Write until the oplog no longer reaches back to this moment. Takes a minute: nothing newer than the last checkpoint is
    removed."""
    since = present_moment(client)
    while (begins := oplog_reaches_back_to(client)) is None or begins.timestamp() <= since.timestamp():
        client.noise.a_set.insert_many({"x": "x" * 1_000_000} for _ in range(8))
        client.noise.a_set.drop()
