"""Whatever is in the ledger, it is read; and whatever the ledger refuses, a swap that has begun comes to its end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from bson.datetime_ms import DatetimeMS

from nmdc_release_ops.mongo.difference.changes import ChangeSet, compare, snapshot
from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.preflight import inspect_ledger
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.state import journal as journal_module
from nmdc_release_ops.mongo.state import ledger, ledger_view
from nmdc_release_ops.mongo.state.bookkeeping import LedgerChanged, conforming_version, require_conforming, settle
from nmdc_release_ops.mongo.state.journal import Move, State, journals, newest_journal, read_journal
from nmdc_release_ops.mongo.state.lease import current_lease
from nmdc_release_ops.mongo.state.ledger import EVENTS, LATEST_VERSION, LedgerUnusable
from nmdc_release_ops.mongo.swapping import moves as moves_module
from nmdc_release_ops.mongo.swapping import swap
from nmdc_release_ops.mongo.swapping.rollback import perform_rollback, prepare_rollback, release_to_roll_back
from nmdc_release_ops.mongo.swapping.undoing import RollbackImpossible
from nmdc_release_ops_tests.mongo.state.runtime_view import RUNTIME_S_VIEW
from nmdc_release_ops_tests.mongo.state.wrong_clock import shift_our_clock
from nmdc_release_ops_tests.mongo.swapping.prepared_swap import RUN, Stopped, begin_swap, connect_origin

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAR = timedelta(days=400_000)


@pytest.fixture
def client(scratch_mongod: PrivateMongod) -> Iterator[Any]:
    with connect_origin(scratch_mongod.uri) as found:
        yield found


@pytest.fixture
def origin(client: Any) -> Iterator[Any]:
    name = f"origin_{ObjectId()}"
    client[name].some_set.insert_one({"_id": "one", "version": 1})
    yield client[name]
    client.drop_database(name)


@pytest.fixture
def transformer(client: Any, origin: Any) -> Iterator[Any]:
    name = f"transformer_{ObjectId()}"
    client[name].some_set.insert_one({"_id": "one", "version": 1})
    yield client[name]
    client.drop_database(name)


def event(created_at: Any, to: Any = "1.0.0", name: Any = "MIGRATION_COMPLETED", **more: Any) -> dict[str, Any]:
    return {"created_at": created_at, "event": name, "from_schema_version": "0.9.0", "to_schema_version": to, **more}


def without(document: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != field}


def migrate(transformer: Any) -> ChangeSet:
    before = snapshot(transformer)
    transformer.some_set.update_one({}, {"$inc": {"version": 1}})
    return compare(before, snapshot(transformer))


def begin_release(origin: Any, transformer: Any, release_id: str = "a-release") -> journal_module.Journal:
    return begin_swap(origin, transformer, migrate(transformer), release_id)


def release(origin: Any, transformer: Any, release_id: str = "a-release") -> journal_module.Journal:
    return swap.perform_swap(origin, begin_release(origin, transformer, release_id), RUN)


def roll_back(origin: Any) -> journal_module.Journal:
    return perform_rollback(origin, prepare_rollback(origin, release_to_roll_back(origin, None), RUN), RUN)


def viewed(origin: Any) -> Any:
    return origin[LATEST_VERSION].find_one()


AN_HOUR_OLD = ObjectId.from_datetime(datetime.now(UTC) - timedelta(hours=1))

ODD_EVENTS = {
    "a date": event(NOON),
    "a date in the far future": event(DatetimeMS(2**55)),
    "no moment": without(event(None), "created_at"),
    "null": event(None),
    "nonsense": event("yesterday, I think"),
    "seconds": event(1_700_000_000.5),
    "a list": event(["2026-03-01"]),
    "an offset": event((datetime.now(UTC) + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S+02:00")),
    "a clock an hour ahead": event((datetime.now(UTC) + timedelta(hours=1)).isoformat()),
    "a year that is none": event("9999-12-31T23:59:59.999999+00:00"),
    "no microseconds": event("2026-03-01T12:00:00"),
    "an id that is no ObjectId": event(None, _id="mine"),
    "an unknown name": event(NOON.isoformat(), name="MIGRATION_DREAMT_OF"),
    "a name that is a number": event(NOON.isoformat(), name=7),
    "no name": without(event(NOON.isoformat()), "event"),
    "a version that is a number": event(NOON.isoformat(), to=11.2),
    "no versions": {"created_at": NOON.isoformat(), "event": "MIGRATION_COMPLETED"},
    "nothing at all": {},
}


@pytest.mark.parametrize("odd", ODD_EVENTS.values(), ids=[name.replace(" ", "-") for name in ODD_EVENTS])
def test_a_release_and_its_rollback_are_finished_whatever_the_newest_event_looks_like(
    origin: Any, transformer: Any, odd: dict[str, Any]
) -> None:
    origin[EVENTS].insert_one(dict(odd))
    origin.create_collection(LATEST_VERSION, viewOn=EVENTS, pipeline=RUNTIME_S_VIEW)
    release(origin, transformer)
    assert ledger.recorded_version(origin) == "2.0.0"
    assert viewed(origin) == {"schema_version": "2.0.0"}
    done = roll_back(origin)
    assert ledger.recorded_version(origin) == "1.0.0"
    assert viewed(origin) == {"schema_version": "1.0.0"}
    assert done.owed is None
    thaw(origin.client, "a-release", RUN)
    assert current_lease(origin.client) is None


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (event(NOON), event("2026-03-02T00:00:00.000000+00:00", "2.0.0")),
        (event("2026-03-01T13:00:00+02:00"), event("2026-03-01T12:00:00", "2.0.0")),
        (event("2026-03-01T12:00:00"), event("2026-03-01T07:30:00-05:00", "2.0.0")),
        (event("2026-03-01T12:00:00.000001"), event("2026-03-01T12:00:00.000002", "2.0.0")),
        (event(NOON, _id=ObjectId()), event(None, "2.0.0", _id=ObjectId())),
        (event("nobody knows", _id="x"), event(NOON.isoformat(), "2.0.0")),
        (event(None, _id=AN_HOUR_OLD), event("nobody knows", "2.0.0", _id=ObjectId())),
        (event(datetime(3, 1, 1, tzinfo=UTC), _id=AN_HOUR_OLD), event(DatetimeMS(2**55), "2.0.0", _id=ObjectId())),
    ],
)
@pytest.mark.parametrize("newer_first", [True, False])
def test_events_are_ordered_by_the_moments_that_they_mean(
    origin: Any, older: dict[str, Any], newer: dict[str, Any], newer_first: bool
) -> None:
    origin[EVENTS].insert_many([dict(one) for one in ([newer, older] if newer_first else [older, newer])])
    assert ledger.recorded_version(origin) == "2.0.0"
    ledger_view.ensure_view(origin)
    assert viewed(origin) == {"schema_version": "2.0.0"}


def test_an_event_that_does_not_determine_the_version_yields_none(origin: Any) -> None:
    for odd in (event(NOON, to=11.2), event(NOON, to=None), event(NOON, name=["MIGRATION_COMPLETED"])):
        origin[EVENTS].insert_one(odd)
        assert ledger.recorded_version(origin) is None
        assert "at 2026-03-01" in str(ledger.last_event(origin))
        origin[EVENTS].delete_many({})


@contextmanager
def collection_aside(origin: Any, name: str) -> Iterator[None]:
    kept = list(origin[name].find())
    origin.drop_collection(name)
    yield
    origin.drop_collection(name)
    if kept:
        origin[name].insert_many(kept)


@contextmanager
def validated(origin: Any, validator: Any) -> Iterator[None]:
    if EVENTS not in origin.list_collection_names():
        origin.create_collection(EVENTS)
    origin.command("collMod", EVENTS, validator=validator)
    yield
    origin.command("collMod", EVENTS, validator={})


@contextmanager
def unique(origin: Any, field: str) -> Iterator[None]:
    origin[EVENTS].insert_one(event(NOON, release_id="a-release", _id="in the way"))
    origin[EVENTS].create_index(
        field, name="strict", unique=True, partialFilterExpression={"event": "MIGRATION_COMPLETED"}
    )
    yield
    origin[EVENTS].drop_index("strict")
    origin[EVENTS].delete_one({"_id": "in the way"})


@contextmanager
def another_kind(origin: Any, **options: Any) -> Iterator[None]:
    with collection_aside(origin, EVENTS):
        origin.create_collection(EVENTS, **options)
        yield


REFUSALS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "validator": (lambda origin: validated(origin, {"author": {"$exists": True}}), "Document failed validation"),
    "schema": (
        lambda origin: validated(origin, {"$jsonSchema": {"properties": {"event": {"enum": ["MIGRATION_STARTED"]}}}}),
        "MIGRATION_STARTED",
    ),
    "unique index": (lambda origin: unique(origin, "release_id"), "duplicate key"),
    "capped": (lambda origin: another_kind(origin, capped=True, size=4096), "capped collection"),
    "time series": (lambda origin: another_kind(origin, timeseries={"timeField": "created_at"}), "time-series"),
    "view": (lambda origin: another_kind(origin, viewOn="some_set", pipeline=[]), "is a view"),
    "broken view": (
        lambda origin: another_kind(origin, viewOn="some_set", pipeline=[{"$project": {"x": {"$toDate": "nonsense"}}}]),
        "cannot be used",
    ),
}
refusals = pytest.mark.parametrize(
    ("refusing", "message"), REFUSALS.values(), ids=[name.replace(" ", "-") for name in REFUSALS]
)
SHAPE = {"from_version": "1.0.0", "to_version": "2.0.0", "migrator_module": "m", "release_id": "a-release"}


@refusals
def test_a_ledger_that_rejects_an_event_is_detected_without_writing_one(
    origin: Any, refusing: Callable[[Any], Any], message: str
) -> None:
    origin[EVENTS].insert_one(event(NOON.isoformat()))
    with refusing(origin):
        with pytest.raises(LedgerUnusable, match=message):
            ledger.try_events(origin, **SHAPE)
        with pytest.raises(LedgerUnusable, match=message):
            ledger.try_events(origin, **SHAPE)
    ledger.try_events(origin, **SHAPE)
    assert origin[EVENTS].count_documents({}) == 1


def test_trying_the_events_of_an_empty_ledger_leaves_it_empty(origin: Any) -> None:
    ledger.try_events(origin, **SHAPE)
    assert origin.list_collection_names() == ["some_set"]


def test_a_ledger_that_refuses_the_first_event_keeps_the_swap_from_beginning(origin: Any, transformer: Any) -> None:
    with validated(origin, {"author": {"$exists": True}}):
        with pytest.raises(LedgerUnusable, match="Document failed validation"):
            begin_release(origin, transformer)
        assert read_journal(origin.client, "a-release") is None
        assert thaw(origin.client, "a-release", RUN) is not None
    assert origin.some_set.find_one()["version"] == 1
    release(origin, transformer)


@refusals
def test_a_swap_that_has_begun_is_finished_whatever_the_ledger_rejects(
    origin: Any, transformer: Any, refusing: Callable[[Any], Any], message: str
) -> None:
    journal = begin_release(origin, transformer)
    with refusing(origin):
        done = swap.perform_swap(origin, journal, RUN)
        assert done.state is State.SWAPPED
        assert origin.some_set.find_one()["version"] == 2
        assert done.owed is not None and done.owed.event is ledger.Event.COMPLETED
        assert message in str(done.owed)
        # The journal's word is right, the ledger's is not.
        assert conforming_version(origin) == "2.0.0"
        require_conforming(origin, {"2.0.0"})
        with pytest.raises(LedgerChanged, match=r"conforms to schema 2\.0\.0 now"):
            require_conforming(origin, {"1.0.0"})
        assert thaw(origin.client, "a-release", RUN) is not None
        assert settle(origin, done) == done
    assert conforming_version(origin) == "2.0.0"
    # As the step `restore` does when it is executed again, and the watchdog.
    paid = swap.perform_swap(origin, done, RUN)
    assert paid.owed is None and read_journal(origin.client, "a-release") == paid
    assert (ledger.recorded_version(origin), viewed(origin)) == ("2.0.0", {"schema_version": "2.0.0"})
    events = [one.get("event") for one in origin[EVENTS].find()]
    assert settle(origin, paid) == paid
    assert [one.get("event") for one in origin[EVENTS].find()] == events
    assert events.count("MIGRATION_COMPLETED") == 1


@refusals
@pytest.mark.parametrize("swapped", [True, False], ids=["after the swap", "in the swap"])
def test_a_rollback_is_finished_whatever_the_ledger_rejects(
    origin: Any,
    transformer: Any,
    monkeypatch: pytest.MonkeyPatch,
    refusing: Callable[[Any], Any],
    message: str,
    swapped: bool,
) -> None:
    journal = begin_release(origin, transformer)
    with refusing(origin), validated_if_possible(origin):
        if swapped:
            swap.perform_swap(origin, journal, RUN)
        else:
            stop_after_the_first_move(monkeypatch, origin, journal)
        done = roll_back(origin)
        assert done.state is State.ROLLED_BACK
        assert origin.some_set.find_one()["version"] == 1
        assert done.owed is not None and done.owed.event is ledger.Event.ROLLED_BACK
        assert conforming_version(origin) == "1.0.0"
        assert thaw(origin.client, "a-release", RUN) is not None
    assert roll_back(origin).owed is None
    assert (ledger.recorded_version(origin), viewed(origin)) == ("1.0.0", {"schema_version": "1.0.0"})


@contextmanager
def validated_if_possible(origin: Any) -> Iterator[None]:
    """Refuse the rollback's event too, where what refuses is one that would take it."""
    is_plain = inspect_ledger(origin) == []
    if is_plain:
        origin.command("collMod", EVENTS, validator={"author": {"$exists": True}})
    yield
    if is_plain:
        origin.command("collMod", EVENTS, validator={})


