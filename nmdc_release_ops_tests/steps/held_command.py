"""A step that is held up by MongoDB itself: its `failCommand` fail point makes a command wait."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient

from nmdc_release_ops.mongo.server.connection import APPLICATION

HELD_UP_SECONDS = 60


@contextmanager
def held_up(client: MongoClient[Any], command: str, *, skip: int = 0) -> Iterator[None]:
    """Every such command of a release waits, after the first `skip`, until the end of the block."""
    client.admin.command(
        {
            "configureFailPoint": "failCommand",
            "mode": {"skip": skip} if skip else "alwaysOn",
            "data": {
                "failCommands": [command],
                "appName": APPLICATION,
                "blockConnection": True,
                "blockTimeMS": HELD_UP_SECONDS * 1000,
            },
        }
    )
    try:
        yield
    finally:
        # It can only be switched off when nothing waits in it any more; what waits has nobody who wants its answer.
        for number in waiting(client, command):
            client.admin.command("killOp", op=number)
        client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


def waiting(client: MongoClient[Any], command: str) -> list[int]:
    """Numbers of the operations that the server is at for a release by this command."""
    found = client.admin.aggregate(
        [
            {"$currentOp": {"allUsers": True}},
            {"$match": {"appName": APPLICATION, f"command.{command}": {"$exists": True}, "active": True}},
        ]
    )
    return [operation["opid"] for operation in found]


def until(holds: Any, otherwise: str, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)
