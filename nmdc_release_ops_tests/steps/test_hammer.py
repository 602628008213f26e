"""Somebody writes to the origin all the time: every write that was acknowledged is there afterwards, or its release was
refused."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.demo.origin import DATABASE, DemoOrigin
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.mongo.state.lease import current_lease
from nmdc_release_ops_tests.fault_point import Point, at
from nmdc_release_ops_tests.hammer import Hammer, hammering, lost_writes, read_account
from nmdc_release_ops_tests.prepared_release import (
    AFTER,
    BEFORE,
    CONFIG,
    data_release,
    failed_plainly,
    put_back,
    recorded_version,
)
from nmdc_release_ops_tests.workplace import Workplace, workplace_around, workplace_fixture

pytestmark = pytest.mark.faults

FROM_DUMP = ["dump", "migrate", "validate", "restore", "unfreeze"]


workplace = workplace_fixture(warm="workers")


@pytest.fixture(scope="module")
def unguarded(tmp_path_factory: pytest.TempPathFactory, warm_schema: Path) -> Iterator[Workplace]:
    """A workplace whose origin does not require authentication, so that a release cannot prevent writes."""
    folder = tmp_path_factory.mktemp("unguarded")
    server = PrivateMongod.start(folder / "origin", authentication=False)
    yield from workplace_around(DemoOrigin.fill(server, scale=500, log=lambda line: None), folder, warm_schema)


@pytest.fixture
def client(workplace: Workplace) -> Iterator[MongoClient[Any]]:
    with MongoClient[Any](workplace.origin.server.uri) as found:
        yield found
        put_back(found)


@pytest.fixture
def hammer(workplace: Workplace, client: MongoClient[Any], tmp_path: Path) -> Iterator[Hammer]:
    with hammering(workplace.origin.uri("nmdc_editor"), tmp_path / "account.jsonl") as running:
        yield running


def release(workplace: Workplace, **config: Any) -> dg.JobExecutionResult:
    return dg.execute_job(
        dg.reconstructable(data_release),
        instance=workplace.instance,
        run_config={"ops": {"plan": {"config": {"target_version": "11.25", **config}}}},
        raise_on_error=False,
    )


def reexecute(workplace: Workplace, options: dg.ReexecutionOptions) -> dg.JobExecutionResult:
    return dg.execute_job(
        dg.reconstructable(data_release),
        instance=workplace.instance,
        run_config=CONFIG,
        reexecution_options=options,
        raise_on_error=False,
    )


def assert_nothing_lost(hammer: Hammer, client: MongoClient[Any], version: str) -> None:
    hammer.kill()
    assert lost_writes(hammer.account, client[DATABASE]) == []
    assert recorded_version(client) == version
    assert current_lease(client) is None and is_write_blocked(client) is False


def test_the_hammer_notices_every_kind_of_lost_write(hammer: Hammer, client: MongoClient[Any]) -> None:
    hammer.wait_for_more("acknowledged", "jobs", writes=40)
    hammer.kill()
    database = client[DATABASE]
    assert lost_writes(hammer.account, database) == []
    # What the last write before the kill did to its document is in doubt, so it cannot show a loss.
    in_doubt = [entry.id for entry in read_account(hammer.account) if entry.outcome == "in doubt"]
    written = {"name": {"$regex": "^(inserted|updated)"}, "id": {"$nin": in_doubt}}
    inserted, updated = database.jobs.find_one(written), database.biosample_set.find_one(written)
    database.jobs.delete_one({"_id": inserted["_id"]})
    database.biosample_set.update_one({"_id": updated["_id"]}, {"$set": {"name": "as it was before"}})
    lost = lost_writes(hammer.account, database)
    assert [line.partition(":")[0].split()[0] for line in sorted(lost)] == ["biosample_set", "jobs"]
    assert inserted["id"] in str(lost) and updated["id"] in str(lost)
    database.jobs.insert_one(inserted)
    database.biosample_set.replace_one({"_id": updated["_id"]}, updated)
    assert lost_writes(hammer.account, database) == []


def test_a_document_that_was_not_found_in_a_swap_has_to_be_there_in_the_end_unless_it_was_deleted_later(
    client: MongoClient[Any], tmp_path: Path
) -> None:
    account = tmp_path / "account.jsonl"
    tried = [
        ("nmdc:deleted", "new", "matched nothing"),
        ("nmdc:deleted", None, "acknowledged"),
        ("nmdc:lost", "new", "matched nothing"),
        ("nmdc:lost-too", None, "matched nothing"),
    ]
    with account.open("w") as lines:
        for number, (identifier, value, outcome) in enumerate(tried):
            lines.write(json.dumps({"number": number, "collection": "jobs", "id": identifier, "value": value}) + "\n")
            lines.write(json.dumps({"number": number, "outcome": outcome}) + "\n")
    lost = lost_writes(account, client[DATABASE])
    assert sorted(lost) == ["jobs nmdc:lost-too: is gone", "jobs nmdc:lost: is gone"]


def test_every_acknowledged_write_before_during_and_after_a_release_is_there(
    hammer: Hammer, workplace: Workplace, client: MongoClient[Any]
) -> None:
    assert release(workplace).success
    assert hammer.count("refused") > 0
    for collection in ("biosample_set", "study_set", "jobs"):
        hammer.wait_for_more("acknowledged", collection)
    assert_nothing_lost(hammer, client, AFTER)


def test_writes_between_a_failure_and_its_re_execution_are_kept_by_refusing_until_the_dump_is_made_again(
    hammer: Hammer, workplace: Workplace, client: MongoClient[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformer = PrivateMongod.start(tmp_path / "transformer", authentication=False)
    monkeypatch.setenv("NMDC_TRANSFORMER_URI", transformer.uri)
    monkeypatch.setattr("nmdc_release_ops.mongo.server.connection.SELECTION_SECONDS", 1)
    with at(Point("migrate", "insert"), workplace.instance, lambda: os.kill(transformer.pid, signal.SIGKILL)):
        failed = release(workplace)
    assert "The transformer stopped answering" in failed_plainly(failed)
    transformer.stop()
    again = PrivateMongod.start(tmp_path / "transformer", authentication=False, port=transformer.port)
    try:
        for collection in ("biosample_set", "study_set"):
            hammer.wait_for_more("acknowledged", collection)
        refused = reexecute(workplace, dg.ReexecutionOptions.from_failure(failed.run_id, workplace.instance))
        message = failed_plainly(refused)
        assert "biosample_set, study_set of the origin changed since it was dumped" in message
        assert "Re-execute this run from `dump`" in message
        hammer.wait_for_more("acknowledged", "study_set")
        hammer.pause()
        assert recorded_version(client) == BEFORE
        assert lost_writes(hammer.account, client[DATABASE]) == []
        hammer.go_on()
        made = reexecute(workplace, dg.ReexecutionOptions(refused.run_id, step_selection=FROM_DUMP))
        assert made.success, failed_plainly(made)
    finally:
        again.stop()
    hammer.wait_for_more("acknowledged", "study_set")
    assert_nothing_lost(hammer, client, AFTER)


def test_where_nobody_can_be_kept_from_writing_the_release_is_refused(unguarded: Workplace, tmp_path: Path) -> None:
    with MongoClient[Any](unguarded.origin.server.uri) as client:
        uri = unguarded.origin.uri("nmdc_editor")
        with hammering(uri, tmp_path / "account.jsonl") as hammer:

            def go_on() -> None:
                hammer.go_on()
                hammer.wait_for_more("acknowledged", "study_set")

            # While it is dumped it is left in peace: the dump would notice at once, and `restore` would not be reached.
            dump, migrate = Point("dump", "aggregate", "before"), Point("migrate", "insert")
            with at(dump, unguarded.instance, hammer.pause), at(migrate, unguarded.instance, go_on):
                result = release(unguarded, allow_without_authorization=True)
            (failed,) = [event.step_key for event in result.all_events if event.is_step_failure]
            assert failed == "restore"
            assert "of the origin changed since it was dumped" in failed_plainly(result)
            assert_nothing_lost(hammer, client, BEFORE)
