"""Bringing a collection's file in an archive to the state of one moment, after people wrote while it was dumped."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from nmdc_release_ops.mongo.archive.blocks import (
    BLOCK_BYTES,
    MOST_BYTES_AT_ONCE,
    Compressed,
    compress_blocks,
    read_runs,
    write_blocks,
)
from nmdc_release_ops.mongo.archive.manifest import ArchivedCollection
from nmdc_release_ops.mongo.delta.keys import key_of
from nmdc_release_ops.mongo.server.raw import split


def merge(
    folder: Path,
    archived: ArchivedCollection,
    is_written: Callable[[bytes], bool],
    documents: Iterable[bytes],
    *,
    block_bytes: int = BLOCK_BYTES,
) -> ArchivedCollection:
    """Replace the documents that were written while the collection was dumped; return its description.

    Blocks without such documents are copied as they are. The others come in the same order, and `documents` at the end.

    Args:
        is_written: whether the document with this key (see `key_of`) was written or deleted meanwhile.
        documents: those of them that exist at that moment, as BSON.

    Raises:
        ArchiveDamaged: see `read_runs`.
        OSError: the disk is full, for example.
    """
    aside = folder / f"{archived.file}.merged"
    file = write_blocks(aside, _merge_blocks(folder, archived, is_written, documents, block_bytes))
    aside.rename(folder / archived.file)
    return ArchivedCollection.model_validate({**archived.model_dump(), **file.describe()})


def _merge_blocks(
    folder: Path,
    archived: ArchivedCollection,
    is_written: Callable[[bytes], bool],
    documents: Iterable[bytes],
    block_bytes: int,
) -> Iterator[Compressed]:
    for number, block in enumerate(archived.blocks, 1):
        if block.documents == 0:
            continue
        if block.bytes > MOST_BYTES_AT_ONCE:
            kept = (_without(run, is_written) for run in read_runs(folder, archived, number))
            yield from compress_blocks(kept, block_bytes)
            continue
        before = b"".join(read_runs(folder, archived, number))
        after = _without(before, is_written)
        if len(after) == len(before):
            yield Compressed(_read(folder / archived.file, block.offset, block.size), block.documents, block.bytes)
        elif after:
            yield from compress_blocks([after], block_bytes)
    yield from compress_blocks(documents, block_bytes)


def _without(run: bytes, is_written: Callable[[bytes], bool]) -> bytes:
    """A run of concatenated BSON without the documents that were written."""
    return b"".join(document for document in split(run) if not is_written(key_of(document)))


def _read(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb") as file:
        return os.pread(file.fileno(), size, offset)
