"""The commands that this process sends to MongoDB, whichever function of ours sends them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pymongo import monitoring


@dataclass(frozen=True)
class Command:
    """A command that was sent.

    Attributes:
        port: of the server.
    """

    name: str
    database: str
    port: int
    content: Any


class _Listener(monitoring.CommandListener):
    """The driver's listeners cannot be taken back: one is registered for good, and calls whoever listens."""

    def __init__(self) -> None:
        self.listening: list[Callable[[Command], None]] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        for act in tuple(self.listening):
            act(Command(event.command_name, event.database_name, event.connection_id[1] or 0, dict(event.command)))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


_listener = _Listener()
monitoring.register(_listener)


@contextmanager
def on_each_command(act: Callable[[Command], None]) -> Iterator[None]:
    """Call a function before each command is sent by a client that was made since this module was imported."""
    _listener.listening.append(act)
    try:
        yield
    finally:
        _listener.listening.remove(act)


@contextmanager
def sent_commands() -> Iterator[list[Command]]:
    """A list to which every command is added that is sent; see `on_each_command`."""
    sent: list[Command] = []

    def add(command: Command) -> None:
        sent.append(command)

    with on_each_command(add):
        yield sent
