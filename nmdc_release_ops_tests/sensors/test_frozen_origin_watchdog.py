"""The origin is not left frozen by a run that is over, and never thawed under one that goes on."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.difference.changes import ChangeSet
from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.mongo.state import heartbeat
from nmdc_release_ops.mongo.state.database import STATE_DATABASE
from nmdc_release_ops.mongo.state.holder import Holder
from nmdc_release_ops.mongo.state.journal import SwapUnderWay, journals
from nmdc_release_ops.mongo.state.lease import SILENT_SECONDS, LeaseHeld, current_lease
from nmdc_release_ops.mongo.state.ledger import EVENTS, LATEST_VERSION
from nmdc_release_ops.mongo.swapping.swap import SwappedRelease, perform_swap, prepare_swap
from nmdc_release_ops.resources.notices import NoticesResource
from nmdc_release_ops.resources.origin import OriginResource
from nmdc_release_ops.sensors.frozen_origin_watchdog import frozen_origin_watchdog
from nmdc_release_ops_tests.mongo.blocking import freeze_by_block
from nmdc_release_ops_tests.services.webhook_server import loopback_webhook
from nmdc_release_ops_tests.workplace import Workplace, workplace_fixture

NO_CHANGES = ChangeSet(changed=[], created=[], renamed=[], deleted=[], untouched=[])
VERSIONS = {"from_version": "1.0.0", "to_version": "2.0.0", "migrator_module": ""}


workplace = workplace_fixture()


@pytest.fixture
def client(workplace: Workplace) -> Iterator[MongoClient[Any]]:
    with MongoClient(workplace.origin.server.uri) as found:
        yield found
        journals(found).delete_many({})
        thaw(found, "a-release", "the-test")


def tick(workplace: Workplace) -> str:
    context = dg.build_sensor_context(
        instance=workplace.instance, resources={"origin": OriginResource(), "notices": NoticesResource()}
    )
    reason = frozen_origin_watchdog(context)
    assert isinstance(reason, dg.SkipReason)
    return str(reason.skip_message)


def run_with_status(workplace: Workplace, status: dg.DagsterRunStatus) -> str:
    return workplace.instance.create_run_for_job(defs.get_job_def("data_release"), status=status).run_id


def test_an_origin_that_nobody_holds_is_left_alone(workplace: Workplace, client: MongoClient[Any]) -> None:
    assert tick(workplace) == "The origin is not frozen: no release holds it."


def test_monitoring_sees_when_it_ticked_last(workplace: Workplace, client: MongoClient[Any]) -> None:
    before = time.time()
    tick(workplace)
    (metrics,) = workplace.home.glob("*.prom")
    (ticked,) = re.findall(
        r"^nmdc_release_watchdog_tick_timestamp_seconds\{.*\} (.+)$", metrics.read_text(), re.MULTILINE
    )
    assert float(ticked) >= round(before, 3)


def test_what_a_release_owes_the_ledger_is_written_as_soon_as_it_can_be(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    database = client[DATABASE]
    with MongoClient[Any](workplace.origin.uri()) as operator:
        freeze_by_block(operator, "a-release", "a-run")
        begun = prepare_swap(
            operator[DATABASE], NO_CHANGES, SwappedRelease("a-release", **VERSIONS), "a-run", staged=[]
        )
        database.command("collMod", EVENTS, validator={"author": {"$exists": True}})
        assert perform_swap(operator[DATABASE], begun, "a-run").owed is not None
        thaw(operator, "a-release", "a-run")
    try:
        text = tick(workplace)
        assert (
            "Release a-release brought the database to schema 2.0.0. The ledger lacks the event MIGRATION_COMPLETED"
            in text
        )
        assert "Document failed validation" in text
        database.command("collMod", EVENTS, validator={})
        assert tick(workplace) == "The missing event of release a-release was written into the ledger."
        assert database[LATEST_VERSION].find_one() == {"schema_version": "2.0.0"}
        assert tick(workplace) == "The origin is not frozen: no release holds it."
    finally:
        database.command("collMod", EVENTS, validator={})
        database[EVENTS].delete_many({"release_id": "a-release"})


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED])
def test_the_origin_of_a_run_that_is_over_is_thawed(
    workplace: Workplace, client: MongoClient[Any], status: dg.DagsterRunStatus
) -> None:
    freeze_by_block(client, "a-release", run_with_status(workplace, status))
    assert "had left the origin frozen" in tick(workplace)
    assert is_write_blocked(client) is False and current_lease(client) is None


def test_the_run_whose_origin_was_thawed_says_so_in_its_log_and_a_notice_is_sent(
    workplace: Workplace, client: MongoClient[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = run_with_status(workplace, dg.DagsterRunStatus.CANCELED)
    freeze_by_block(client, "a-release", run_id)
    with loopback_webhook() as webhook:
        monkeypatch.setenv("NMDC_NOTICE_WEBHOOK", webhook.address)
        assert "is not frozen" not in tick(workplace)
        assert "is not frozen" in tick(workplace)
    (text,) = webhook.texts
    assert run_id in text and "had left the origin frozen" in text and "writes are allowed again" in text
    (line,) = [entry.message for entry in workplace.instance.all_logs(run_id) if "watchdog" in entry.message]
    assert "frozen_origin_watchdog: The origin is thawed: writes are allowed again" in line


def test_a_tick_that_dagster_ends_while_it_writes_pages_has_sent_its_notice(
    workplace: Workplace, client: MongoClient[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(*_: Any) -> None:
        raise KeyboardInterrupt

    run_id = run_with_status(workplace, dg.DagsterRunStatus.CANCELED)
    freeze_by_block(client, "a-release", run_id)
    monkeypatch.setattr("nmdc_release_ops.sensors.frozen_origin_watchdog.show_ended", ends)
    with loopback_webhook() as webhook:
        monkeypatch.setenv("NMDC_NOTICE_WEBHOOK", webhook.address)
        with pytest.raises(KeyboardInterrupt):
            tick(workplace)
    assert is_write_blocked(client) is False
    (text,) = webhook.texts
    assert run_id in text and "writes are allowed again" in text


def test_a_notice_that_cannot_be_sent_keeps_nobody_from_writing(
    workplace: Workplace, client: MongoClient[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    freeze_by_block(client, "a-release", run_with_status(workplace, dg.DagsterRunStatus.CANCELED))
    monkeypatch.setenv("NMDC_NOTICE_WEBHOOK", "http://127.0.0.1:9/nobody")
    assert "The notice was not sent" in tick(workplace)
    assert is_write_blocked(client) is False


def test_the_origin_of_a_run_that_goes_on_stays_frozen(workplace: Workplace, client: MongoClient[Any]) -> None:
    freeze_by_block(client, "a-release", run_with_status(workplace, dg.DagsterRunStatus.STARTED))
    assert "is still in progress" in tick(workplace)
    assert is_write_blocked(client) is True


_FREEZE_AND_DIE = """
import os, sys
from pymongo import MongoClient
from nmdc_release_ops_tests.mongo.blocking import freeze_by_block
freeze_by_block(MongoClient(os.environ["NMDC_ORIGIN_URI"]), "a-release", sys.argv[1])
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
    # Another machine, even one of the same name.
    assert not here.model_copy(update={"machine": "elsewhere", "pid": 2**22 + 1}).is_gone()
    assert here.model_copy(update={"pid": 2**22 + 1}).is_gone()
    # The number of a process that has ended may be given to another one.
    assert here.model_copy(update={"started": (here.started or 0) - 1}).is_gone()


