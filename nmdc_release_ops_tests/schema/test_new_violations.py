"""The violations of two audits are compared exactly, document by document."""

import json
from pathlib import Path
from typing import Any

from nmdc_release_ops.schema.new_violations import FIRST, find_new_violations


def violation(id_: str, message: str = "is wrong", **other: Any) -> dict[str, Any]:
    return {
        "collection": "study_set",
        "id": id_,
        "class": "Study",
        "path": "/name",
        "violation": "pattern",
        "message": message,
        **other,
    }


def write(path: Path, violations: list[dict[str, Any]]) -> Path:
    path.write_text("".join(f"{json.dumps(one)}\n" for one in violations))
    return path


def test_what_the_last_audit_found_is_not_new_wherever_it_is_in_the_document(tmp_path: Path) -> None:
    before = write(tmp_path / "before", [violation("a"), violation("gone")])
    now = write(tmp_path / "now", [violation("a", path="/names/3"), violation("b")])
    compared = find_new_violations(now, before, tmp_path / "new.jsonl")
    assert (compared.total, compared.new, compared.documents, compared.gone) == (2, 1, 1, 1)
    assert [one["id"] for one in compared.first] == ["b"]
    assert [json.loads(line)["id"] for line in (tmp_path / "new.jsonl").read_text().splitlines()] == ["b"]


def test_another_collection_kind_or_message_is_another_violation(tmp_path: Path) -> None:
    before = write(tmp_path / "before", [violation("a")])
    others = [
        violation("a", collection="biosample_set"),
        violation("a", violation="required"),
        violation("a", "is wrong too"),
    ]
    compared = find_new_violations(write(tmp_path / "now", others), before, tmp_path / "new.jsonl")
    assert compared.new == 3
    assert compared.documents == 2
    assert compared.by_kind == {"pattern": 2, "required": 1}


def test_more_of_the_same_in_one_document_are_new(tmp_path: Path) -> None:
    before = write(tmp_path / "before", [violation("a", path="/depth"), violation("b"), violation("b")])
    now = write(tmp_path / "now", [violation("a", path="/elev"), violation("a", path="/depth"), violation("b")])
    compared = find_new_violations(now, before, tmp_path / "new.jsonl")
    assert (compared.total, compared.new, compared.documents, compared.gone) == (3, 1, 1, 1)
    assert [one["id"] for one in compared.first] == ["a"]


def test_without_an_earlier_audit_all_are_new_and_only_the_first_are_kept_in_memory(tmp_path: Path) -> None:
    now = write(tmp_path / "now", [violation(str(number)) for number in range(FIRST + 10)])
    compared = find_new_violations(now, None, tmp_path / "new.jsonl")
    assert (compared.new, compared.gone, len(compared.first)) == (FIRST + 10, 0, FIRST)
    assert len((tmp_path / "new.jsonl").read_text().splitlines()) == FIRST + 10
    assert {path.name for path in tmp_path.iterdir()} == {"now", "new.jsonl"}
