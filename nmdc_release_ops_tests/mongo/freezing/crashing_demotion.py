"""Demotes the accounts of a server or puts them back, and kills itself, with SIGKILL, at one of its changes.

Arguments: `demote` or `put_back`; the number of the change, from 0; `before` it is sent, or `made`: after the server has
answered. The server is named in `NMDC_ORIGIN_URI`. Ends with 0 where there are fewer changes.
"""

import os
import signal
import sys
from typing import Any

from pymongo import MongoClient
from pymongo.monitoring import CommandListener

from nmdc_release_ops.mongo.freezing.demotion import demote, put_back

CHANGES = ("insert", "update", "delete", "createRole", "updateRole", "dropRole", "updateUser")


class Killer(CommandListener):
    """Kills this process at a change."""

    def __init__(self, number: int, *, made: bool) -> None:
        self.left = number
        self.made = made

    def started(self, event: Any) -> None:
        if event.command_name in CHANGES and self.left == 0 and not self.made:
            os.kill(os.getpid(), signal.SIGKILL)

    def succeeded(self, event: Any) -> None:
        if event.command_name in CHANGES:
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self.left -= 1

    def failed(self, event: Any) -> None:
        pass


def main() -> None:
    action, number, when = sys.argv[1:]
    listener = Killer(int(number), made=when == "made")
    with MongoClient[Any](os.environ["NMDC_ORIGIN_URI"], event_listeners=[listener]) as client:
        if action == "demote":
            demote(client, "a-release", "nmdc", 10)
        else:
            put_back(client, "a-release")


if __name__ == "__main__":
    main()