def test_a_run_of_another_dagster_is_named_and_left_alone(workplace: Workplace, client: MongoClient[Any]) -> None:
    freeze_by_block(client, "a-release", "11111111-2222-3333-4444-555555555555")
    assert "This Dagster does not know the run" in tick(workplace)
    assert is_write_blocked(client) is True


def half_a_swap(workplace: Workplace, client: MongoClient[Any], run_id: str) -> None:
    freeze_by_block(client, "a-release", run_id)
    prepare_swap(
        client[DATABASE],
        NO_CHANGES,
        SwappedRelease("a-release", from_version="1.0.0", to_version="2.0.0", migrator_module=""),
        run_id,
        staged=[],
    )


def test_half_a_swap_raises_an_alarm_and_stays_frozen(workplace: Workplace, client: MongoClient[Any]) -> None:
    half_a_swap(workplace, client, run_with_status(workplace, dg.DagsterRunStatus.FAILURE))
    with pytest.raises(SwapUnderWay, match="stays frozen on purpose"):
        tick(workplace)
    assert is_write_blocked(client) is True


def test_a_machine_that_was_lost_is_thawed_when_its_heartbeat_was_not_heard_for_long(
    workplace: Workplace, client: MongoClient[Any]
) -> None:
    run_id = run_with_status(workplace, dg.DagsterRunStatus.STARTED)
    freeze_by_block(client, "a-release", run_id)
    leases = client[STATE_DATABASE].freeze_lease
    leases.update_one({}, {"$set": {"holder.machine": "a-machine-far-away"}})
    assert "is still in progress" in tick(workplace)
    leases.update_one({}, [{"$set": {"beat_at": {"$subtract": ["$$NOW", (SILENT_SECONDS - 20) * 1000]}}}])
    assert "is still in progress" in tick(workplace)
    leases.update_one({}, [{"$set": {"beat_at": {"$subtract": ["$$NOW", (SILENT_SECONDS + 1) * 1000]}}}])
    assert "had left the origin frozen" in tick(workplace)
    assert is_write_blocked(client) is False and current_lease(client) is None
    run = workplace.instance.get_run_by_id(run_id)
    assert run is not None and run.status is dg.DagsterRunStatus.FAILURE


