"""What changed within a document is told by its path and its kind, and nothing else is."""

import random
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson import Binary, DatetimeMS, Decimal128, Int64, Regex
from deepdiff import DeepDiff

from nmdc_release_ops.mongo.difference.paths import Change, Kind, changes
from nmdc_release_ops_tests.mongo.odd_data import VALUES, raw_documents

PERSON = {"type": "nmdc:PersonValue", "has_raw_value": "Ada", "name": "Ada Abara", "orcid": "orcid:1"}
AGENT = {"type": "nmdc:Person", "name": "Ada Abara", "orcid": "orcid:1"}


def logged(was: dict[str, Any], now: dict[str, Any]) -> set[str]:
    return {str(change) for change in changes(bson.encode(was), bson.encode(now))}


@pytest.mark.parametrize(
    ("was", "now", "expected"),
    [
        ({"a": 1}, {"a": 1}, set()),
        ({"a": 1}, {"a": 2}, {"a (changed)"}),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, {"a.b (changed)"}),
        ({"a": 1}, {"a": 1, "b": {"c": 1}}, {"b (added)"}),
        ({"a": 1, "b": {"c": 1}}, {"a": 1}, {"b (removed)"}),
        ({"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 3}, {"b": 4}]}, {"a[].b (changed)"}),
        ({"a": [[1, 2]]}, {"a": [[1, 3]]}, {"a[][] (changed)"}),
        ({"a": [1]}, {"a": [1, 2, 3]}, {"a[] (added)"}),
        ({"a": [1, 2, 3]}, {"a": [2, 3]}, {"a[] (removed)"}),
        ({"a": [1, 2, 3]}, {"a": [1, 9, 2, 3]}, {"a[] (added)"}),
        ({"a": ["x", 2, 3]}, {"a": ["y", 3]}, {"a[] (changed)", "a[] (removed)"}),
        ({"a": "x"}, {"a": ["x"]}, {"a (type: string → array)"}),
        ({"a": {"b": {}}}, {"a": {"b": None}}, {"a.b (type: object → null)"}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"the document (order of keys)"}),
        ({"x": {"a": 1, "b": 2}}, {"x": {"b": 2, "a": 1}}, {"x (order of keys)"}),
        ({"a": 1, "b": 2, "c": 3}, {"b": 2, "c": 3, "d": 4}, {"a (removed)", "d (added)"}),
        ({"": {"": 1}, "b": 1}, {"": {"": 2}, "b": 1}, {'""."" (changed)'}),
    ],
)
def test_a_change_has_its_path_and_its_kind(was: dict[str, Any], now: dict[str, Any], expected: set[str]) -> None:
    assert logged(was, now) == expected


@pytest.mark.parametrize(
    ("was", "now", "expected"),
    [
        ({"a": 5, "x": 1}, {"x": 1, "b": 5}, {"a → b"}),
        ({"a": [{"b": {"c": 1}}] * 2}, {"a": [{"d": {"c": 1}}] * 2}, {"a[].b → d"}),
        ({"a": 1, "b": 1}, {"c": 1, "d": 1}, {"a → c", "b → d"}),
        ({"a": 1, "b": 2}, {"c": 2, "d": 3}, {"b → c", "a (removed)", "d (added)"}),
        ({"a": 1}, {"b": 1.0}, {"a (removed)", "b (added)"}),
        ({"x": {"a": 1}}, {"x": {}, "a": 1}, {"x.a (removed)", "a (added)"}),
        ({"a": {"b": 1}}, {"c": {"b": 2}}, {"a (removed)", "c (added)"}),
    ],
)
def test_a_value_that_has_another_key_in_the_same_object_was_renamed(
    was: dict[str, Any], now: dict[str, Any], expected: set[str]
) -> None:
    assert logged(was, now) == expected


def test_an_object_that_is_renamed_and_changed_is_told_as_both() -> None:
    was = {"has_credit_associations": [{"applies_to_person": PERSON, "applied_roles": ["PI"]}]}
    now = {"has_credit_associations": [{"applied_roles": ["PI"], "applies_to_agent": AGENT}]}
    assert logged(was, now) == {
        "has_credit_associations[].applies_to_person → applies_to_agent",
        "has_credit_associations[].applies_to_agent.has_raw_value (removed)",
        "has_credit_associations[].applies_to_agent.type (changed)",
    }


@pytest.mark.parametrize(
    ("was", "now", "expected"),
    [
        (1, Int64(1), "a (type: int → long)"),
        (1, 1.0, "a (type: int → double)"),
        (True, 1, "a (type: bool → int)"),
        (1.0, Decimal128("1"), "a (type: double → decimal)"),
        (Decimal128("1.0"), Decimal128("1.00"), "a (changed)"),
        (0.0, -0.0, "a (changed)"),
        (b"x", Binary(b"x", 5), "a (changed)"),
        (Regex("a"), Regex("a", "i"), "a (changed)"),
        (datetime(2026, 1, 1, tzinfo=UTC), DatetimeMS(2**60), "a (changed)"),
        (None, "", "a (type: null → string)"),
    ],
)
def test_values_that_python_takes_for_equal_are_told_apart(was: Any, now: Any, expected: str) -> None:
    assert logged({"a": was}, {"a": now}) == {expected}


