"""One release at a time holds the origin, and another one is refused with the name of the holder."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest
from pymongo import MongoClient, monitoring

from nmdc_release_ops.mongo.difference.changes import ChangeSet
from nmdc_release_ops.mongo.freezing import thaw as thawing
from nmdc_release_ops.mongo.freezing import write_block
from nmdc_release_ops.mongo.freezing.freeze import AlreadyFrozen, freeze, require_frozen
from nmdc_release_ops.mongo.freezing.strategy import FreezeFailed
from nmdc_release_ops.mongo.freezing.thaw import LateThaw, thaw, undo_leftover
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.connection import connect
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.mongo.state import lease as leases
from nmdc_release_ops.mongo.state import ledger, ledger_view
from nmdc_release_ops.mongo.state.database import STATE_DATABASE
from nmdc_release_ops.mongo.state.lease import (
    LEASE,
    SILENT_SECONDS,
    LeaseHeld,
    Strategy,
    current_lease,
    freezes_of,
    take_lease,
)
from nmdc_release_ops.mongo.swapping.swap import SwappedRelease, prepare_swap
from nmdc_release_ops_tests.mongo.blocking import freeze_by_block
from nmdc_release_ops_tests.mongo.state.wrong_clock import shift_our_clock


@pytest.fixture
def client(guarded_mongod: PrivateMongod) -> Iterator[MongoClient[Any]]:
    with MongoClient[Any](guarded_mongod.uri) as found:
        yield found
        found.admin.command({"setUserWriteBlockMode": 1, "global": False})
        found.drop_database(STATE_DATABASE)


def test_of_many_who_try_at_once_exactly_one_gets_the_lease(client: MongoClient[Any]) -> None:
    def attempt(number: int) -> str | None:
        try:
            return take_lease(client, f"release-{number}", f"run-{number}", Strategy.WRITE_BLOCK).release_id
        except LeaseHeld:
            return None

    with ThreadPoolExecutor(16) as pool:
        won = [release for release in pool.map(attempt, range(16)) if release]
    assert len(won) == 1
    lease = current_lease(client)
    assert lease is not None and lease.release_id == won[0]


def test_a_second_release_is_refused_with_the_name_of_the_holder(client: MongoClient[Any]) -> None:
    freeze_by_block(client, "first", "run-1")
    with pytest.raises(LeaseHeld, match="Release first \\(run run-1, process"):
        freeze_by_block(client, "second", "run-2")
    with pytest.raises(LeaseHeld, match="Another release holds the origin"):
        thaw(client, "second", "run-2")
    assert is_write_blocked(client) is True


def test_a_freeze_and_its_end_are_on_record(client: MongoClient[Any]) -> None:
    lease = freeze_by_block(client, "a", "run-1")
    assert is_write_blocked(client) is True
    assert lease.cluster_time is not None
    again = freeze_by_block(client, "a", "run-2")
    assert (again.frozen_at, again.run_id) == (lease.frozen_at, "run-2")
    thaw(client, "a", "run-2")
    assert is_write_blocked(client) is False
    assert thaw(client, "a", "run-2") is None
    (kept,) = freezes_of(client, "a")
    assert kept.thawed_at >= kept.frozen_at


class After(monitoring.CommandListener):
    """Does something each time that a server has answered one of the commands."""

    def __init__(self, commands: set[str], act: Any) -> None:
        self.commands, self.act = commands, act

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        pass

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        if event.command_name in self.commands:
            self.act()

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


def test_a_lease_is_never_seen_without_a_heartbeat(
    client: MongoClient[Any], guarded_mongod: PrivateMongod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine that looks between any two commands does not take its holder for lost, whatever its clock says."""
    shift_our_clock(monkeypatch, timedelta(hours=-1))
    seen: list[float] = []

    def look() -> None:
        lease = current_lease(client)
        assert lease is not None
        seen.append(lease.silent.total_seconds())
        assert abs(lease.taken_at - datetime.now(UTC)) < timedelta(minutes=10)

    writes = After({"insert", "update", "findAndModify"}, look)
    with MongoClient[Any](guarded_mongod.uri, event_listeners=[writes]) as taker:
        taken = take_lease(taker, "a", "run-1", Strategy.WRITE_BLOCK)
        client[STATE_DATABASE][LEASE].update_one({}, {"$set": {"beat_at": datetime(2020, 1, 1, tzinfo=UTC)}})
        again = take_lease(taker, "a", "run-2", Strategy.WRITE_BLOCK)
    assert seen
    assert max(seen) < SILENT_SECONDS
    assert (again.taken_at, again.run_id) == (taken.taken_at, "run-2")


