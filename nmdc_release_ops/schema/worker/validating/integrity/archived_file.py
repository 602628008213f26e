"""Reading a file of the archive after verifying its sha256."""

import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import bson
from dagster_pipes import PipesContext

from ..chunks import LENIENT
from ..compiled import Document

DAMAGED_EXIT_CODE = 65
_READ_BYTES = 1_000_000


class ArchiveFileDamaged(Exception):
    """A file of the archive cannot be read, or its sha256 is not the manifest's.

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


@dataclass(frozen=True)
class ArchivedFile:
    """The documents of a collection in the archive, gzipped BSON.

    Attributes:
        sha256: from the manifest.
    """

    path: Path
    sha256: str

    def size(self) -> int:
        """Bytes.

        Raises:
            ArchiveFileDamaged: the file is missing.
        """
        try:
            return self.path.stat().st_size
        except OSError as error:
            raise ArchiveFileDamaged(str(self.path), f"it cannot be read: {error.strerror}") from error

    def documents(self) -> Iterator[Document]:
        """Every document. The whole file is verified before the first document is read.

        Raises:
            ArchiveFileDamaged
        """
        self._verify()
        try:
            yield from self._read()
        except OSError as error:
            raise ArchiveFileDamaged(str(self.path), f"it cannot be read: {error.strerror or error}") from error

    def _verify(self) -> None:
        digest = hashlib.sha256()
        try:
            with self.path.open("rb") as file:
                while chunk := file.read(_READ_BYTES):
                    digest.update(chunk)
        except OSError as error:
            raise ArchiveFileDamaged(str(self.path), f"it cannot be read: {error.strerror}") from error
        if digest.hexdigest() != self.sha256:
            fault = f"its sha256 is {digest.hexdigest()}, not {self.sha256}"
            raise ArchiveFileDamaged(str(self.path), fault)

    def _read(self) -> Iterator[Document]:
        remainder = b""
        with gzip.open(self.path) as uncompressed:
            while chunk := uncompressed.read(_READ_BYTES):
                data = remainder + chunk
                position = 0
                while len(data) - position >= 4:
                    end = position + int.from_bytes(data[position : position + 4], "little")
                    if end > len(data):
                        break
                    yield bson.decode(data[position:end], LENIENT)
                    position = end
                remainder = data[position:]
