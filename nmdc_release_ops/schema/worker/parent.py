"""Ending a process when its parent is gone: a parent that is killed cannot stop its children."""

import os
import threading
import time

PARENT_GONE = 70
"""Exit code of a process that ended because its parent was gone."""
_SECONDS_BETWEEN_CHECKS = 0.5


def die_with_parent(parent: int) -> None:
    """From now on, end this process as soon as the process with the id `parent` is no longer its parent."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_SECONDS_BETWEEN_CHECKS)
        os._exit(PARENT_GONE)

    threading.Thread(target=watch, name="die_with_parent", daemon=True).start()
