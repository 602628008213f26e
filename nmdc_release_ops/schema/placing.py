"""Putting a folder in its place whole: made aside by one process at a time, and renamed when it is complete."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nmdc_release_ops.files import writing


@contextmanager
def made_aside(folder: Path) -> Iterator[Path]:
    """A new, empty folder beside `folder`, renamed to it when the block ends well and removed when it does not.

    An existing `folder` is replaced. Hold `lock` around the decision to make it.

    Raises:
        FileNotWritten
    """
    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    # What a process that was killed left behind; the lock says that no other is at work.
    for left in folder.parent.glob(f".{folder.name}.*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
    try:
        with writing(folder):
            aside.mkdir(parents=True)
            yield aside
            shutil.rmtree(folder, ignore_errors=True)
            aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def lock(folder: Path, *, wait: bool = True) -> Iterator[Path]:
    """Keep other processes from making `folder` at the same time; they wait. Yields the file that says so.

    Raises:
        BlockingIOError: another process has it, and we are not to wait.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = lock_of(folder)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield path


def lock_of(folder: Path) -> Path:
    """The file that `lock` locks; it stays when the folder goes."""
    return folder.parent / f".{folder.name}.lock"
