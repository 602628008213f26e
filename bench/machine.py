"""What the benchmark ran on, and how much other programs used of it meanwhile."""

import os
import platform
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import psutil

_GIGA = 1_000_000_000
_OURS = ("pymongo", "isal", "dagster")
_THEIRS = ("linkml", "jsonschema-rs")


def describe_machine() -> str:
    """The processor, its cores, the memory."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = psutil.virtual_memory().total / _GIGA
    return f"{cores} cores of {_processor()}, {memory:.0f} GB of memory"


def describe_versions(mongod: str, packages: dict[str, str]) -> str:
    """Versions of what was measured.

    Args:
        packages: of the schema release's environment.
    """
    found = [f"Python {platform.python_version()}", f"mongod {mongod}"]
    found += [f"{name} {version(name)}" for name in _OURS]
    found += [f"{name} {packages[name]}" for name in _THEIRS if name in packages]
    return ", ".join(found)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return " ".join(part for part in (model, f"({platform.machine()})") if part)


@dataclass
class Neighbours:
    """Measures what other programs used of the machine's processors since it was made."""

    started: float = field(default_factory=time.monotonic)
    busy: float = field(default_factory=lambda: _busy())
    own: float = field(default_factory=lambda: _own())

    def cores(self) -> float:
        """How many cores they kept busy on average. All that we started must have ended."""
        others = (_busy() - self.busy) - (_own() - self.own)
        return max(0.0, others / (time.monotonic() - self.started))


def _busy() -> float:
    """Seconds for which the processors were busy, of all programs together, and taken by other virtual machines."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


def _own() -> float:
    """Seconds of processor time of this process and of those that it started and that have ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system
