"""A name that a release cannot give its prefixes to is refused before anything is done, and one that it can works."""

from typing import Any

import pytest

from nmdc_release_ops.mongo.difference.changes import compare, snapshot
from nmdc_release_ops.mongo.preflight import inspect_collections
from nmdc_release_ops.mongo.server.topology import describe_server
from nmdc_release_ops.mongo.state.generations import INTRUDER, PREVIOUS, STAGED
from nmdc_release_ops.mongo.state.journal import Move, SwapBlocked, read_journal
from nmdc_release_ops.mongo.swapping import carry_out, swap
from nmdc_release_ops.mongo.swapping import moves as moves_module
from nmdc_release_ops_tests.mongo.swapping.prepared_swap import prepare, release, roll_back


def longest_name(database: str) -> str:
    # "é" is two bytes, and it is bytes that count.
    room = 255 - len(f"{database}.{INTRUDER}9999.")
    return "é" + "x" * (room - 2)


def test_the_longest_name_that_is_allowed_is_swapped_moved_aside_and_rolled_back(
    origin: Any, transformer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = longest_name(origin.name)
    for database in (origin, transformer):
        database[name].insert_one({"_id": 1, "version": 1})
    server = describe_server(origin.client, origin.name)
    assert inspect_collections(origin.client, server, origin.name, [name]).problems == ()
    before = snapshot(transformer)
    transformer[name].update_one({}, {"$set": {"version": 2}})
    changes = compare(before, snapshot(transformer))
    met: list[str] = []

    def intrude(database: Any, move: Move) -> None:
        if move.target == name and not met:
            met.append(name)
            database[name].insert_one({"_id": "an intruder's"})
        moves_module.make(database, move)

    monkeypatch.setattr(swap, "make", intrude)
    monkeypatch.setattr(carry_out, "name_of_next_intruder", lambda name, _: f"{INTRUDER}9999.{name}")
    release(origin, transformer, changes)
    assert origin[name].find_one() == {"_id": 1, "version": 2}
    assert origin[f"{INTRUDER}9999.{name}"].find_one() == {"_id": "an intruder's"}
    roll_back(origin)
    assert origin[name].find_one() == {"_id": 1, "version": 1}


def test_what_is_in_the_way_of_the_longest_name_with_a_prefix_is_moved_aside(origin: Any, transformer: Any) -> None:
    name = longest_name(origin.name)
    for database in (origin, transformer):
        database[name].insert_one({"_id": 1, "version": 1})
    before = snapshot(transformer)
    transformer[name].update_one({}, {"$set": {"version": 2}})
    changes = compare(before, snapshot(transformer))
    origin[PREVIOUS + name].insert_one({"_id": "an intruder's"})
    release(origin, transformer, changes)
    assert origin[f"{INTRUDER}1.{name}"].find_one() == {"_id": "an intruder's"}
    origin[STAGED + name].insert_one({"_id": "another intruder's"})
    roll_back(origin)
    assert origin[name].find_one() == {"_id": 1, "version": 1}


def test_plan_refuses_a_name_that_is_too_long_with_its_length(client: Any, origin: Any) -> None:
    server = describe_server(client, origin.name)
    name = longest_name(origin.name) + "y"
    (problem,) = inspect_collections(client, server, origin.name, [name, "kept_set"]).problems
    assert problem.startswith(f"The name {name} is {len(name.encode())} bytes long.")
    assert f"at most {len(name.encode()) - 1} bytes" in problem
    # The transformer's database may have the longer name.
    (problem,) = inspect_collections(client, server, "nmdc", ["x" * 228], transformer="t" * 27).problems
    assert "at most 227 bytes" in problem


def test_a_name_that_a_migrator_made_too_long_is_refused_before_the_journal_is_written(
    origin: Any, transformer: Any
) -> None:
    before = snapshot(transformer)
    name = longest_name(origin.name) + "y"
    transformer.kept_set.rename(name)
    changes = compare(before, snapshot(transformer))
    with pytest.raises(SwapBlocked, match=f"is {len(name.encode())} bytes long"):
        prepare(origin, changes)
    assert read_journal(origin.client, "a-release") is None
