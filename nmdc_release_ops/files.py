"""Files and folders that are complete or absent, and on disk; digests and locks; one error for a full or unwritable disk."""

import errno
import fcntl
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
# While a file is written these mean the same; elsewhere they can mean anything.
_CANNOT_BE_WRITTEN = {errno.EIO, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR}
_SQLITE_CANNOT_WRITE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
MAKE_ROOM = "Make room, or point NMDC_RELEASE_HOME at a larger disk, and re-execute the run from this step."


class FileNotWritten(Exception):
    """A file could not be written. Usually the disk is full; it can also be read-only, or permissions can be missing.

    Attributes:
        path: of the file, or of its folder.
        reason: the system's message.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path} could not be written: {reason}. {MAKE_ROOM}")


@contextmanager
def writing(path: Path | None = None) -> Iterator[None]:
    """Turn an error of the disk within the block into `FileNotWritten`, which names the file.

    Args:
        path: of the file, or of its folder. None if the block writes many files; then the file that the system names is used.

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


@contextmanager
def writing_database(path: Path) -> Iterator[None]:
    """Turn SQLite's error of the disk within the block into `FileNotWritten`.

    Args:
        path: of the database's file.

    Raises:
        FileNotWritten
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in _SQLITE_CANNOT_WRITE:
            raise FileNotWritten(path, str(error)) from error
        raise


def write_whole(path: Path, text: str, *, private: bool = False) -> None:
    """Write a file durably and atomically: afterwards `path` holds all of the text, or what it held before.

    Args:
        private: only the owner may read it.

    Raises:
        FileNotWritten
    """
    with replace_file(path) as aside:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yield a path beside `path`, for the block to write a file there.

    If the block succeeds, the file is synced to disk and renamed to `path`; if not, it is removed.

    Raises:
        FileNotWritten
    """
    aside = path.with_name(f"{path.name}.partial")
    with writing(path):
        try:
            # What an earlier process left may be a link, or open in another process.
            aside.unlink(missing_ok=True)
            yield aside
            sync(aside)
            aside.rename(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise


@contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """Yield a new, empty folder beside `folder`. Hold `lock` around it.

    If the block succeeds, the new folder replaces `folder`; if not, it is removed.

    Raises:
        FileNotWritten
    """
    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    # A process that was killed may have left some behind. Because of the lock, no other process uses them.
    for abandoned in folder.parent.glob(f".{folder.name}.*"):
        # Not those of a folder whose name begins with this one.
        if abandoned.is_dir() and abandoned.name.removeprefix(f".{folder.name}.").isdigit():
            shutil.rmtree(abandoned, ignore_errors=True)
    try:
        with writing(folder):
            aside.mkdir(parents=True)
            yield aside
            shutil.rmtree(folder, ignore_errors=True)
            aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def lock(path: Path, *, wait: bool = True) -> Iterator[Path]:
    """Let only one process at a time create or replace a file or folder. Yields the lock's own file.

    Raises:
        BlockingIOError: another process holds the lock, and `wait` is false.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock_file = lock_of(path)
    with lock_file.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield lock_file


def lock_of(path: Path) -> Path:
    """The file that `lock` locks. It remains when the file or folder is removed."""
    return path.parent / f".{path.name}.lock"
