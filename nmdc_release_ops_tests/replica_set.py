"""A replica set of three members on this machine, whose primary can be made to step down.

Its members log in to each other by a key file; small oplogs and caches keep three of them cheap. It stands in for a
`PrivateMongod` under a `DemoOrigin`.
"""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from nmdc_release_ops.mongo.programs.mongod import find_mongod

NAME = "three"
MEMBERS = 3
ADMINISTRATOR = "administrator"
ELECTION_MILLISECONDS = 1_000
STEP_DOWN_SECONDS = 5
START_SECONDS = 60


class ReplicaSet:
    """A running set. Make one with `replica_set`.

    Attributes:
        folder: where the key, the logs and the data of all members are.
        ports: of the members, on 127.0.0.1.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = [_free_port() for _ in range(MEMBERS)]
        self._password = secrets.token_urlsafe(32)
        folder.mkdir(parents=True)
        self._key = folder / "key"
        self._key.write_text(secrets.token_hex(256))
        self._key.chmod(0o600)
        self._members = [self._start(port) for port in self.ports]

    @property
    def uri(self) -> str:
        """The administrator's connection string, which names every member."""
        return self.uri_for(ADMINISTRATOR, self._password)

    def uri_for(self, user: str, password: str, database: str = "") -> str:
        nodes = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        login = f"{quote(user, safe='')}:{quote(password, safe='')}@"
        return f"mongodb://{login}{nodes}/{database}?replicaSet={NAME}&authSource=admin"

    def initiate(self) -> None:
        """Make a set of the members, and its administrator."""
        # The member that the key file stands for may do anything, on a server without users too.
        login = {"username": "__system", "password": self._key.read_text(), "authSource": "local"}
        with MongoClient[Any](self._direct(0), **login) as client:
            client.admin.command(
                "replSetInitiate",
                {
                    "_id": NAME,
                    # Member 0 becomes the primary, so that there is one without waiting for an election.
                    "members": [
                        {"_id": number, "host": f"127.0.0.1:{port}", "priority": 2 if number == 0 else 1}
                        for number, port in enumerate(self.ports)
                    ],
                    # A primary that comes back does not take over again in the middle of a test.
                    "settings": {"electionTimeoutMillis": ELECTION_MILLISECONDS, "catchUpTakeoverDelayMillis": -1},
                },
            )
            _until(lambda: client.admin.command("hello").get("isWritablePrimary"))
            client.admin.command("createUser", ADMINISTRATOR, pwd=self._password, roles=["root"])
            config = client.admin.command("replSetGetConfig")["config"]
            for member in config["members"]:
                member["priority"] = 1
            config["version"] += 1
            client.admin.command("replSetReconfig", config)
        with MongoClient[Any](self.uri) as client:
            _until(lambda: len(client.secondaries) == MEMBERS - 1)

    def primary(self) -> int:
        """The port of the primary, as soon as there is one."""
        with MongoClient[Any](self.uri, serverSelectionTimeoutMS=START_SECONDS * 1000) as client:
            client.admin.command("ping")
            address = client.address
        assert address is not None
        return address[1]

    def step_down(self) -> None:
        """Make the primary step down, and wait until another member is the primary."""
        before = self.primary()
        with MongoClient[Any](self.uri) as client:
            try:
                client.admin.command(
                    "replSetStepDown", STEP_DOWN_SECONDS, secondaryCatchUpPeriodSecs=STEP_DOWN_SECONDS - 1
                )
            except PyMongoError as error:
                # An older server hangs up instead of answering.
                if getattr(error, "code", None):
                    raise
        _until(lambda: self.primary() != before)

    def stop(self) -> None:
        """End all members. Safe to call twice."""
        for member in self._members:
            if member.stdin and not member.stdin.closed:
                member.stdin.close()
        for member in self._members:
            try:
                member.wait(timeout=60)
            except subprocess.TimeoutExpired:
                member.kill()
                member.wait()

    def _start(self, port: int) -> subprocess.Popen[bytes]:
        data = self.folder / str(port)
        data.mkdir()
        command = [
            str(find_mongod()),
            *("--dbpath", str(data), "--logpath", str(self.folder / f"{port}.log"), "--keyFile", str(self._key)),
            *("--bind_ip", "127.0.0.1", "--port", str(port), "--nounixsocket", "--replSet", NAME),
            *("--oplogSize", "64", "--wiredTigerCacheSizeGB", "0.25"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        ]
        return subprocess.Popen(
            [sys.executable, "-m", "nmdc_release_ops.mongo.programs.guard", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            env={"PATH": os.environ["PATH"]},
        )

    def _direct(self, number: int) -> str:
        return f"mongodb://127.0.0.1:{self.ports[number]}/?directConnection=true"

    def wait_for_answers(self) -> None:
        for number in range(MEMBERS):
            with MongoClient[Any](self._direct(number), serverSelectionTimeoutMS=START_SECONDS * 1000) as client:
                client.admin.command("ping")


@contextmanager
def replica_set(folder: Path) -> Iterator[ReplicaSet]:
    """A set of three in a new folder, for as long as the block lasts."""
    members = ReplicaSet(folder)
    try:
        members.wait_for_answers()
        members.initiate()
        yield members
    finally:
        members.stop()


def _until(holds: Any) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "the set did not get there"
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
