"""How long work reports its progress, and logs what an operator should know."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How many documents of a collection are done, of how many."""

    collection: str
    done: int
    total: int


Report = Callable[[Progress], None]
Log = Callable[[str], None]
"""Receives a message for the operator."""


def silent(progress: Progress) -> None:
    """No-op callback."""


def unlogged(message: str) -> None:
    """No-op callback."""
