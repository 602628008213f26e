"""Reading an archive by blocks: parts of a collection's file that can be verified and read alone.

A block consists of whole gzip members, and these of whole BSON documents. Where `mongodump` wrote the file, it is one block
of any size. So a block is verified first, and then uncompressed and handed on in pieces.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from struct import Struct
from typing import Any, BinaryIO, Self

from bson.codec_options import CodecOptions
from dagster_pipes import PipesContext

from .batch import BATCH_DOCUMENTS, Batch, decode_batches
from .compiled import Document

DAMAGED_EXIT_CODE = 65
PIECE_BYTES = 4 * 1024 * 1024
"""How much of a block is uncompressed at a time."""
_LARGEST_PIECE = 4 * PIECE_BYTES
LARGEST_DOCUMENT = 16 * 1024 * 1024 + 16 * 1024
"""Bytes; the server's own limit for documents that it stores."""
_READ_BYTES = 1_000_000
_GZIP = 31
_length_at = Struct("<i").unpack_from


class ArchiveFileDamaged(Exception):
    """A file of the archive cannot be read, or is not what the manifest describes.

    Attributes:
        fault: what is wrong with it.
    """

    def __init__(self, path: str, fault: str) -> None:
        super().__init__(path, fault)
        self.path = path
        self.fault = fault

    def report(self, pipes: PipesContext) -> int:
        """Report it; return the exit code."""
        pipes.report_custom_message({"kind": "archive_damaged", "path": self.path, "fault": self.fault})
        return DAMAGED_EXIT_CODE


class Piece:
    """Some consecutive documents of a block.

    Attributes:
        raw: BSON documents, one after the other.
        count: how many. Only whoever has proved it may set it; otherwise they are counted.
    """

    def __init__(self, block: "ArchivedBlock", raw: bytes) -> None:
        self._block = block
        self.raw = raw

    @cached_property
    def count(self) -> int:
        return len(self.documents)

    @cached_property
    def documents(self) -> list[bytes]:
        """Each document.

        Raises:
            ArchiveFileDamaged: these bytes are not whole documents.
        """
        ends = find_documents(self.raw)
        if ends[-1] != len(self.raw):
            raise self._block.damaged("holds something else than documents")
        return [self.raw[start:end] for start, end in pairwise(ends)]


