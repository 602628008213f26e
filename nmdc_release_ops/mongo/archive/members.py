"""Finding the blocks of a file that another program wrote: the members of a gzip file."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from isal import igzip_lib

from nmdc_release_ops.mongo.archive.blocks import NOT_GZIPPED, READ_BYTES
from nmdc_release_ops.mongo.archive.manifest import ArchiveDamaged, Block
from nmdc_release_ops.mongo.server.raw import BrokenBson, cut_off


def find_blocks(path: Path) -> tuple[list[Block], str]:
    """The members of a gzipped file of BSON, if each holds whole documents; otherwise the file as one block.

    Returns:
        The blocks, and the sha256 of the file, which is read once.

    Raises:
        ArchiveDamaged: it is not gzipped, its end is missing, or it ends within a document.
    """
    try:
        return _find(path)
    except BrokenBson as error:
        raise ArchiveDamaged(f"{path} {error}. Dump again.") from error
    except NOT_GZIPPED as error:
        raise ArchiveDamaged(f"{path} cannot be decompressed: {error}. Dump again.") from error


def _find(path: Path) -> tuple[list[Block], str]:
    whole, part = _Extent(), _Extent()
    members: list[Block] = []
    are_whole = True
    unfinished = data = b""
    member = None
    with path.open("rb") as file:
        while data or (data := whole.read(file.read(READ_BYTES))):
            if member is None and members and not data.strip(b"\0"):
                # Padding, which gzip ignores too.
                are_whole, data = False, b""
                continue
            member = member or igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
            for chunk in _uncompress(member, data):
                run, unfinished, documents = cut_off(unfinished + chunk)
                for extent in (whole, part):
                    extent.documents += documents
                    extent.bytes += len(run)
            rest = member.unused_data if member.eof else b""
            part.read(data[: len(data) - len(rest)])
            data = rest
            if member.eof:
                are_whole = are_whole and not unfinished
                members.append(part.block())
                member, part = None, _Extent(part.offset + part.size)
    if member is not None:
        raise EOFError("its end is missing")
    if unfinished:
        raise BrokenBson("ends in the middle of a document")
    return members if are_whole and members else [whole.block()], whole.digest.hexdigest()


class _Extent:
    """What was read of a file from `offset` on. Attributes as `Block`."""

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset
        self.size = self.documents = self.bytes = 0
        self.digest = hashlib.sha256()

    def read(self, compressed: bytes) -> bytes:
        self.digest.update(compressed)
        self.size += len(compressed)
        return compressed

    def block(self) -> Block:
        return Block(
            offset=self.offset,
            size=self.size,
            documents=self.documents,
            bytes=self.bytes,
            sha256=self.digest.hexdigest(),
        )


def _uncompress(member: igzip_lib.IgzipDecompressor, data: bytes) -> Iterator[bytes]:
    yield member.decompress(data, READ_BYTES)
    while not member.eof and not member.needs_input:
        yield member.decompress(b"", READ_BYTES)
