"""The process that started this one, which may be killed and then cannot say that its work is no longer wanted."""

import os
import threading
import time

PARENT_GONE = 70
"""Exit code of a process that ended for that reason."""
_SECONDS_BETWEEN_LOOKS = 0.5


def die_with_parent(parent: int) -> None:
    """From now on, end this process as soon as the one with the id `parent` is no longer its parent."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        os._exit(PARENT_GONE)

    threading.Thread(target=watch, name="die_with_parent", daemon=True).start()
