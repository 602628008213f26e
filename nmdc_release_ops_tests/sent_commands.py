"""The commands that this process sends to MongoDB, whichever function of ours sends them."""

from collections.abc import Iterator
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
    """The driver's listeners cannot be taken back: one is registered for good, and fills the lists that are open."""

    def __init__(self) -> None:
        self.open: list[list[Command]] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        for sent in tuple(self.open):
            sent.append(
                Command(event.command_name, event.database_name, event.connection_id[1] or 0, dict(event.command))
            )

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


_listener = _Listener()
monitoring.register(_listener)


@contextmanager
def sent_commands() -> Iterator[list[Command]]:
    """A list to which every command is added that clients send which were made since this module was imported."""
    sent: list[Command] = []
    _listener.open.append(sent)
    try:
        yield sent
    finally:
        # By identity: lists with the same commands are equal.
        _listener.open = [one for one in _listener.open if one is not sent]
