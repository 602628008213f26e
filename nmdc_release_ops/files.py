"""Writing files, and one error for a disk that is full or not writable."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
# These mean the same for a file that is known to be being written; elsewhere they can mean anything.
_CANNOT_BE_WRITTEN = {errno.EIO, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR}
MAKE_ROOM = "Make room, or point NMDC_RELEASE_HOME at a larger disk, and re-execute the run from this step."


class FileNotWritten(Exception):
    """A file could not be written. Usually the disk is full; it can also be read-only, or permissions can be missing.

    Attributes:
        path: of the file, or of the folder that it was to be in.
        reason: in the system's words.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path} could not be written: {reason}. {MAKE_ROOM}")


@contextmanager
def writing(path: Path | None = None) -> Iterator[None]:
    """Name the file that could not be written when the block fails because of the disk.

    Args:
        path: of the file, or of its folder. None where the block writes many files; then the one that the system names is used.

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


def write_whole(path: Path, text: str, *, private: bool = False) -> None:
    """Write a file durably and atomically: afterwards the path holds all of it, or what was there before.

    Args:
        private: whether only the owner may read it, from the moment it exists.

    Raises:
        FileNotWritten
    """
    aside = path.with_name(f"{path.name}.partial")
    with writing(path):
        try:
            if private:
                aside.unlink(missing_ok=True)
                aside.touch(mode=0o600, exist_ok=False)
            with aside.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            aside.rename(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
