"""A swap does not wait in the server's queue for transactions and index builds of others, nor leave a collection missing."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from nmdc_release_ops.mongo.server import renaming
from nmdc_release_ops.mongo.state.generations import PREVIOUS
from nmdc_release_ops.mongo.state.journal import Move, SwapBlocked
from nmdc_release_ops.mongo.swapping import carry_out, swap
from nmdc_release_ops.mongo.swapping import moves as moves_module
from nmdc_release_ops_tests.mongo.swapping.prepared_swap import RUN, begin_swap, roll_back, state_of


def test_a_swap_waits_until_no_transaction_is_open_and_tells(origin: Any, transformer: Any) -> None:
    journal = begin_swap(origin, transformer)
    logged: list[str] = []
    with origin.client.start_session() as session, session.start_transaction():
        origin.changed_set.find_one(session=session)
        swapping = threading.Thread(target=lambda: swap.perform_swap(origin, journal, RUN, log=logged.append))
        swapping.start()
        time.sleep(1)
        assert swapping.is_alive()
        assert origin.changed_set.find_one()["version"] == 1
    swapping.join()
    assert origin.changed_set.find_one()["version"] == 2
    assert "changed_set cannot be renamed yet: transactions are open: " in logged[0]


def test_a_swap_that_waited_too_long_names_the_transactions_and_can_be_undone(
    origin: Any, transformer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state_of(origin)
    journal = begin_swap(origin, transformer)
    monkeypatch.setattr(carry_out, "BUSY_SECONDS", 0.5)
    with origin.client.start_session() as session, session.start_transaction():
        origin.changed_set.find_one(session=session)
        with pytest.raises(SwapBlocked, match=r"changed_set could not be renamed .* a transaction open for"):
            swap.perform_swap(origin, journal, RUN)
        roll_back(origin)
    assert state_of(origin) == before


def test_a_server_that_is_never_without_a_transaction_does_not_stop_a_swap(
    origin: Any, transformer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = begin_swap(origin, transformer)
    monkeypatch.setattr(carry_out, "QUIET_SECONDS", 0.5)
    with origin.client.start_session() as session, session.start_transaction():
        origin.kept_set.find_one(session=session)
        swap.perform_swap(origin, journal, RUN)
    assert origin.changed_set.find_one()["version"] == 2


def test_a_pair_that_has_to_wait_in_between_is_undone_and_made_again(
    origin: Any, transformer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = begin_swap(origin, transformer)
    rename, seen = renaming.rename_collection, []

    def rename_once_busy(database: Any, uuid: Any, source: str, target: str) -> None:
        seen.append((source, target))
        if target == "changed_set" and len(seen) == 2:
            raise renaming.Busy("as an index build on the staged collection")
        rename(database, uuid, source, target)

    monkeypatch.setattr(moves_module, "rename_collection", rename_once_busy)
    swap.perform_swap(origin, journal, RUN)
    assert seen[2] == (PREVIOUS + "changed_set", "changed_set")
    assert origin.changed_set.find_one()["version"] == 2


def hold_in_a_transaction(origin: Any) -> Callable[[], None]:
    session = origin.client.start_session()
    session.start_transaction()
    origin.changed_set.find_one(session=session)
    return lambda: session.abort_transaction()


def test_a_rename_gives_up_after_a_moment(origin: Any) -> None:
    release = hold_in_a_transaction(origin)
    (uuid,) = [uuid for uuid, name in moves_module.find_names(origin).items() if name == "changed_set"]
    begun = time.monotonic()
    with pytest.raises(renaming.Busy):
        moves_module.make(origin, Move(uuid=uuid, source="changed_set", target="elsewhere"))
    assert time.monotonic() - begun < 5
    release()
    assert moves_module.find_names(origin)[uuid] == "changed_set"


@pytest.mark.faults
def test_a_swap_waits_for_an_index_build(origin: Any, transformer: Any) -> None:
    origin.changed_set.insert_many([{"i": i, "a": list(range(100))} for i in range(30_000)])
    journal = begin_swap(origin, transformer)
    building = threading.Thread(target=lambda: origin.changed_set.create_index([("a", 1), ("i", 1)]))
    building.start()
    while not any("createIndexes" in one.get("command", {}) for one in operations(origin)):
        time.sleep(0.01)
    logged: list[str] = []
    swap.perform_swap(origin, journal, RUN, log=logged.append)
    building.join()
    assert any("changed_set cannot be renamed yet" in line for line in logged)
    assert origin.changed_set.find_one()["version"] == 2


def operations(origin: Any) -> list[Any]:
    return list(origin.client.admin.aggregate([{"$currentOp": {"allUsers": True}}]))
