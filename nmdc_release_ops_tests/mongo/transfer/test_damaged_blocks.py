"""A block that is not what was dumped, and a manifest that cannot be, are refused and named."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from nmdc_release_ops.mongo.archive.blocks import read_block
from nmdc_release_ops.mongo.archive.manifest import (
    ArchiveDamaged,
    ArchivedCollection,
    ArchiveTooNew,
    read_manifest,
)
from nmdc_release_ops.mongo.transfer.load import create_empty, load, load_one
from nmdc_release_ops_tests.mongo.transfer.small_archive import dumped, fill, flip, of_block, one_of, rewritten


def cut(content: bytes, archived: ArchivedCollection) -> bytes:
    block = archived.blocks[2]
    return content[: block.offset + block.size // 2] + content[block.offset + block.size :]


def swap(content: bytes, archived: ArchivedCollection) -> bytes:
    one, other = archived.blocks[2:4]
    first, second = content[one.offset : other.offset], content[other.offset : other.offset + other.size]
    return content[: one.offset] + second + first + content[other.offset + other.size :]


def double(content: bytes, archived: ArchivedCollection) -> bytes:
    """The file has the length and the number of members that the manifest lists."""
    one, other = archived.blocks[2:4]
    second = content[other.offset : other.offset + other.size]
    return content[: one.offset] + second + second + content[other.offset + other.size :]


Damage = Callable[[bytes, ArchivedCollection], bytes]
SHORTER, LONGER = "is shorter than the blocks of a_set", "is longer than the blocks of a_set"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip, "Block 3 of {blocks} of a_set is not what was dumped"),
        (swap, "Block 3 of {blocks} of a_set is not what was dumped"),
        (cut, SHORTER),
        (double, "of a_set"),
        (lambda content, archived: content[:-1], SHORTER),
        (lambda content, archived: content + gzip.compress(b""), LONGER),
    ],
    ids=["flipped", "swapped", "cut", "doubled", "shorter", "longer"],
)
def test_a_damaged_block_is_named_and_the_others_can_be_read(
    origin: Database[Any], copy: Database[Any], folder: Path, damage: Damage, message: str
) -> None:
    fill(origin)
    manifest = dumped(origin, folder)
    archived = one_of(manifest)
    path = folder / archived.file
    path.write_bytes(damage(path.read_bytes(), archived))
    create_empty(manifest, copy)
    with pytest.raises(ArchiveDamaged) as noticed:
        load_one(folder, archived, copy)
    assert message.format(blocks=len(archived.blocks)) in str(noticed.value)
    assert str(path) in str(noticed.value)
    if damage is flip:
        assert f"at byte {archived.blocks[2].offset}" in str(noticed.value)
        assert len(list(read_block(folder, archived, 4))) == archived.blocks[3].documents
    with pytest.raises(ArchiveDamaged, match=r"a_set\.bson\.gz is not what was dumped: .*Nothing was loaded"):
        load(folder, manifest, copy)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: of_block(manifest, 2, "offset", 1),
        lambda manifest: of_block(manifest, 2, "size", -1),
        lambda manifest: of_block(manifest, -1, "size", 1),
        lambda manifest: of_block(manifest, 2, "documents", 1),
        lambda manifest: of_block(manifest, 2, "bytes", 1),
        lambda manifest: manifest["collections"][0]["blocks"].pop(2),
        lambda manifest: manifest["collections"][0]["blocks"].reverse(),
        lambda manifest: manifest["collections"][0]["blocks"].clear(),
        lambda manifest: manifest["collections"][0].update(file_bytes=1),
    ],
    ids=["overlap", "gap", "longer", "documents", "bytes", "missing", "order", "none", "file"],
)
def test_a_manifest_whose_blocks_do_not_fit_together_is_refused(
    origin: Database[Any], folder: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    fill(origin)
    dumped(origin, folder)
    rewritten(folder, change)
    with pytest.raises(ArchiveDamaged, match=r"manifest\.json cannot be read: .* of a_set.* Dump again"):
        read_manifest(folder)


@pytest.mark.parametrize("field", ["documents", "sha256"])
def test_a_block_that_is_not_what_the_manifest_lists_is_refused(
    origin: Database[Any], copy: Database[Any], folder: Path, field: str
) -> None:
    fill(origin)
    dumped(origin, folder)

    def change(manifest: dict[str, Any]) -> None:
        if field == "sha256":
            manifest["collections"][0]["blocks"][2]["sha256"] = "0" * 64
        else:
            of_block(manifest, 2, "documents", 1)
            of_block(manifest, 3, "documents", -1)

    rewritten(folder, change)
    with pytest.raises(ArchiveDamaged, match="of a_set is not what was dumped"):
        load(folder, read_manifest(folder), copy)


def test_an_archive_by_a_newer_version_is_refused_and_it_is_said_what_to_do(
    origin: Database[Any], folder: Path
) -> None:
    fill(origin)
    dumped(origin, folder)
    rewritten(folder, lambda manifest: manifest.update(format=3, something_new={}))
    with pytest.raises(
        ArchiveTooNew, match=r"format 3, .* a newer version wrote it. Nothing was loaded. Use that version"
    ):
        read_manifest(folder)
