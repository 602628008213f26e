"""One error for a disk that is full or cannot be written, whoever meets it: the worker, or a process of its crew."""

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dagster_pipes import PipesContext

EXIT_CODE = 74
"""Of a worker that could not write a file. Its message may not have arrived: it is written to a file too."""
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
# Of a file that is known to be written, these say the same; of others they may say anything.
_CANNOT_BE_WRITTEN = {errno.EIO, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR}
_SQLITE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}


class NotWritten(Exception):
    """A file could not be written.

    Attributes:
        path: of the file, or of the folder that it was to be in.
        reason: as the system says it.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def tell(self, pipes: PipesContext) -> int:
        """Report it, if there is room for that; return the exit code."""
        # The disk may be that of the messages too. The exit code says enough.
        with suppress(OSError):
            pipes.report_custom_message({"kind": "not_written", "path": self.path, "reason": self.reason})
        return EXIT_CODE


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name what could not be written, if something fails in the block because of the disk.

    Raises:
        NotWritten
    """
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        reason = full_disk(error) or _other_reason(error)
        if reason is None:
            raise
        raise NotWritten(str(path), reason) from error


def run_main(main: Callable[[], int]) -> int:
    """Run a worker's `main`; return its exit code, also where there is no room even for its messages."""
    try:
        return main()
    except OSError as error:
        if full_disk(error) is None:
            raise
        return EXIT_CODE


def full_disk(error: BaseException) -> str | None:
    """What the system says where something failed because a disk is full, or is only to be read; None where it did not."""
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno in _FULL else None


def _other_reason(error: OSError | sqlite3.Error) -> str | None:
    if isinstance(error, OSError):
        return os.strerror(error.errno) if error.errno in _CANNOT_BE_WRITTEN else None
    # The lowest byte tells the kind of fault, the others more of it.
    code = getattr(error, "sqlite_errorcode", None)
    return str(error) if code is not None and code & 0xFF in _SQLITE else None