def stop_after_the_first_move(monkeypatch: pytest.MonkeyPatch, origin: Any, journal: journal_module.Journal) -> None:
    make = moves_module.make

    def stop(database: Any, move: Move) -> None:
        make(database, move)
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(swap, "make", stop)
        with pytest.raises(Stopped):
            swap.perform_swap(origin, journal, RUN)


def test_an_owed_event_is_given_up_when_somebody_has_migrated_further(origin: Any, transformer: Any) -> None:
    journal = begin_release(origin, transformer)
    with validated(origin, {"author": {"$exists": True}}):
        done = swap.perform_swap(origin, journal, RUN)
    origin[EVENTS].insert_one(event(datetime.now(UTC).isoformat(), "2.1.0"))
    assert conforming_version(origin) == "2.1.0"
    with pytest.raises(RollbackImpossible, match=r"from 0\.9\.0 to 2\.1\.0"):
        roll_back(origin)
    assert settle(origin, done).owed is None
    assert ledger.recorded_version(origin) == "2.1.0"


def test_an_owed_event_is_not_forgotten_when_somebody_removes_the_one_before_it(origin: Any, transformer: Any) -> None:
    origin[EVENTS].insert_one(event(NOON, "1.0.0"))
    journal = begin_release(origin, transformer)
    with validated(origin, {"author": {"$exists": True}}):
        done = swap.perform_swap(origin, journal, RUN)
    origin[EVENTS].delete_one({"event": "MIGRATION_STARTED"})
    assert conforming_version(origin) == done.to_version
    assert settle(origin, done).owed is None
    assert ledger.recorded_version(origin) == done.to_version


