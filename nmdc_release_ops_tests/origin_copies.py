"""Demo origins for tests: the first of a size is filled, and the others start on copies of its files.

Starting on a copy takes a third of what filling does. All copies have the same passwords; a test that needs two origins that
are strangers to each other makes one of them itself.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nmdc_release_ops.demo.origin import DemoOrigin
from nmdc_release_ops.files import lock, replace_folder

FOLDER = "NMDC_TESTS_ORIGINS"
"""The variable of the folder where the originals are while tests run. All workers of pytest share it."""
# The journal is copied: without it, a copy that is killed would replay nothing of what it had made durable.
_NOT_COPIED = shutil.ignore_patterns("WiredTigerPreplog.*", "mongod.log", "mongod.out", "mongod.lock")


@contextmanager
def folder_of_originals() -> Iterator[None]:
    """Where they are for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="origins", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")) as folder:
        os.environ[FOLDER] = folder
        yield


def demo_origin(folder: Path, scale: int) -> DemoOrigin:
    """An origin of its own in `folder`, with about `scale` documents of the demo."""
    original = Path(os.environ[FOLDER]) / str(scale)
    with lock(original):
        if not original.exists():
            with replace_folder(original) as aside:
                DemoOrigin.create(aside / "made", scale=scale, log=lambda line: None).stop()
    shutil.copytree(original / "made", folder, ignore=_NOT_COPIED)
    return DemoOrigin.open(folder)
