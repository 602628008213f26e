"""An archive's files under a second name, which takes no room."""

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def link_files(source: Path, files: Iterable[str], folder: Path) -> None:
    """Link files of `source` into `folder`; copy them where links are impossible. What is there already is replaced.

    Whoever writes aside and renames, as this project does, leaves the other name's file as it is.

    Args:
        files: paths within `source`.

    Raises:
        OSError: one is missing, or the disk is full.
    """
    for file in files:
        target = folder / file
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            target.unlink()
        try:
            os.link(source / file, target)
        except OSError:
            shutil.copyfile(source / file, target)
