"""The process that holds a lease: who it is, and whether it still runs."""

import os
import socket
from functools import cache
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

_FIELDS_BEFORE_STARTED = 19
"""In Linux's /proc/PID/stat, between the name of the program and the moment it was started (proc(5))."""


class Holder(BaseModel):
    """A process on a machine.

    Attributes:
        host: for people.
        machine: the boot of the machine, and the container if it is one: what the number of a process is good for.
        started: when it was started, in the kernel's own count; tells it from a later process with the same number.
            None where the system does not say.
    """

    model_config = ConfigDict(frozen=True)

    host: str
    machine: str
    pid: int
    started: int | None

    @classmethod
    def this_process(cls) -> Self:
        # Once and for all: a host's name may change while the process runs.
        return cls(**_of(os.getpid()))

    @property
    def is_local(self) -> bool:
        """Whether it is, or was, a process of this machine since it was started."""
        return self.machine == _machine()

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


@cache
def _of(pid: int) -> dict[str, Any]:
    return {"host": socket.gethostname(), "machine": _machine(), "pid": pid, "started": _started(pid)}


@cache
def _machine() -> str:
    """Two machines, and two containers, may have the same name; no two have this in common."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _started(pid: int) -> int | None:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name may hold spaces and parentheses; it ends at the last one. What has exited but was not waited for is gone.
    fields = status.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[_FIELDS_BEFORE_STARTED])
