"""A side of a transfer: the origin or the transformer."""

from dataclasses import dataclass
from typing import Any

from pymongo.database import Database


@dataclass(frozen=True)
class Side:
    """A database, and how to reach it."""

    database: Database[Any]
    uri: str
