"""Verdicts that an earlier audit left say exactly what judging everything anew says, whatever was written in between."""

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Int64, ObjectId

from nmdc_release_ops.demo.database import collections
from nmdc_release_ops.mongo.archive.blocks import compress_blocks
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment
from nmdc_release_ops_tests.schema.worker.running import warm_environment_fixture
from nmdc_release_ops_tests.schema.worker.validating.validating import Validated, describe_block, validate

BLOCK_BYTES = 30_000
ROUNDS = 3
EDITS = 6
AGGREGATES = "functional_annotation_agg"
TARGETS = ("study_set", "biosample_set", "data_generation_set", "workflow_execution_set")

environment = warm_environment_fixture()


@dataclass
class Data:
    """The documents of each collection, in the order in which a server has them."""

    documents: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {name: list(stream) for name, stream in collections(1_500, seed=5)}
    )

    def any(self, chance: random.Random, *names: str) -> tuple[list[dict[str, Any]], int]:
        """The documents of a collection, and the place of one of them."""
        among = self.documents[chance.choice(names or [name for name, found in self.documents.items() if found])]
        return among, chance.randrange(len(among))

    def archive(self, folder: Path) -> dict[str, Any]:
        """In blocks, as an audit makes them, as a parameter of the worker."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        archived = {}
        for name, documents in self.documents.items():
            path, described = folder / f"{name}.bson.gz", []
            blocks = compress_blocks(map(bson.encode, documents), BLOCK_BYTES, recurring=True)
            with path.open("wb") as file:
                for one in blocks:
                    described.append(describe_block(file.tell(), one.content, one.documents, one.bytes))
                    file.write(one.content)
            archived[name] = {"path": str(path), "blocks": described}
        return archived


def insert(data: Data, chance: random.Random) -> None:
    among, place = data.any(chance)
    among.append({**among[place], "_id": ObjectId(), "id": f"nmdc:new-{chance.random()}"})


def update(data: Data, chance: random.Random) -> None:
    among, place = data.any(chance)
    changes: list[dict[str, Any]] = [
        {"name": "changed"},
        {"no_such_slot": 1},
        {"type": "nmdc:Nothing"},
        {"count": Int64(3)},
    ]
    among[place] = {**among[place], **chance.choice(changes)}


def delete(data: Data, chance: random.Random) -> None:
    among, place = data.any(chance)
    del among[place]


def move_id(data: Data, chance: random.Random) -> None:
    """To a document of another collection, so that references to it are misplaced."""
    (of, one), (to, other) = data.any(chance, "biosample_set"), data.any(chance, "study_set")
    to[other] = {**to[other], "id": of[one]["id"]}
    del of[one]


def delete_target(data: Data, chance: random.Random) -> None:
    """References to it are in blocks of other collections, which stay as they are."""
    among, place = data.any(chance, *TARGETS)
    del among[place]


def restore_target(data: Data, chance: random.Random) -> None:
    """What was dangling is not any more."""
    for name, stream in collections(1_500, seed=5):
        if name in TARGETS:
            present = {one["_id"] for one in data.documents[name]}
            data.documents[name] += [one for one in stream if one["_id"] not in present]


def duplicate_id(data: Data, chance: random.Random) -> None:
    (of, one), (to, other) = data.any(chance, "data_object_set"), data.any(chance, "data_object_set", "biosample_set")
    to[other] = {**to[other], "id": of[one]["id"]}


def dangle(data: Data, chance: random.Random) -> None:
    among, place = data.any(chance, AGGREGATES)
    among[place] = {**among[place], "was_generated_by": chance.choice(["nmdc:nobody-11-a", 5, None])}


WRITES: list[Callable[[Data, random.Random], None]] = [
    *(insert, update, delete, move_id, delete_target, restore_target, duplicate_id, dangle)
]


@dataclass
class Audits:
    """Audits of the same data, one after the other, each with the verdicts of the one before."""

    environment: SchemaEnvironment
    compiled: Path
    uri: str
    folder: Path
    number: int = 0

    @property
    def last(self) -> Path:
        return self.folder / f"verdicts-{self.number}"

    def fresh(self, data: Data) -> Validated:
        """Everything judged anew."""
        return self._validate(data, None)

    def next(self, data: Data) -> Validated:
        last, self.number = self.last, self.number + 1
        self.last.mkdir()
        found = self._validate(data, {"last": str(last), "present": str(self.last)})
        shutil.rmtree(last, ignore_errors=True)
        return found

    def _validate(self, data: Data, kept: dict[str, str] | None) -> Validated:
        archived = data.archive(self.folder / "archive")
        names = list(archived)
        return validate(
            self.environment, self.compiled, self.uri, self.folder, "none", names, archived=archived, kept=kept
        )


@pytest.fixture
def audits(environment: SchemaEnvironment, compiled: Path, scratch_mongod: PrivateMongod, tmp_path: Path) -> Audits:
    return Audits(environment, compiled, scratch_mongod.uri, tmp_path)


def assert_same(audited: Validated, fresh: Validated) -> None:
    assert audited.violations == fresh.violations
    assert audited.summary.model_copy(update={"kept": 0}) == fresh.summary


def test_whatever_is_written_the_next_audit_finds_what_judging_everything_finds(audits: Audits) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    chance, data = random.Random(seed), Data()
    assert audits.next(data).summary.kept == 0
    kinds: set[str] = set()
    for number in range(ROUNDS):
        writes = [chance.choice(WRITES) for _ in range(EDITS)] if number else WRITES
        print([one.__name__ for one in writes])  # noqa: T201
        for write in writes:
            write(data, chance)
        audited, fresh = audits.next(data), audits.fresh(data)
        assert_same(audited, fresh)
        assert 0 < audited.summary.kept < audited.summary.documents
        kinds |= fresh.summary.by_kind.keys()
    assert kinds >= {"dangling reference", "duplicate id"}


# Aggregates are judged by their layout, and biosamples one by one.
@pytest.mark.parametrize(
    ("collection", "slot"), [("biosample_set", "associated_studies"), (AGGREGATES, "was_generated_by")]
)
def test_a_reference_dangles_where_only_its_target_was_deleted_and_not_its_own_block_changed(
    audits: Audits, collection: str, slot: str
) -> None:
    data = Data()
    # Twice: what was noted of a block that was judged, and what was kept of it.
    audits.next(data)
    audits.next(data)
    named = data.documents[collection][-1][slot]
    target = named[0] if isinstance(named, list) else named
    (name,) = [name for name, found in data.documents.items() if any(one.get("id") == target for one in found)]
    before = data.documents[name]
    data.documents[name] = [one for one in before if one["id"] != target]
    dangling = audits.next(data)
    assert dangling.summary.by_kind["dangling reference"] == dangling.summary.integrity.found > 0
    assert collection in {one["collection"] for one in dangling.violations if one["violation"] == "dangling reference"}
    assert_same(dangling, audits.fresh(data))
    # What cannot be kept is looked at again, as long as it dangles.
    again = audits.next(data)
    assert again.violations == dangling.violations and 0 < again.summary.kept < again.summary.documents
    data.documents[name] = before
    assert audits.next(data).summary.integrity.found == 0


def test_of_data_that_nobody_wrote_nothing_is_judged_again_also_with_violations(audits: Audits) -> None:
    data = Data()
    first, again = audits.next(data), audits.next(data)
    # The demo's data are of an earlier version.
    assert first.summary.kept == 0 and first.summary.violations > 10
    assert again.summary.kept == again.summary.documents
    assert_same(again, audits.fresh(data))


def test_a_verdict_that_is_damaged_cut_or_gone_is_not_used(audits: Audits) -> None:
    data = Data()
    first = audits.next(data)
    files = sorted(audits.last.iterdir())
    chance = random.Random(1)
    for path in files:
        content = bytearray(path.read_bytes())
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        # A new file: the one of the last audit may be linked.
        path.unlink()
        match chance.randrange(4):
            case 0:
                path.write_bytes(content)
            case 1:
                path.write_bytes(content[: len(content) // 2])
            case 2:
                path.write_bytes(b"")
    damaged = audits.next(data)
    assert damaged.violations == first.violations and damaged.summary == first.summary
    assert sorted(path.name for path in audits.last.iterdir()) == [path.name for path in files]
    whole = audits.next(data)
    assert whole.summary.kept == whole.summary.documents and whole.violations == first.violations


def test_verdicts_that_the_last_audit_did_not_use_are_gone(audits: Audits) -> None:
    data = Data()
    audits.next(data)
    before = {path.name for path in audits.last.iterdir()}
    del data.documents[AGGREGATES][: len(data.documents[AGGREGATES]) // 2]
    audits.next(data)
    after = {path.name for path in audits.last.iterdir()}
    assert len(after) < len(before) and after & before
