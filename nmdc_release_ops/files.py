"""Writing files, and one error for a disk that is full or cannot be written."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
# Of a file that is known to be written, these say the same; of others they may say anything.
_CANNOT_BE_WRITTEN = {errno.EIO, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR}
MAKE_ROOM = "Make room, or point NMDC_RELEASE_HOME at a larger disk, and re-execute the run from this step."


class FileNotWritten(Exception):
    """A file could not be written: the disk is full, most often, or it cannot be written.

    Attributes:
        path: of the file, or of the folder that it was to be in.
        reason: as the system says it.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"The file could not be written to {path}: {reason}. {MAKE_ROOM}")


@contextmanager
def writing(path: Path | None = None) -> Iterator[None]:
    """Name what could not be written, if something fails in the block because of the disk.

    Args:
        path: of the file, or of its folder; None where many may be written, and what the system names is taken.

    Raises:
        FileNotWritten
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL or (path is not None and error.errno in _CANNOT_BE_WRITTEN):
            where = path or error.filename or "a file of this step (the system does not say which)"
            raise FileNotWritten(where, os.strerror(error.errno)) from error
        raise


def write_whole(path: Path, text: str) -> None:
    """Write a file, durably, in place of an earlier one. There is all of it, or what was there before.

    Raises:
        FileNotWritten
    """
    aside = path.with_name(f"{path.name}.partial")
    with writing(path):
        try:
            with aside.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            aside.rename(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
