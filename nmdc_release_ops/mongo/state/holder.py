"""The process that holds a lease, and whether it is still running."""

import os
import socket
from functools import cache
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

_FIELDS_BEFORE_STARTED = 19
"""In Linux's /proc/PID/stat, between the name of the program and its start time (proc(5))."""


class Holder(BaseModel):
    """A process on a machine.

    Attributes:
        host: name of the machine, for messages.
        machine: identifies the boot of the machine, and the container if there is one: process ids are unique within it.
        started: its start time in the kernel's own unit, which distinguishes it from a later process with the same id.
            None where the system does not report it.
    """

    model_config = ConfigDict(frozen=True)

    host: str
    machine: str
    pid: int
    started: int | None

    @classmethod
    def this_process(cls) -> Self:
        # Cached: a host's name may change while the process runs.
        return cls(**_of(os.getpid()))

    @property
    def is_local(self) -> bool:
        """Whether it is, or was, a process of this machine since it was started."""
        return self.machine == _machine()

    def is_gone(self) -> bool:
        """Whether the process has certainly ended. One on another machine may still be running."""
        if not self.is_local:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return self.started is not None and _find_start_time(self.pid) != self.started

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@cache
def _of(pid: int) -> dict[str, Any]:
    return {"host": socket.gethostname(), "machine": _machine(), "pid": pid, "started": _find_start_time(pid)}


@cache
def _machine() -> str:
    """Identifies the machine and the container. Their names would not: two may have the same one."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _find_start_time(pid: int) -> int | None:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name may contain spaces and parentheses; it ends at the last one. A process that has exited but was not waited for
    # (a zombie) is gone.
    fields = status.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[_FIELDS_BEFORE_STARTED])
