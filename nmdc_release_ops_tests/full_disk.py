"""Folders that cannot be written on at some point, as when a disk is full."""

import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

BYTES = 2_000_000
UNMOUNT_SECONDS = 30


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
        deadline = time.monotonic() + UNMOUNT_SECONDS
        # What a release started may still be ending.
        while subprocess.run([unmount, str(folder)], check=False, capture_output=True).returncode != 0:
            assert time.monotonic() < deadline, f"who has something open in {folder}? {_users_of(folder)}"
            time.sleep(0.2)


def _users_of(folder: Path) -> list[str]:
    users = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            opened = [process.cwd(), *(one.path for one in process.open_files())]
            if any(Path(path).is_relative_to(folder) for path in opened):
                users.append(f"{process.pid} {process.cmdline()}")
    return users


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