def test_values_of_every_type_are_the_same_as_themselves() -> None:
    for value in VALUES.values():
        assert logged({"a": value, "b": 1}, {"a": value, "b": 2}) == {"b (changed)"}
        assert logged({"a": value, "b": 1}, {"b": 1, "c": value}) == {"a → c"}


def test_what_decoding_does_not_show_is_a_change_of_the_encoding() -> None:
    twice, payload, _, undefined, symbol = raw_documents()
    others = {
        twice: bson.encode({"_id": "the same key twice", "a": 2}),
        undefined: undefined.replace(b"\x06x\x00", b"\x0ax\x00"),
        symbol: symbol.replace(b"\x0ex\x00", b"\x02x\x00"),
    }
    for was, now in others.items():
        assert changes(was, now) == {Change("", Kind.ENCODING)}
    assert changes(payload, payload) == set()


def test_an_object_with_many_new_keys_takes_no_time_to_speak_of() -> None:
    """Where keys are data, every one that went could be every one that came."""
    was = {f"old {n}": {"n": n, "type": "x"} for n in range(5_000)}
    now = {f"new {n}": {"n": -n, "type": "x"} for n in range(5_000)}
    assert len(changes(bson.encode(was), bson.encode(now))) == 9_999


def test_a_path_is_cut_where_keys_are_very_long() -> None:
    (change,) = changes(bson.encode({"a" * 100_000: 1}), bson.encode({}))
    assert len(change.path) <= 200


class Documents:
    """Random nested documents and changes of them, whose values are all different."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.number = 0

    def scalar(self) -> Any:
        self.number += 1
        make = self.random.choice([int, float, str, lambda n: n + 0.5])
        return make(self.number)

    def key(self) -> str:
        return self.random.choice("abcdefgh") + self.random.choice("123")

    def value(self, depth: int) -> Any:
        kind = self.random.random() if depth else 0.0
        if kind < 0.5:
            return self.scalar()
        if kind < 0.75:
            return self.document(depth - 1)
        return [self.value(depth - 1) for _ in range(self.random.randrange(4))]

    def document(self, depth: int = 4) -> dict[str, Any]:
        return {self.key(): self.value(depth) for _ in range(self.random.randrange(7))}

    def changed(self, value: Any) -> Any:
        if self.random.random() < 0.05:
            return self.value(2)
        if isinstance(value, dict):
            kept = {key: self.changed(inner) for key, inner in value.items() if self.random.random() > 0.08}
            if self.random.random() < 0.1:
                kept[self.key()] = self.scalar()
            if kept and self.random.random() < 0.1:
                kept[self.key() + "renamed"] = kept.pop(next(iter(kept)))
            return kept
        if isinstance(value, list):
            kept_items = [self.changed(inner) for inner in value]
            if self.random.random() < 0.1:
                kept_items.append(self.value(1))
            elif kept_items and self.random.random() < 0.1:
                kept_items.pop()
            return kept_items
        return self.scalar() if self.random.random() < 0.1 else value


KINDS = {
    "values_changed": Kind.CHANGED,
    "type_changes": Kind.TYPE,
    "dictionary_item_added": Kind.ADDED,
    "dictionary_item_removed": Kind.REMOVED,
    "iterable_item_added": Kind.ADDED,
    "iterable_item_removed": Kind.REMOVED,
}


def by_deepdiff(was: dict[str, Any], now: dict[str, Any]) -> set[tuple[str, Kind]]:
    found = set()
    difference = DeepDiff(was, now, view="tree", zip_ordered_iterables=True, threshold_to_diff_deeper=0)
    for report, levels in difference.items():
        for level in levels:
            path = "".join("[]" if isinstance(key, int) else f".{key}" for key in level.path(output_format="list"))
            found.add((path.removeprefix("."), KINDS[report]))
    return found


def test_the_paths_are_those_that_deepdiff_finds() -> None:
    documents = Documents(seed=20261124)
    compared = renames = 0
    for _ in range(3_000):
        was = documents.document()
        now = documents.changed(was)
        if not isinstance(now, dict):
            continue
        found = changes(bson.encode(was), bson.encode(now))
        own, others = set(), by_deepdiff(was, now)
        below: list[str] = []
        for change in found:
            if change.kind is Kind.RENAMED:
                parent, dot, _ = change.path.rpartition(".")
                renamed = f"{parent}{dot}{change.detail}"
                own |= {(change.path, Kind.REMOVED), (renamed, Kind.ADDED)}
                below += [f"{renamed}.", f"{renamed}["]
                renames += 1
            elif change.kind is not Kind.ORDER:
                own.add((change.path, change.kind))
        # Of an object that was renamed and changed, deepdiff only says that it came and went.
        for paths in (own, others):
            paths -= {(path, kind) for path, kind in paths if path.startswith(tuple(below))}
        assert own == others, (was, now)
        compared += bool(own)
    assert compared > 1_000
    assert renames > 300
