"""One error for a disk that is full or read-only, in the worker and in its process pool.

It resembles `nmdc_release_ops/files.py` on purpose: the worker runs in a schema release's environment, where the rest of the
package cannot be imported.
"""

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dagster_pipes import PipesContext

EXIT_CODE = 74
"""Exit code of a worker that could not write a file. Its message goes through a file too, so it may not arrive."""
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
# While a file is written these mean the same; elsewhere they can mean anything.
_CANNOT_BE_WRITTEN = {errno.EIO, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR}
_SQLITE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}


class NotWritten(Exception):
    """A file could not be written.

    Attributes:
        path: of the file, or of its folder.
        reason: the system's message.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def report(self, pipes: PipesContext) -> int:
        """Report it, if the disk has room for the message; return the exit code."""
        # If the messages are on the same disk, the exit code is enough.
        with suppress(OSError):
            pipes.report_custom_message({"kind": "not_written", "path": self.path, "reason": self.reason})
        return EXIT_CODE


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an error of the disk within the block into one that names the file.

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


def link_or_copy(path: Path, target: Path) -> None:
    """Have a file under a second name too, on the same disk: a link, or a copy where there are no links. If the target is there,
    it stays as it is.

    Raises:
        NotWritten
    """
    with writing(target), suppress(FileExistsError):
        try:
            os.link(path, target)
        except FileExistsError:
            raise
        except OSError as error:
            if full_disk(error):
                raise
            # A file system without links, or a file that has as many as it may: each says it in its own way.
            shutil.copyfile(path, target)


def run_main(main: Callable[[], int]) -> int:
    """Run a worker's `main`; return its exit code, even if the disk has no room for its messages."""
    try:
        return main()
    except OSError as error:
        if full_disk(error) is None:
            raise
        return EXIT_CODE


def full_disk(error: BaseException) -> str | None:
    """The system's message if the error means a full or read-only disk, else None."""
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno in _FULL else None


def _other_reason(error: OSError | sqlite3.Error) -> str | None:
    if isinstance(error, OSError):
        return os.strerror(error.errno) if error.errno in _CANNOT_BE_WRITTEN else None
    # The lowest byte is the primary error code.
    code = getattr(error, "sqlite_errorcode", None)
    return str(error) if code is not None and code & 0xFF in _SQLITE else None
