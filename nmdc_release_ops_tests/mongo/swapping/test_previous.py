"""A release drops what an earlier one swapped out only while what replaced it is there: else it may be the only copy."""

from typing import Any

import pytest

from nmdc_release_ops.mongo.preflight import inspect_collections
from nmdc_release_ops.mongo.server.topology import describe_server
from nmdc_release_ops.mongo.state.generations import INTRUDER, PREVIOUS
from nmdc_release_ops_tests.mongo.swapping.prepared_swap import change_one, release

NEXT = "next-release"


def previous(origin: Any) -> list[str]:
    return sorted(name for name in origin.list_collection_names() if name.startswith(PREVIOUS))


def warnings(origin: Any) -> tuple[str, ...]:
    server = describe_server(origin.client, origin.name)
    return inspect_collections(origin.client, server, origin.name, ["changed_set"]).warnings


def test_the_generation_before_is_dropped_while_what_replaced_it_is_live(origin: Any, transformer: Any) -> None:
    release(origin, transformer)
    assert previous(origin) == [PREVIOUS + name for name in ("changed_set", "gone_set", "moved_set")]
    assert not any(PREVIOUS in line for line in warnings(origin))
    release(origin, transformer, change_one(transformer, "kept_set"), NEXT)
    assert previous(origin) == [PREVIOUS + "kept_set"]


def test_what_was_dropped_and_made_anew_by_an_application_does_not_cost_the_only_copy(
    origin: Any, transformer: Any
) -> None:
    release(origin, transformer)
    origin.changed_set.drop()
    origin.changed_set.create_index("version")
    (warning,) = [line for line in warnings(origin) if PREVIOUS + "changed_set" in line]
    assert "holds 1 documents, and may be their only copy" in warning
    release(origin, transformer, change_one(transformer, "kept_set"), NEXT)
    assert origin[PREVIOUS + "changed_set"].find_one() == {"_id": "changed_set", "version": 1}


def test_what_replaced_it_under_another_name_counts_as_well(origin: Any, transformer: Any) -> None:
    release(origin, transformer)
    origin.moved_and_changed_set.drop()
    release(origin, transformer, change_one(transformer, "kept_set"), NEXT)
    assert PREVIOUS + "moved_set" in previous(origin)
    assert PREVIOUS + "changed_set" not in previous(origin)


@pytest.mark.parametrize("changed", ["kept_set", "changed_set"], ids=["name needed", "name not needed"])
def test_what_somebody_made_under_a_previous_name_is_kept(origin: Any, transformer: Any, changed: str) -> None:
    origin[PREVIOUS + "kept_set"].insert_one({"_id": "somebody's only copy"})
    assert any(PREVIOUS + "kept_set" in line for line in warnings(origin))
    logged: list[str] = []
    release(origin, transformer, change_one(transformer, changed), NEXT, logged.append)
    name = f"{INTRUDER}1.kept_set" if changed == "kept_set" else PREVIOUS + "kept_set"
    assert origin[name].find_one() == {"_id": "somebody's only copy"}
    assert [name in line for line in logged] == ([True] if changed == "kept_set" else [])
