"""The process that holds a lease: who it is, and whether it still runs."""

import os
import socket
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

_FIELDS_BEFORE_STARTED = 19
"""In Linux's /proc/PID/stat, between the name of the program and the moment it was started (proc(5))."""


class Holder(BaseModel):
    """A process on a machine.

    Attributes:
        started: when it was started, in the kernel's own count; tells it from a later process with the same number.
            None where the system does not say.
    """

    model_config = ConfigDict(frozen=True)

    host: str
    pid: int
    started: int | None

    @classmethod
    def this_process(cls) -> Self:
        return cls(host=socket.gethostname(), pid=os.getpid(), started=_started(os.getpid()))

    @property
    def is_local(self) -> bool:
        """Whether it is, or was, a process of this machine."""
        return self.host == socket.gethostname()

    def is_gone(self) -> bool:
        """Whether the process has certainly ended. One on another machine may go on, for all we can tell."""
        if not self.is_local:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return self.started is not None and _started(self.pid) != self.started

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def _started(pid: int) -> int | None:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name may hold spaces and parentheses; it ends at the last one. What has exited but was not waited for is gone.
    fields = status.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[_FIELDS_BEFORE_STARTED])
