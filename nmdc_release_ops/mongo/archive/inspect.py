"""Looking for damage in an archive, all of it, without loading anything."""

from collections.abc import Callable, Iterator
from pathlib import Path

from nmdc_release_ops.files import sha256_of
from nmdc_release_ops.mongo.archive.blocks import read_runs
from nmdc_release_ops.mongo.archive.manifest import (
    MANIFEST,
    MANIFEST_DIGEST,
    ArchiveDamaged,
    ArchivedCollection,
    Manifest,
    files_of,
)

Count = Callable[[int], None]
"""Receives a number of bytes, compressed, that were looked at."""


def find_all_damage(folder: Path, manifest: Manifest, count: Count) -> Iterator[str]:
    """A line for each file and each block that is not what was dumped, and for each file that is not part of the archive.

    Every block is compared with its digest and decompressed, and its documents are counted.

    Args:
        manifest: as `read_manifest` gives it, which is compared with its own digest.
    """
    present = set(files_of(folder))
    expected = manifest.digests.keys() | {MANIFEST, MANIFEST_DIGEST}
    for name in sorted(present - expected):
        yield f"{folder / name} is not part of the archive: the manifest does not list it. `mongorestore` would restore it too."
    small = {one.metadata_file: one.metadata_sha256 for one in manifest.collections}
    for name, digest in sorted({**small, **manifest.other_files}.items()):
        if name not in present:
            yield f"{folder / name} is missing."
        elif (found := sha256_of(folder / name)) != digest:
            yield f"{folder / name} is not what was dumped: its sha256 is {found}, not {digest}."
    for archived in manifest.collections:
        yield from _find_damaged_blocks(folder, archived, count)


def _find_damaged_blocks(folder: Path, archived: ArchivedCollection, count: Count) -> Iterator[str]:
    path = folder / archived.file
    if not path.is_file():
        yield f"{archived.name}: {path} is missing."
        return
    has_its_length = path.stat().st_size == archived.file_bytes
    for number, block in enumerate(archived.blocks, 1):
        try:
            for _ in read_runs(folder, archived, number):
                pass
        except ArchiveDamaged as damage:
            yield str(damage)
            if not has_its_length:
                # No block can be found in a file that was cut or added to.
                return
        count(block.size)