def test_an_owed_event_is_given_up_although_the_ledger_could_not_be_read_when_it_was_refused(
    origin: Any, transformer: Any
) -> None:
    journal = begin_release(origin, transformer)
    origin[EVENTS].rename("events_aside")
    origin.create_collection(EVENTS, viewOn="events_aside", pipeline=[{"$set": {"x": {"$divide": [1, 0]}}}])
    done = swap.perform_swap(origin, journal, RUN)
    assert done.owed is not None and done.owed.newest is None
    origin[EVENTS].drop()
    origin["events_aside"].rename(EVENTS)
    origin[EVENTS].insert_one(event(datetime.now(UTC).isoformat(), "3.0.0"))
    assert conforming_version(origin) == "3.0.0"
    assert settle(origin, done).owed is None
    assert ledger.recorded_version(origin) == "3.0.0"


def test_a_release_comes_after_the_last_event_that_there_can_be(origin: Any, transformer: Any) -> None:
    origin[EVENTS].insert_one(event("9998-12-31T23:59:59.999999", "1.0.0"))
    done = release(origin, transformer)
    assert done.owed is None and ledger.recorded_version(origin) == done.to_version
    assert viewed(origin) == {"schema_version": done.to_version}
    assert roll_back(origin).owed is None
    assert ledger.recorded_version(origin) == done.from_version


