"""Imported by scripts that run in a schema release's environment: loads collections when an adapter asks for them."""

import json
import socket
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from worker.migrating.loader import Loader


@contextmanager
def on_demand(
    database: Any, names: Iterable[str], documents: Callable[[str], Collection[Any]]
) -> Iterator[tuple[Loader, list[str]]]:
    """A loader whose requests are answered by a thread of this process, and what it has loaded so far."""
    loaded: list[str] = []
    asks, answers = socket.socketpair()

    def answer() -> None:
        for line in answers.makefile("rb"):
            name = json.loads(line)
            loaded.append(name)
            if content := documents(name):
                database[name].insert_many(content)
            answers.sendall(b"\n")

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield Loader(asks, names), loaded
    finally:
        asks.close()
        thread.join()
        answers.close()
