"""Reading and making the blocks of a collection's file in an archive."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from gzip import BadGzipFile
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import Any, cast

from isal import igzip, igzip_lib

from nmdc_release_ops.mongo.archive.boundaries import find_boundary
from nmdc_release_ops.mongo.archive.manifest import ArchiveDamaged, ArchivedCollection, Block
from nmdc_release_ops.mongo.server.raw import BrokenBson, count_documents, cut_after, split, whole_runs

BLOCK_BYTES = 8 * 1024 * 1024
"""Of BSON in a block that this project writes; more only where a single document is longer."""
MOST_BYTES_AT_ONCE = 64 * 1024 * 1024
"""Of BSON. A larger block, which only other programs write, is streamed."""
READ_BYTES = 4 * 1024 * 1024
# Measured: level 2 of ISA-L is as small as gzip's default to within a few percent and several times faster.
_COMPRESSION_LEVEL = 2
# The library's stubs declare its exception class as an instance.
NOT_GZIPPED = (EOFError, BadGzipFile, cast("type[Exception]", igzip_lib.IsalError))


@dataclass(frozen=True)
class Compressed:
    """A block before it has its place in a file.

    Attributes:
        bytes: of BSON, uncompressed.
    """

    content: bytes
    documents: int
    bytes: int

    def at(self, offset: int) -> Block:
        """The block, once `content` is at `offset` of a file."""
        return Block(
            offset=offset,
            size=len(self.content),
            documents=self.documents,
            bytes=self.bytes,
            sha256=hashlib.sha256(self.content).hexdigest(),
        )


def compress_blocks(
    runs: Iterable[bytes],
    block_bytes: int,
    count: Callable[[int], None] = lambda _documents: None,
    *,
    recurring: bool = False,
) -> Iterator[Compressed]:
    """Blocks of `block_bytes` of BSON or a little less, of runs of concatenated BSON. A longer document is a block of its own.

    Args:
        count: called with the number of documents that were read, run by run or more often.
        recurring: end most blocks earlier, from half of `block_bytes` on, where the blocks of another dump of nearly the same
            documents end too.
    """
    pending: list[bytes] = []
    size = documents = 0
    is_full = False
    for run in runs:
        position = 0
        while position < len(run):
            end, more = cut_after(run, position, block_bytes - size)
            if more == 0 and pending:
                yield _compress(pending, documents)
                pending, size, documents = [], 0, 0
                continue
            if more == 0:
                end, more = position + int.from_bytes(run[position : position + 4], "little"), 1
            elif recurring:
                end, more, is_full = find_boundary(run, position, end, block_bytes // 2 - size, block_bytes // 4)
            pending.append(run[position:end])
            size, documents, position = size + end - position, documents + more, end
            count(more)
            if is_full:
                yield _compress(pending, documents)
                pending, size, documents, is_full = [], 0, 0, False
    if pending:
        yield _compress(pending, documents)


@dataclass(frozen=True)
class WrittenFile:
    """A file of blocks.

    Attributes:
        size: in bytes.
    """

    blocks: list[Block]
    size: int
    sha256: str

    def describe(self) -> dict[str, Any]:
        """What an `ArchivedCollection` has of it, by field."""
        return {
            "documents": sum(block.documents for block in self.blocks),
            "bytes": sum(block.bytes for block in self.blocks),
            "file_bytes": self.size,
            "sha256": self.sha256,
            "blocks": self.blocks,
        }


def write_blocks(path: Path, blocks: Iterable[Compressed]) -> WrittenFile:
    """Write a file of blocks, durably; of an empty one where there are none.

    Raises:
        OSError.
    """
    written: list[Block] = []
    digest = hashlib.sha256()
    size = 0
    with path.open("wb") as file:
        for one in _or_empty(blocks):
            written.append(one.at(size))
            digest.update(one.content)
            size += file.write(one.content)
        file.flush()
        os.fsync(file.fileno())
    return WrittenFile(written, size, digest.hexdigest())


def _or_empty(blocks: Iterable[Compressed]) -> Iterator[Compressed]:
    none = True
    for block in blocks:
        none = False
        yield block
    if none:
        yield EMPTY


def compress(content: bytes) -> bytes:
    """One gzip member, the same for the same content."""
    return igzip.compress(content, _COMPRESSION_LEVEL, mtime=0)


EMPTY = Compressed(compress(b""), 0, 0)
"""The block of a collection without documents."""


def _compress(runs: list[bytes], documents: int) -> Compressed:
    content = b"".join(runs)
    return Compressed(compress(content), documents, len(content))


def read_block(folder: Path, archived: ArchivedCollection, number: int) -> Iterator[bytes]:
    """Each document of block `number` (from 1) of a collection, as BSON. Errors as `read_runs`."""
    for run in read_runs(folder, archived, number):
        yield from split(run)


def read_documents(folder: Path, archived: ArchivedCollection) -> Iterator[bytes]:
    """Each document of a collection of an archive, as BSON, block after block. Errors as `read_runs`."""
    for number in range(1, len(archived.blocks) + 1):
        yield from read_block(folder, archived, number)


def read_runs(folder: Path, archived: ArchivedCollection, number: int) -> Iterator[bytes]:
    """Block `number` (from 1) of a collection, as runs of whole documents of concatenated BSON.

    The block's sha256 is verified before anything of it is uncompressed. The run is usually the whole block; a block that is
    too large to be held in memory is streamed.

    Raises:
        ArchiveDamaged: naming the collection, the block and the file. The file is longer or shorter than its blocks, the block
            is not what was dumped, is not gzipped, or does not hold the documents that the manifest lists.
    """
    block = archived.blocks[number - 1]
    documents = size = 0
    try:
        with _open(folder, archived) as file:
            for run in _verified_runs(file, block):
                documents += count_documents(run)
                size += len(run)
                yield run
        if (documents, size) != (block.documents, block.bytes):
            raise _Fault(
                f"it holds {documents} documents of {size} bytes, and the manifest lists {block.documents} of {block.bytes}"
            )
    except _Fault as fault:
        problem = str(fault)
    except BrokenBson as error:
        problem = f"it {error}"
    except NOT_GZIPPED as error:
        problem = f"it cannot be decompressed: {error}"
    else:
        return
    raise ArchiveDamaged(
        f"Block {number} of {len(archived.blocks)} of {archived.name} is not what was dumped: in {folder / archived.file}, at "
        f"byte {block.offset}, {problem}. Find out who writes to the file, and dump again."
    )


class _Fault(Exception):
    """What is wrong with a block."""


def _open(folder: Path, archived: ArchivedCollection) -> BufferedReader:
    """Raises:
    ArchiveDamaged: the file is missing, or longer or shorter than its blocks.
    """
    path = folder / archived.file
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise ArchiveDamaged(f"{path} is missing. Dump again.") from None
    length = os.fstat(file.fileno()).st_size
    if length != archived.file_bytes:
        file.close()
        raise ArchiveDamaged(
            f"{path} is {'longer' if length > archived.file_bytes else 'shorter'} than the blocks of {archived.name}: it has "
            f"{length} bytes, and its blocks {archived.file_bytes}. Find out who writes to the file, and dump again."
        )
    return file


def _verified_runs(file: BufferedReader, block: Block) -> Iterator[bytes]:
    descriptor = file.fileno()
    if max(block.size, block.bytes) <= MOST_BYTES_AT_ONCE:
        content = os.pread(descriptor, block.size, block.offset)
        _require_digest(hashlib.sha256(content), block)
        if run := igzip.decompress(content):
            yield run
        return
    part = _Part(descriptor, block)
    while part.read(READ_BYTES):
        pass
    _require_digest(part.digest, block)
    part = _Part(descriptor, block)
    with igzip.IGzipFile(fileobj=part, mode="rb") as uncompressed:
        yield from whole_runs(iter(lambda: uncompressed.read(READ_BYTES), b""))
    # What was read is what was verified, also if somebody wrote to the file in between.
    while part.read(READ_BYTES):
        pass
    _require_digest(part.digest, block)


def _require_digest(digest: "hashlib._Hash", block: Block) -> None:
    if digest.hexdigest() != block.sha256:
        raise _Fault(f"its sha256 is {digest.hexdigest()}, not {block.sha256}")


class _Part(RawIOBase):
    """A block as a file of its own, with the sha256 of what was read of it."""

    def __init__(self, descriptor: int, block: Block) -> None:
        self._descriptor = descriptor
        self._position = block.offset
        self._end = block.offset + block.size
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        left = self._end - self._position
        chunk = os.pread(self._descriptor, left if size < 0 else min(size, left), self._position)
        self._position += len(chunk)
        self.digest.update(chunk)
        return chunk

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        chunk = self.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)