def test_a_ledger_with_an_event_that_none_can_follow_is_refused_before_the_swap(origin: Any) -> None:
    # A date counts as later than a string of the same moment.
    origin[EVENTS].insert_one(event(datetime(9998, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)))
    with pytest.raises(LedgerUnusable, match="no later one can follow"):
        ledger.try_events(origin, from_version="1.0.0", to_version="2.0.0", migrator_module="m", release_id="a-release")
    assert origin[EVENTS].count_documents({}) == 1


def test_the_next_release_first_writes_what_the_last_one_owed(origin: Any, transformer: Any) -> None:
    journal = begin_release(origin, transformer)
    with validated(origin, {"author": {"$exists": True}}):
        swap.perform_swap(origin, journal, RUN)
    release(origin, transformer, "the-next-release")
    recorded = [(one["release_id"], one["event"]) for one in origin[EVENTS].find()]
    assert recorded == [
        ("a-release", "MIGRATION_STARTED"),
        ("a-release", "MIGRATION_COMPLETED"),
        ("the-next-release", "MIGRATION_STARTED"),
        ("the-next-release", "MIGRATION_COMPLETED"),
    ]


@contextmanager
def view_replaced(origin: Any, **options: Any) -> Iterator[None]:
    origin.drop_collection(LATEST_VERSION)
    origin.create_collection(LATEST_VERSION, **options)
    yield
    origin.drop_collection(LATEST_VERSION)