def test_a_holder_that_was_taken_for_lost_and_comes_back_in_that_moment_keeps_its_lease(
    client: MongoClient[Any], guarded_mongod: PrivateMongod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "WAIT_SECONDS", 0.5)
    take_lease(client, "a", "run-1", Strategy.WRITE_BLOCK)
    elsewhere = {"holder.machine": "another", "beat_at": datetime(2020, 1, 1, tzinfo=UTC)}
    state = client[STATE_DATABASE][LEASE]
    state.update_one({}, {"$set": elsewhere})

    def come_back() -> None:
        state.update_one({}, [{"$set": {"beat_at": "$$NOW"}}])

    with (
        MongoClient[Any](guarded_mongod.uri, event_listeners=[After({"aggregate"}, come_back)]) as other,
        pytest.raises(LeaseHeld, match="run run-1"),
    ):
        take_lease(other, "a", "run-2", Strategy.WRITE_BLOCK)


@pytest.mark.parametrize("hours", [-1, 1])
def test_how_long_writes_were_blocked_does_not_depend_on_the_clocks_of_two_machines(
    client: MongoClient[Any], monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    begun = datetime.now(UTC)
    with pytest.MonkeyPatch.context() as elsewhere:
        shift_our_clock(elsewhere, timedelta(hours=hours))
        freeze_by_block(client, "a", "run-1")
    thaw(client, "a", "run-2")
    (kept,) = freezes_of(client, "a")
    assert 0 <= kept.seconds <= (datetime.now(UTC) - begun).total_seconds()


def test_a_freeze_that_is_given_back_twice_ended_the_first_time(client: MongoClient[Any]) -> None:
    """Its process died between the record of the freeze and the end of the lease."""
    lease = freeze_by_block(client, "a", "run")
    leases.release_lease(client, lease, "the first")
    (first,) = freezes_of(client, "a")
    client[STATE_DATABASE][LEASE].insert_one({"_id": "origin", **lease.model_dump(exclude={"silent"})})
    leases.release_lease(client, lease, "the second")
    (second,) = freezes_of(client, "a")
    assert (second.thawed_at, second.thawed_by) == (first.thawed_at, "the second")


def test_a_write_block_of_somebody_else_is_not_taken_over(client: MongoClient[Any]) -> None:
    client.admin.command({"setUserWriteBlockMode": 1, "global": True})
    with pytest.raises(AlreadyFrozen):
        freeze_by_block(client, "a", "run")
    assert current_lease(client) is None
    assert is_write_blocked(client) is True


def test_where_nothing_can_be_frozen_the_lease_is_still_one_release_s(scratch_mongod: PrivateMongod) -> None:
    """Without authorization a write block keeps us out too, as seen here on a real server."""
    with MongoClient[Any](scratch_mongod.uri) as open_client:
        with pytest.raises(FreezeFailed, match="the release's own writes too"):
            freeze_by_block(open_client, "a", "run")
        assert is_write_blocked(open_client) is False and current_lease(open_client) is None
        freeze(open_client, "a", "run", Strategy.NONE, database="nmdc")
        with pytest.raises(LeaseHeld):
            freeze(open_client, "b", "run", Strategy.NONE, database="nmdc")
        assert is_write_blocked(open_client) is False
        thaw(open_client, "a", "run")
        assert current_lease(open_client) is None
        open_client.drop_database(STATE_DATABASE)


def test_an_open_transaction_is_waited_for_and_then_named(
    client: MongoClient[Any], guarded_mongod: PrivateMongod
) -> None:
    with (
        MongoClient[Any](guarded_mongod.uri, appname="the-runtime") as writer,
        writer.start_session() as session,
        session.start_transaction(),
    ):
        writer.drain_test.things.insert_one({"_id": 1}, session=session)
        with pytest.raises(FreezeFailed, match=r"the-runtime from 127\.0\.0\.1"):
            freeze_by_block(client, "a", "run", drain_timeout=1)
        # It has undone itself while the transaction is still open.
        assert is_write_blocked(client) is False
        assert current_lease(client) is None
        writer.drain_test.things.insert_one({"_id": 2})
        session.abort_transaction()
    assert is_write_blocked(client) is False
    assert current_lease(client) is None


def test_a_freeze_that_comes_after_its_thaw_is_undone(
    client: MongoClient[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its machine slept after the lease was taken, and was taken for lost."""
    block = write_block.block_writes

    def thawed_meanwhile(*args: Any) -> Any:
        thaw(client, "a", "the watchdog")
        return block(*args)

    monkeypatch.setattr(write_block, "block_writes", thawed_meanwhile)
    with pytest.raises(FreezeFailed, match="was thawed while run run was freezing it"):
        freeze_by_block(client, "a", "run")
    assert is_write_blocked(client) is False and current_lease(client) is None


def test_a_freeze_that_somebody_lifted_is_noticed(client: MongoClient[Any]) -> None:
    freeze_by_block(client, "a", "run")
    require_frozen(client, "a", "run")
    client.admin.command({"setUserWriteBlockMode": 1, "global": False})
    with pytest.raises(FreezeFailed, match="Somebody lifted the freeze"):
        require_frozen(client, "a", "run")


def test_a_run_that_was_taken_over_is_not_thawed_in_place_of_the_one_that_was_seen(client: MongoClient[Any]) -> None:
    freeze_by_block(client, "a", "the run that continues")
    assert thaw(client, "a", "the watchdog", held_by="the run that is over") is None
    assert is_write_blocked(client) is True


def test_what_is_read_comes_from_the_primary_whatever_the_address_says(guarded_mongod: PrivateMongod) -> None:
    uri = guarded_mongod.uri + "&readPreference=secondaryPreferred&readConcernLevel=majority&retryWrites=false"
    with connect(uri, whose="origin", variable="NMDC_ORIGIN_URI") as client:
        freeze_by_block(client, "a", "run")
        assert thaw(client, "a", "run") is not None
        assert is_write_blocked(client) is False and current_lease(client) is None


def test_a_freeze_that_fails_while_the_swap_is_half_done_keeps_the_lease(
    client: MongoClient[Any], guarded_mongod: PrivateMongod
) -> None:
    """Somebody lifted the block of a swap that stopped: no other release may come in between."""
    freeze_by_block(client, "a", "run")
    no_changes = ChangeSet(changed=[], created=[], renamed=[], deleted=[], untouched=[])
    versions = {"from_version": "1.0.0", "to_version": "2.0.0", "migrator_module": ""}
    prepare_swap(client.drain_test, no_changes, SwappedRelease("a", **versions), "run", staged=[])
    client.admin.command({"setUserWriteBlockMode": 1, "global": False})
    with (
        MongoClient[Any](guarded_mongod.uri) as writer,
        writer.start_session() as session,
        session.start_transaction(),
    ):
        writer.drain_test.things.insert_one({"_id": 3}, session=session)
        with pytest.raises(FreezeFailed, match="The swap is half done"):
            freeze_by_block(client, "a", "run", drain_timeout=1)
        session.abort_transaction()
    lease = current_lease(client)
    assert lease is not None and lease.release_id == "a"


def test_the_ledger_s_newest_event_counts_even_when_another_clock_ran_ahead(client: MongoClient[Any]) -> None:
    database = client.ledger_test
    database[ledger.EVENTS].insert_one(
        {
            "created_at": "2999-01-01T00:00:00.000000+00:00",
            "event": ledger.Event.COMPLETED,
            "to_schema_version": "1.0.0",
        }
    )
    try:
        ledger_view.ensure_view(database)
        ledger.record(
            database,
            ledger.Event.COMPLETED,
            from_version="1.0.0",
            to_version="2.0.0",
            migrator_module="m",
            release_id="r",
        )
        assert ledger.recorded_version(database) == "2.0.0"
        assert database[ledger.LATEST_VERSION].find_one() == {"schema_version": "2.0.0"}
    finally:
        client.drop_database("ledger_test")


def test_a_database_rolled_back_conforms_to_the_version_it_came_from(client: MongoClient[Any]) -> None:
    database = client.ledger_test
    try:
        ledger_view.ensure_view(database)
        for event in (ledger.Event.STARTED, ledger.Event.COMPLETED, ledger.Event.ROLLED_BACK):
            ledger.record(
                database, event, from_version="1.0.0", to_version="2.0.0", migrator_module="m", release_id="r"
            )
        assert ledger.recorded_version(database) == "1.0.0"
        assert database[ledger.LATEST_VERSION].find_one() == {"schema_version": "1.0.0"}
    finally:
        client.drop_database("ledger_test")


def suspend_before(monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, meanwhile: Any) -> None:
    """The first caller of this function is suspended before it for as long as `meanwhile` takes."""
    real = getattr(module, name)

    def suspended(*args: Any) -> Any:
        monkeypatch.setattr(module, name, real)
        meanwhile()
        return real(*args)

    monkeypatch.setattr(module, name, suspended)


def test_a_thaw_that_comes_late_does_not_leave_the_next_run_unfrozen(
    client: MongoClient[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = freeze_by_block(client, "a", "the first")
    suspend_before(monkeypatch, write_block, "allow_writes", lambda: freeze_by_block(client, "a", "the second"))
    with pytest.raises(LateThaw, match=r"run the second of release a took the origin over.* Writes are blocked again"):
        thaw(client, "a", "the watchdog")
    assert is_write_blocked(client) is True
    lease = current_lease(client)
    assert lease is not None and lease.run_id == "the second"
    with pytest.raises(FreezeFailed, match="Somebody lifted the freeze"):
        require_frozen(client, "a", "the second")
    again = freeze_by_block(client, "a", "the third")
    assert again.cluster_time and first.cluster_time
    assert again.cluster_time.timestamp() > first.cluster_time.timestamp()
    require_frozen(client, "a", "the third")


def test_a_thaw_that_comes_after_another_thaw_leaves_nothing_frozen(
    client: MongoClient[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    freeze_by_block(client, "a", "the first")
    suspend_before(monkeypatch, write_block, "allow_writes", lambda: thaw(client, "a", "somebody else"))
    assert thaw(client, "a", "the watchdog") is not None
    assert is_write_blocked(client) is False and current_lease(client) is None


def test_a_block_that_comes_back_for_a_run_that_ended_meanwhile_is_lifted(
    client: MongoClient[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    freeze_by_block(client, "a", "the first")
    suspend_before(monkeypatch, write_block, "allow_writes", lambda: freeze_by_block(client, "a", "the second"))

    def end_the_second() -> None:
        suspend_before(monkeypatch, write_block, "block_writes", lambda: thaw(client, "a", "somebody else"))

    # The second has blocked by then: the next block is the late thaw's.
    suspend_before(monkeypatch, thawing, "_freeze_again_for_next", end_the_second)
    with pytest.raises(LateThaw, match="The origin has been thawed since"):
        thaw(client, "a", "the watchdog")
    assert is_write_blocked(client) is False and current_lease(client) is None


class Killed(BaseException):
    pass


def test_a_block_that_comes_after_its_thaw_is_lifted_although_its_process_is_lost(
    client: MongoClient[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = write_block.block_writes

    def suspended(*args: Any) -> None:
        monkeypatch.setattr(write_block, "block_writes", real)
        thaw(client, "a", "the watchdog")
        real(*args)
        raise Killed

    for undo in (lambda: undo_leftover(client, "the watchdog"), lambda: freeze_by_block(client, "a", "again")):
        monkeypatch.setattr(write_block, "block_writes", suspended)
        with pytest.raises(Killed):
            freeze_by_block(client, "a", "run")
        assert is_write_blocked(client) is True and current_lease(client) is None
        assert undo() is not None
        thaw(client, "a", "the test")
        assert is_write_blocked(client) is False and current_lease(client) is None


def test_a_freeze_that_ends_leaves_no_record_by_which_a_foreign_block_is_lifted(
    client: MongoClient[Any],
) -> None:
    freeze_by_block(client, "a", "run")
    thaw(client, "a", "run")
    client.admin.command({"setUserWriteBlockMode": 1, "global": True})
    assert undo_leftover(client, "the watchdog") is None
    assert is_write_blocked(client) is True