def unfreeze(workplace: Workplace) -> tuple[bool, str]:
    """Run the job `unfreeze`; return whether it succeeded and what it said."""
    result = defs.get_job_def("unfreeze").execute_in_process(instance=workplace.instance, raise_on_error=False)
    text = "\n".join(entry.message for entry in workplace.instance.all_logs(result.run_id))
    failures = [event.step_failure_data.user_failure_data for event in result.all_events if event.is_step_failure]
    return result.success, "\n".join([text, *(str(failure and failure.description) for failure in failures)])


def test_unfreezing_by_hand_says_what_it_found(workplace: Workplace, client: MongoClient[Any]) -> None:
    assert "There is nothing to undo" in unfreeze(workplace)[1]
    client.admin.command({"setUserWriteBlockMode": 1, "global": True})
    try:
        assert "releases do not lift the block" in unfreeze(workplace)[1]
        assert is_write_blocked(client) is True
    finally:
        client.admin.command({"setUserWriteBlockMode": 1, "global": False})
    freeze_by_block(client, "a-release", run_with_status(workplace, dg.DagsterRunStatus.FAILURE))
    success, text = unfreeze(workplace)
    assert success and "Its run is failure" in text and "writes are allowed again" in text
    assert is_write_blocked(client) is False and current_lease(client) is None


def test_unfreezing_by_hand_leaves_half_a_swap_frozen(workplace: Workplace, client: MongoClient[Any]) -> None:
    half_a_swap(workplace, client, run_with_status(workplace, dg.DagsterRunStatus.FAILURE))
    success, text = unfreeze(workplace)
    assert not success and "launch the job `rollback` to undo it" in text
    assert is_write_blocked(client) is True


_FREEZE_AND_WAIT = """
import os, sys, time
from nmdc_release_ops_tests.mongo.blocking import freeze_by_block
from nmdc_release_ops.resources.notices import NoticesResource
from nmdc_release_ops.resources.origin import OriginResource
origin = OriginResource()
with origin.connect() as connected:
    origin.keep_beating(freeze_by_block(connected.client, "a-release", sys.argv[1]))
print("frozen", flush=True)
sys.stdin.read()
"""


def test_a_release_that_works_is_not_unfrozen_by_hand_and_not_taken_over(
    workplace: Workplace, client: MongoClient[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nmdc_release_ops.mongo.state.lease.WAIT_SECONDS", 1)
    run_id = run_with_status(workplace, dg.DagsterRunStatus.STARTED)
    working = subprocess.Popen(
        [sys.executable, "-c", _FREEZE_AND_WAIT, run_id],
        env={**os.environ, **workplace.environment()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert working.stdout is not None and working.stdout.readline() == b"frozen\n"
        success, text = unfreeze(workplace)
        assert not success and f"terminate run {run_id}" in text.replace("\n", " ")
        with pytest.raises(LeaseHeld, match="has held the origin since"):
            freeze_by_block(client, "a-release", "another-run-of-the-same-release")
        assert "is still in progress" in tick(workplace)
        lease = current_lease(client)
        assert lease is not None and lease.run_id == run_id
    finally:
        working.kill()
        working.communicate()
    assert "had left the origin frozen" in tick(workplace)


def test_the_holder_says_that_it_goes_on(
    workplace: Workplace, client: MongoClient[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.05)
    origin = OriginResource()
    origin.keep_beating(freeze_by_block(client, "a-release", "a-run-of-the-heartbeat"))
    (thread,) = [found for found in threading.enumerate() if "a-run-of-the-heartbeat" in found.name]
    beats = set()
    deadline = time.monotonic() + 20
    while len(beats) < 3:
        assert time.monotonic() < deadline
        lease = current_lease(client)
        assert lease is not None
        beats.add(lease.beat_at)
    thaw(client, "a-release", "the-test")
    thread.join(timeout=20)
    assert not thread.is_alive()


def test_the_watchdog_is_on_without_being_asked_for() -> None:
    assert frozen_origin_watchdog.default_status is dg.DefaultSensorStatus.RUNNING