@dataclass(frozen=True)
class ArchivedBlock:
    """A block, as the manifest describes it.

    Attributes:
        number: its place in the file, from 1.
        path: of the file.
        offset: in the file, in bytes.
        size: in the file, in bytes.
        documents: how many.
        uncompressed: bytes of BSON.
        sha256: of the block as it is in the file.
    """

    collection: str
    number: int
    path: Path
    offset: int
    size: int
    documents: int
    uncompressed: int
    sha256: str

    def pieces(self) -> Iterator[Piece]:
        """All documents. The whole block is verified before the first piece is handed on.

        Raises:
            ArchiveFileDamaged: the file cannot be read, the block's sha256 is not the manifest's, or it does not hold what
                the manifest says.
        """
        try:
            with self.path.open("rb") as file:
                if self.size <= _LARGEST_PIECE:
                    parts = list(_read_part(file, self.offset, self.size))
                    self._require_digest(parts)
                    yield from self._read(parts)
                    return
                self._require_digest(_read_part(file, self.offset, self.size))
                digest = hashlib.sha256()
                yield from self._read(_hashed(_read_part(file, self.offset, self.size), digest))
                # What was read is what was verified, also if somebody wrote to the file in between.
                self._require_digest((), digest)
        except OSError as error:
            raise self.damaged(f"cannot be read: {error.strerror or error}") from error
        except zlib.error as error:
            raise self.damaged(f"cannot be uncompressed: {error}") from error

    def batches(self, codec: Callable[[], CodecOptions[Document]], documents: int = BATCH_DOCUMENTS) -> Iterator[Batch]:
        """All documents, decoded.

        Args:
            codec: called for each batch.
            documents: the most in a batch.

        Raises:
            ArchiveFileDamaged: see `pieces`.
        """
        for piece in self.pieces():
            yield from decode_batches(piece.documents, codec, documents)

    def _require_digest(self, parts: Iterable[bytes], digest: "hashlib._Hash | None" = None) -> None:
        digest = digest or hashlib.sha256()
        for part in parts:
            digest.update(part)
        if digest.hexdigest() != self.sha256:
            raise self.damaged(f"is damaged: its sha256 is {digest.hexdigest()}, not {self.sha256}")

    def _read(self, compressed: Iterable[bytes]) -> Iterator[Piece]:
        documents = size = 0
        for raw in self._cut(self._uncompress(compressed)):
            size += len(raw)
            piece = Piece(self, raw)
            yield piece
            documents += piece.count
        if (documents, size) != (self.documents, self.uncompressed):
            raise self.damaged(
                f"holds {documents:,} documents ({size:,} bytes); the manifest says {self.documents:,} documents "
                f"({self.uncompressed:,} bytes)"
            )

    def _cut(self, content: Iterator[bytes]) -> Iterator[bytes]:
        """Whole documents: all of a block that is not large, and some of a large one at a time."""
        if self.uncompressed <= _LARGEST_PIECE:
            parts = []
            size = 0
            for data in content:
                parts.append(data)
                size += len(data)
                if size > self.uncompressed:
                    raise self.damaged(f"holds more than the {self.uncompressed:,} bytes that the manifest says")
            if size:
                yield b"".join(parts)
            return
        remainder = b""
        for data in content:
            raw = remainder + data
            end = find_documents(raw)[-1]
            remainder = raw[end:]
            if end:
                yield raw[:end]
            elif len(raw) > LARGEST_DOCUMENT:
                raise self.damaged("holds something else than documents")
        if remainder:
            raise self.damaged("ends in the middle of a document")

    def _uncompress(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        """The block's content, at most `PIECE_BYTES` at a time."""
        member: Any = None
        for part in parts:
            compressed = part
            while compressed:
                member = member or zlib.decompressobj(_GZIP)
                yield member.decompress(compressed, PIECE_BYTES)
                compressed = member.unused_data if member.eof else member.unconsumed_tail
                if member.eof:
                    member = None
        if member is not None:
            # The last bytes may have been read without room for what they uncompress to.
            yield member.flush()
            if not member.eof:
                raise self.damaged("ends in the middle of a gzip member")

    def damaged(self, fault: str) -> ArchiveFileDamaged:
        """The error that names this block."""
        return ArchiveFileDamaged(str(self.path), f"block {self.number} of {self.collection} {fault}")


@dataclass(frozen=True)
class ArchivedFile:
    """A collection's documents in the archive, gzipped BSON.

    Attributes:
        listed: its blocks in order, as the manifest describes them.
    """

    collection: str
    path: Path
    listed: Sequence[ArchivedBlock]

    @classmethod
    def from_parameter(cls, collection: str, parameter: Mapping[str, Any]) -> Self:
        """Args:
        parameter: `path`, and `blocks` with `offset`, `size`, `documents`, `bytes` and `sha256` each.
        """
        path = Path(parameter["path"])
        blocks = (
            ArchivedBlock(
                collection=collection,
                number=number,
                path=path,
                offset=block["offset"],
                size=block["size"],
                documents=block["documents"],
                uncompressed=block["bytes"],
                sha256=block["sha256"],
            )
            for number, block in enumerate(parameter["blocks"], start=1)
        )
        return cls(collection, path, tuple(blocks))

    def blocks(self) -> Sequence[ArchivedBlock]:
        """The blocks, which together are the whole file.

        Raises:
            ArchiveFileDamaged: the file is missing, or the blocks are not the whole file.
        """
        try:
            size = self.path.stat().st_size
        except OSError as error:
            fault = f"{self.collection} cannot be read: {error.strerror}"
            raise ArchiveFileDamaged(str(self.path), fault) from error
        end = 0
        for block in self.listed:
            if block.offset != end:
                fault = f"block {block.number} of {self.collection} begins at byte {block.offset:,}, not {end:,}"
                raise ArchiveFileDamaged(str(self.path), fault)
            end += block.size
        if end != size:
            fault = f"the blocks of {self.collection} end at byte {end:,}, and the file has {size:,}"
            raise ArchiveFileDamaged(str(self.path), fault)
        return self.listed


def find_documents(raw: bytes) -> list[int]:
    """Where documents that follow each other begin, and where the last one that is whole ends."""
    bounds = [0]
    position, end = 0, len(raw)
    while end - position >= 4:
        (length,) = _length_at(raw, position)
        position += length
        if not 5 <= length <= LARGEST_DOCUMENT or position > end:
            break
        bounds.append(position)
    return bounds


def _hashed(parts: Iterable[bytes], digest: "hashlib._Hash") -> Iterator[bytes]:
    for part in parts:
        digest.update(part)
        yield part


def _read_part(file: BinaryIO, offset: int, size: int) -> Iterator[bytes]:
    """Some bytes of a file, or fewer if it is shorter."""
    file.seek(offset)
    while size > 0 and (part := file.read(min(size, _READ_BYTES))):
        size -= len(part)
        yield part
