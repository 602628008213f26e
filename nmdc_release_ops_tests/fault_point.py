"""Something done at one exact moment of a release: before or after a certain command goes to MongoDB in a certain step.

A release is best hit where it speaks to a server. The driver tells its listeners of every command, whichever function
of ours sends it, so that the moments can be named without knowing how a step is written.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Literal

import dagster as dg
from pymongo import monitoring


@dataclass(frozen=True)
class Point:
    """A moment of a release.

    Attributes:
        step: op of `data_release` that is being executed.
        command: MongoDB's name of it.
        when: before it is sent, or after its success.
        number: which of them, within the step, from 1.
    """

    step: str
    command: str
    when: Literal["before", "after"] = "after"
    number: int = 1

    def __str__(self) -> str:
        return f"{self.when} {self.command} {self.number} of {self.step}"


@dataclass
class Trap:
    """A point with what is to be done there, once.

    Attributes:
        hit: whether the release came by.
        went_wrong: what kept the fault from being done.
    """

    point: Point
    instance: dg.DagsterInstance
    fault: Callable[[], None]
    hit: bool = False
    went_wrong: BaseException | None = None
    _seen: int = 0
    _lock: Lock = field(default_factory=Lock)

    def pass_by(self, when: str, command: str) -> None:
        with self._lock:
            if self.hit or (when, command) != (self.point.when, self.point.command):
                return
            if running_step(self.instance) != self.point.step:
                return
            self._seen += 1
            if self._seen < self.point.number:
                return
            self.hit = True
        try:
            self.fault()
        except BaseException as error:
            # The driver would print it and go on.
            self.went_wrong = error


class _Listener(monitoring.CommandListener):
    """The driver's listeners cannot be taken back: one is registered for good, and minds the traps that are set."""

    def __init__(self) -> None:
        self.traps: list[Trap] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self._pass_by("before", event.command_name)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        self._pass_by("after", event.command_name)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass

    def _pass_by(self, when: str, command: str) -> None:
        for trap in tuple(self.traps):
            trap.pass_by(when, command)


_listener = _Listener()
monitoring.register(_listener)


@contextmanager
def at(point: Point, instance: dg.DagsterInstance, fault: Callable[[], None]) -> Iterator[None]:
    """Do `fault` when a release that is executed in this process comes to `point`; it must come there in the block."""
    trap = Trap(point, instance, fault)
    _listener.traps.append(trap)
    try:
        yield
    finally:
        _listener.traps.remove(trap)
    if trap.went_wrong:
        raise trap.went_wrong
    assert trap.hit, f"the release never came to {point}"


def running_step(instance: dg.DagsterInstance) -> str | None:
    """The step that the newest run is executing, None before its first and after its last."""
    for run in instance.get_runs(limit=1):
        steps: dict[str, Any] = {}
        kinds = {dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.STEP_FAILURE}
        for record in reversed(instance.get_records_for_run(run.run_id, of_type=kinds).records):
            event = record.event_log_entry.get_dagster_event()
            steps.setdefault(str(event.step_key), event.event_type)
        for step, last in steps.items():
            if last is dg.DagsterEventType.STEP_START:
                return step
    return None