def test_a_plain_collection_in_the_view_s_place_stops_neither_swap_nor_rollback(origin: Any, transformer: Any) -> None:
    journal = begin_release(origin, transformer)
    with view_replaced(origin):
        done = swap.perform_swap(origin, journal, RUN)
        assert done.state is State.SWAPPED and ledger.recorded_version(origin) == "2.0.0"
        assert done.owed is not None and f"its view {LATEST_VERSION} does not show it" in str(done.owed)
        undone = roll_back(origin)
        assert undone.state is State.ROLLED_BACK and ledger.recorded_version(origin) == "1.0.0"
        assert undone.owed is not None and undone.owed.event is None
        assert thaw(origin.client, "a-release", RUN) is not None
    assert settle(origin, undone).owed is None
    assert viewed(origin) == {"schema_version": "1.0.0"}


def test_a_view_of_something_else_is_made_the_ledger_s(origin: Any, transformer: Any) -> None:
    journal = begin_release(origin, transformer)
    with view_replaced(origin, viewOn="some_set", pipeline=[{"$project": {"x": {"$toDate": "nonsense"}}}]):
        assert swap.perform_swap(origin, journal, RUN).owed is None
        assert viewed(origin) == {"schema_version": "2.0.0"}


def test_while_a_swap_is_under_way_the_view_shows_no_version(origin: Any, transformer: Any) -> None:
    origin[EVENTS].insert_one(event(NOON))
    origin.create_collection(LATEST_VERSION, viewOn=EVENTS, pipeline=RUNTIME_S_VIEW)
    begin_release(origin, transformer)
    assert viewed(origin) == {"schema_version": None}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (EVENTS, {"capped": True, "size": 4096}, "is a collection with the option capped, and no event"),
        (EVENTS, {"timeseries": {"timeField": "created_at"}}, "is a timeseries, and no event"),
        (EVENTS, {"viewOn": "some_set", "pipeline": []}, "is a view, and no event"),
        (LATEST_VERSION, {}, "is a collection, and has to be a view of _migration_events"),
        (LATEST_VERSION, {"viewOn": "some_set", "pipeline": []}, "is a view of some_set, and has to be a view of"),
        (LATEST_VERSION, {"viewOn": EVENTS, "pipeline": RUNTIME_S_VIEW}, None),
        (EVENTS, {}, None),
    ],
)
def test_a_ledger_or_view_of_the_wrong_kind_is_named(
    origin: Any, name: str, options: dict[str, Any], message: str | None
) -> None:
    origin.create_collection(name, **options)
    problems = inspect_ledger(origin)
    if message is None:
        assert problems == []
    else:
        (problem,) = problems
        assert message in problem


def test_the_last_swap_is_the_last_one_whatever_the_clocks_of_the_machines_say(
    origin: Any, transformer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as ahead:
        shift_our_clock(ahead, timedelta(hours=1))
        release(origin, transformer, "the-first")
    release(origin, transformer, "the-second")
    newest = newest_journal(origin.client, origin.name)
    assert newest is not None and newest.release_id == "the-second"
    assert release_to_roll_back(origin, "the-second").release_id == "the-second"
    assert newest.swapped_at is not None and abs(newest.swapped_at - datetime.now(UTC)) < timedelta(minutes=10)


def test_a_swap_counts_as_newer_than_those_of_releases_that_had_no_number(origin: Any, transformer: Any) -> None:
    for number, name in enumerate(("older", "old", "oldest")):
        release(origin, transformer, name)
        minutes = {"older": 2, "old": 3, "oldest": 1}[name]
        started = datetime.now(UTC) + timedelta(hours=1, minutes=minutes)
        state = {"$set": {"started_at": started.isoformat()}, "$unset": {"number": 1, "owed": 1}}
        journals(origin.client).update_one({"_id": name}, state)
        assert number < 3
    before = newest_journal(origin.client, origin.name)
    assert before is not None and before.release_id == "old"
    release(origin, transformer, "new")
    after = newest_journal(origin.client, origin.name)
    assert after is not None and (after.release_id, after.number) == ("new", 1)
