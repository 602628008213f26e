"""Asking the process that started this one to load a collection of the archive, when a migrator first uses it."""

import json
import os
import socket
import threading
from collections.abc import Iterable


class LoadRefused(BaseException):
    """The other process did not load the collection. It is not an `Exception`: no migrator may continue without the documents."""


class Loader:
    """The collections that the archive holds and the transformer does not hold yet.

    Attributes:
        unloaded: their names. In the transformer they are empty.
    """

    def __init__(self, channel: socket.socket | None = None, unloaded: Iterable[str] = ()) -> None:
        """Args:
        channel: to the process that loads; None if there is nothing to load.
        """
        self._channel = channel
        # A migrator may use several threads; its forks have no channel of their own.
        self._lock = threading.Lock()
        self._process = os.getpid()
        self.unloaded = set(unloaded)

    def load(self, name: str) -> None:
        """Have a collection loaded, unless it is.

        Raises:
            LoadRefused: the other process is ending this one.
        """
        if name not in self.unloaded:
            return
        if self._channel is None or os.getpid() != self._process:
            raise LoadRefused(f"{name} is not loaded, and cannot be requested from this process")
        with self._lock:
            if name not in self.unloaded:
                return
            self._channel.sendall(json.dumps(name).encode() + b"\n")
            if self._channel.recv(1) != b"\n":
                raise LoadRefused(f"{name} was not loaded")
            self.unloaded.discard(name)

    def load_all(self) -> None:
        """Have every collection loaded."""
        for name in sorted(self.unloaded):
            self.load(name)

    def forget(self, name: str) -> None:
        """A collection was deleted, or replaced by another: its documents are no longer wanted."""
        self.unloaded.discard(name)
