"""Ending a process early: as soon as its parent is gone, and at its end without waiting for the driver.

A parent that is killed cannot stop its children.
"""

import os
import sys
import threading
import time
from contextlib import suppress
from typing import NoReturn

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


def end_now(code: int) -> NoReturn:
    """End this process without running what libraries registered for its end.

    The driver registers half a second of waiting, for threads that have nothing left to do.
    """
    for stream in (sys.stdout, sys.stderr):
        # Its exit code says more than that its last line could not be written.
        with suppress(OSError):
            stream.flush()
    os._exit(code)
