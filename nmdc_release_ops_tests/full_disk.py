"""Folders that cannot be written on at some point, as when a disk is full."""

import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

BYTES = 2_000_000


@contextmanager
def small_disk(folder: Path) -> Iterator[str]:
    """A disk of `BYTES` of its own at `folder`; yields what the system says when it is full."""
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    command = [str(mount), "-t", "tmpfs", "-o", f"size={BYTES},mode=0700", "tmpfs", str(folder)]
    if not (mount and unmount) or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk is not permitted here; the limit on the size of files stands for it")
    try:
        yield "No space left on device"
    finally:
        subprocess.run([unmount, str(folder)], check=True)


@contextmanager
def small_files(folder: Path) -> Iterator[str]:
    """No file of this process, wherever it is, can grow beyond `BYTES`. Needs no privilege."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (BYTES, before[1]))
    try:
        yield "File too large"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


FullDisk = Callable[[Path], AbstractContextManager[str]]
FULL_DISKS = pytest.mark.parametrize("full_disk", [small_disk, small_files])
