"""Documents are validated from the archive exactly as from the transformer, and a damaged block is named."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Int64
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from nmdc_release_ops.demo.database import collections
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.schema.environments.environment import SchemaEnvironment
from nmdc_release_ops_tests.mongo import odd_data
from nmdc_release_ops_tests.schema.worker.running import database_fixture, run, warm_environment_fixture
from nmdc_release_ops_tests.schema.worker.validating.validating import extras, validate, write_blocks

DATABASE = "archived_blocks"
AGGREGATES = "functional_annotation_agg"
PER_BLOCK = 150

environment = warm_environment_fixture()


database = database_fixture(DATABASE)


def fill_with_damaged_documents(database: Database[Any]) -> None:
    """The demo's documents, of which some are damaged in ways that each check finds."""
    chance = random.Random(4)
    for name, stream in collections(1_200, seed=3):
        documents = list(stream)
        for document in chance.sample(documents, len(documents) // 20):
            field = chance.choice([key for key in document if key != "_id"])
            damage: list[Callable[[], Any]] = [
                lambda d=document: d.update(no_such_field=1),
                lambda d=document, f=field: d.pop(f),
                lambda d=document, f=field: d.update({f: chance.choice([5, "", None, 1.5, float("nan"), "nobody"])}),
                lambda d=document: d.update(id="nmdc:twice-11-a", was_generated_by="nmdc:nobody-11-b"),
                lambda d=document: d.update(count=Int64(2**40), has_input=["nmdc:nobody-11-c", 5]),
            ]
            chance.choice(damage)()
        if documents:
            database[name].insert_many(documents)
    odd = database.get_collection("instrument_set", codec_options=odd_data.RAW)
    odd.insert_many(map(RawBSONDocument, odd_data.raw_documents()))


def write_archive(database: Database[Any], folder: Path) -> dict[str, Any]:
    """Everything in blocks, in the order of `_id`."""
    archived = {}
    for name in database.list_collection_names():
        found = database.get_collection(name, codec_options=odd_data.RAW).find().sort("_id")
        documents = [bytes(document.raw) for document in found]
        blocks = [documents[start : start + PER_BLOCK] for start in range(0, len(documents), PER_BLOCK)]
        archived[name] = write_blocks(folder / f"{name}.bson.gz", blocks)
    return archived


def test_the_archive_and_the_transformer_give_the_same_violations_and_counts(
    environment: SchemaEnvironment,
    compiled: Path,
    scratch_mongod: PrivateMongod,
    database: Database[Any],
    tmp_path: Path,
) -> None:
    fill_with_damaged_documents(database)
    names = sorted(database.list_collection_names())
    archived = write_archive(database, tmp_path)
    from_transformer = validate(environment, compiled, scratch_mongod.uri, tmp_path, DATABASE, names)
    for name in names:
        database.drop_collection(name)
    from_archive = validate(environment, compiled, scratch_mongod.uri, tmp_path, DATABASE, names, archived=archived)
    assert from_archive.summary == from_transformer.summary
    assert sorted(map(repr, from_archive.violations)) == sorted(map(repr, from_transformer.violations))
    kinds = from_archive.summary.by_kind
    assert kinds.keys() >= {"not readable", "dangling reference", "duplicate id", "required", "additionalProperties"}


def damage_block(file: Path, described: dict[str, Any], how: str) -> None:
    blocks, content = described["blocks"], file.read_bytes()
    if how == "changed":
        end = blocks[1]["offset"] + 20
        file.write_bytes(content[:end] + bytes([content[end] ^ 1]) + content[end + 1 :])
    elif how == "cut":
        file.write_bytes(content[:-1])
    elif how == "longer":
        file.write_bytes(content + content)
    elif how == "swapped":
        first, second = (content[one["offset"] : one["offset"] + one["size"]] for one in blocks[:2])
        file.write_bytes(second + first + content[blocks[2]["offset"] :])
    elif how == "missing":
        file.unlink()
    elif how == "miscounted":
        blocks[1]["documents"] += 1
    else:
        del blocks[1]


@pytest.mark.parametrize(
    ("how", "fault"),
    [
        ("changed", f"block 2 of {AGGREGATES} is damaged: its sha256 is"),
        ("cut", f"the blocks of {AGGREGATES} end at byte"),
        ("longer", f"the blocks of {AGGREGATES} end at byte"),
        ("swapped", f"block 1 of {AGGREGATES} is damaged: its sha256 is"),
        ("missing", f"{AGGREGATES} cannot be read: No such file"),
        ("miscounted", f"block 2 of {AGGREGATES} holds 100 documents"),
        ("not listed", f"block 2 of {AGGREGATES} begins at byte"),
    ],
)
def test_a_damaged_archive_is_named_by_collection_and_block(
    how: str,
    fault: str,
    environment: SchemaEnvironment,
    compiled: Path,
    scratch_mongod: PrivateMongod,
    tmp_path: Path,
) -> None:
    # Valid ones: LinkML is not needed, which takes longer to begin than all the rest.
    aggregates = [
        bson.encode(
            {
                "_id": number,
                "type": "nmdc:FunctionalAnnotationAggMember",
                "was_generated_by": "nmdc:wfmgan-99-abc.1",
                "gene_function_id": "KEGG.ORTHOLOGY:K00001",
                "count": number,
            }
        )
        for number in range(300)
    ]
    file = tmp_path / "aggregates.bson.gz"
    described = write_blocks(file, [aggregates[:100], aggregates[100:200], aggregates[200:]])
    damage_block(file, described, how)
    given = extras(compiled, tmp_path, DATABASE, {AGGREGATES: 300}, archived={AGGREGATES: described})
    ended = run(environment, "validating.validate", scratch_mongod.uri, given, tmp_path)
    (report,) = ended.of_kind("archive_damaged")
    assert report["path"] == str(file)
    assert fault in report["fault"]
    assert ended.code == 65
    assert not ended.of_kind("summary")
