"""Archives of small blocks, and manifests that somebody has changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bson.json_util
from pymongo.database import Database

from nmdc_release_ops.files import sha256_of
from nmdc_release_ops.mongo.archive.manifest import (
    MANIFEST,
    MANIFEST_DIGEST,
    ArchivedCollection,
    Manifest,
    read_manifest,
)
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.transfer.dump import dump

BLOCK = 4_000


def dumped(database: Database[Any], folder: Path, block_bytes: int = BLOCK) -> Manifest:
    names = database.list_collection_names()
    time = ClusterTime(seconds=1, increment=1)
    dump(database, names, folder, release_id="r", cluster_time=time, block_bytes=block_bytes)
    return read_manifest(folder)


def fill(database: Database[Any], documents: int = 1_000) -> None:
    database.a_set.insert_many({"_id": n, "text": "x" * 40, "n": n % 7} for n in range(documents))
    database.a_set.create_index("n")


def one_of(manifest: Manifest, name: str = "a_set") -> ArchivedCollection:
    (found,) = [one for one in manifest.collections if one.name == name]
    return found


def rewritten(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest as somebody would who also writes its digest."""
    manifest = read_manifest(folder).model_dump(mode="json")
    change(manifest)
    content = bson.json_util.dumps(manifest).encode()
    (folder / MANIFEST).write_bytes(content)
    (folder / MANIFEST_DIGEST).write_text(f"{sha256_of(folder / MANIFEST)}  {MANIFEST}\n")


def of_block(manifest: dict[str, Any], number: int, field: str, by: int) -> None:
    manifest["collections"][0]["blocks"][number][field] += by


def flip(content: bytes, archived: ArchivedCollection) -> bytes:
    """Change a bit of the third block."""
    position = archived.blocks[2].offset + 15
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]
