"""A private mongod: a replica set of one node (migrators use transactions), reachable from this machine only.

Everything it needs is in one folder. A later process, even after a reboot, can start it again from there with its data.
`guard` ends it when the process that started it is gone.
"""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self
from urllib.parse import quote

from pymongo import MongoClient
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError

from nmdc_release_ops.files import write_whole
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.programs.environment import environment_without_secrets
from nmdc_release_ops.mongo.programs.mongod import find_mongod

REPLICA_SET = "private"
ADMINISTRATOR = "administrator"
START_SECONDS = 60
STOP_SECONDS = 75
# Longer than an owner that has just ended takes to stop its mongod.
LOCK_SECONDS = STOP_SECONDS + 15
LOG_LINES_IN_ERRORS = 15
_USER_EXISTS = 51003
_NOT_YET_INITIALIZED = 94


class MongodFailedToStart(MongoError):
    """A mongod ended while it was starting, or did not become writable in time."""


class FolderInUse(MongoError):
    """Another mongod is running on the folder."""


class PrivateMongod:
    """A running private mongod. Make one with `PrivateMongod.start` or, better, `private_mongod`.

    Attributes:
        folder: where its data, log, key and credentials are (mode 0700).
        port: the port on 127.0.0.1; a restart may choose another.
        uri: the connection string of its administrator, with the password where authentication is on.
    """

    def __init__(self, folder: Path, port: int, password: str | None, guard: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.port = port
        self._password = password
        self._guard = guard

    @classmethod
    def start(
        cls,
        folder: Path,
        *,
        authentication: bool = True,
        cache_gigabytes: float | None = None,
        oplog_megabytes: int = 990,
        transaction_seconds: int = 60,
        port: int | None = None,
        parameters: Mapping[str, str] = MappingProxyType({}),
    ) -> Self:
        """Start the mongod of `folder`, creating it on the first call, and wait until it is writable.

        Args:
            folder: created if missing; existing data are kept.
            authentication: whether clients must log in. Must be the same each time for one folder.
            cache_gigabytes: WiredTiger's cache; None for mongod's default.
            oplog_megabytes: size of the oplog; 990 is the minimum of mongod's default.
            transaction_seconds: `transactionLifetimeLimitSeconds`; mongod's default is 60.
            port: where to listen; None for any free one.
            parameters: further server parameters by name.

        Raises:
            MongodNotFound, MongodFailedToStart, FolderInUse.
        """
        mongod = find_mongod()
        data = folder / "data"
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        _wait_until_free(data)
        key_file = folder / "key" if authentication else None
        if key_file and not key_file.exists():
            write_whole(key_file, secrets.token_hex(256), private=True)
        port = port or _free_port()
        command = [
            str(mongod),
            *("--dbpath", str(data), "--logpath", str(folder / "mongod.log"), "--logappend"),
            *("--bind_ip", "127.0.0.1", "--port", str(port), "--nounixsocket"),
            *("--replSet", REPLICA_SET, "--oplogSize", str(oplog_megabytes)),
            f"--setParameter=transactionLifetimeLimitSeconds={transaction_seconds}",
            "--setParameter=diagnosticDataCollectionEnabled=false",
            *(f"--setParameter={name}={value}" for name, value in parameters.items()),
            *(("--keyFile", str(key_file)) if key_file else ()),
            *(("--wiredTigerCacheSizeGB", str(cache_gigabytes)) if cache_gigabytes is not None else ()),
        ]
        server = cls(folder, port, None, _start_with_guard(command, folder / "mongod.out"))
        try:
            server._become_writable(key_file)
        except BaseException:
            server.stop()
            raise
        return server

    @property
    def uri(self) -> str:
        login = f"{ADMINISTRATOR}:{quote(self._password)}@" if self._password else ""
        return f"mongodb://{login}127.0.0.1:{self.port}/?directConnection=true"

    @property
    def pid(self) -> int:
        """Process id of the mongod itself."""
        return int((self.folder / "data" / "mongod.lock").read_text())

    def uri_for(self, user: str, password: str, database: str = "") -> str:
        """The connection string of another user, who logs in at `admin`."""
        login = f"{quote(user, safe='')}:{quote(password, safe='')}@"
        return f"mongodb://{login}127.0.0.1:{self.port}/{database}?directConnection=true&authSource=admin"

    @property
    def is_running(self) -> bool:
        """Whether its guard runs, which ends a tenth of a second after mongod at the latest."""
        return self._guard.poll() is None

    def stop(self) -> None:
        """Shut mongod down cleanly and wait for its end. Safe to call twice."""
        if self._guard.stdin and not self._guard.stdin.closed:
            self._guard.stdin.close()
        try:
            self._guard.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()

    def _become_writable(self, key_file: Path | None) -> None:
        deadline = time.monotonic() + START_SECONDS
        self._wait_for_answer(deadline)
        # The key file authenticates as `__system`, which may do anything: set up a server that has no users yet, and
        # reconfigure one for another port.
        login: dict[str, Any] = {}
        if key_file:
            login = {"username": "__system", "password": key_file.read_text(), "authSource": "local"}
        with MongoClient[dict[str, Any]](self.uri, **login) as client:
            while True:
                try:
                    self._set_up(client, deadline, has_users=key_file is not None)
                    return
                except PyMongoError as error:
                    self._fail_unless_alive(deadline)
                    if not _is_just_starting(error):
                        raise self._failure(f"mongod could not be made writable: {error}") from error
                    time.sleep(0.1)

    def _set_up(self, client: MongoClient[dict[str, Any]], deadline: float, *, has_users: bool) -> None:
        """May be done again after it was interrupted."""
        self._configure_replica_set(client)
        while not client.admin.command("hello").get("isWritablePrimary"):
            self._fail_unless_alive(deadline)
            time.sleep(0.02)
        if has_users:
            self._password = self._administrator_password(client)

    def _wait_for_answer(self, deadline: float) -> None:
        # The driver tries again only after half a second; mongod listens sooner.
        while not _is_listening(self.port):
            self._fail_unless_alive(deadline)
            time.sleep(0.02)
        with MongoClient[dict[str, Any]](self.uri, serverSelectionTimeoutMS=200) as client:
            while True:
                try:
                    client.admin.command("ping")
                    return
                except PyMongoError:
                    self._fail_unless_alive(deadline)

    def _configure_replica_set(self, client: MongoClient[dict[str, Any]]) -> None:
        address = f"127.0.0.1:{self.port}"
        config = client.local["system.replset"].find_one()
        if config is None:
            client.admin.command(
                "replSetInitiate",
                {
                    "_id": REPLICA_SET,
                    "members": [{"_id": 0, "host": address}],
                    "settings": {"electionTimeoutMillis": 1000},
                },
            )
        elif config["members"][0]["host"] != address:
            config["members"][0]["host"] = address
            config["version"] += 1
            client.admin.command("replSetReconfig", config, force=True)

    def _administrator_password(self, client: MongoClient[dict[str, Any]]) -> str:
        """The password of the administrator, who is created if missing."""
        stored = self.folder / "administrator.json"
        if stored.exists():
            return str(json.loads(stored.read_text())["password"])
        password = secrets.token_urlsafe(32)
        try:
            client.admin.command("createUser", ADMINISTRATOR, pwd=password, roles=["root"])
        except OperationFailure as error:
            if error.code != _USER_EXISTS:
                raise
            # An earlier start was interrupted after it created the user and before it wrote the file.
            client.admin.command("updateUser", ADMINISTRATOR, pwd=password)
        write_whole(stored, json.dumps({"user": ADMINISTRATOR, "password": password}), private=True)
        return password

    def _fail_unless_alive(self, deadline: float) -> None:
        code = self._guard.poll()
        if code is not None:
            raise self._failure(f"mongod ended with exit code {code} while starting.")
        if time.monotonic() > deadline:
            raise self._failure(f"mongod did not become writable within {START_SECONDS} seconds.")

    def _failure(self, what: str) -> MongodFailedToStart:
        lines = []
        for name in ("mongod.out", "mongod.log"):
            path = self.folder / name
            if path.exists():
                lines += path.read_text(errors="replace").splitlines()[-LOG_LINES_IN_ERRORS:]
        end = "\n".join(line[:500] for line in lines)
        return MongodFailedToStart(
            f"{what} Its folder is {self.folder}. Correct the cause and run the step again. The end of its log:\n{end}"
        )


def _is_just_starting(error: PyMongoError) -> bool:
    """A busy machine drops a connection of a server that has just begun to listen, and such a server may not have read the
    configuration of its replica set."""
    return isinstance(error, AutoReconnect) or (
        isinstance(error, OperationFailure) and error.code == _NOT_YET_INITIALIZED
    )


@contextmanager
def private_mongod(
    folder: Path,
    *,
    authentication: bool = True,
    cache_gigabytes: float | None = None,
    transaction_seconds: int = 60,
    parameters: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[PrivateMongod]:
    """The mongod of `folder`, started for as long as the block lasts. Arguments and errors as `start`."""
    server = PrivateMongod.start(
        folder,
        authentication=authentication,
        cache_gigabytes=cache_gigabytes,
        transaction_seconds=transaction_seconds,
        parameters=parameters,
    )
    try:
        yield server
    finally:
        server.stop()


def _start_with_guard(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a program that the guard ends when this process is gone; return the guard."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "nmdc_release_ops.mongo.programs.guard", *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C in the terminal interrupts only us; we stop mongod after cleaning up.
            start_new_session=True,
            env=environment_without_secrets(),
        )


def _wait_until_free(data: Path) -> None:
    """Wait while a mongod whose owner has just ended shuts down.

    Raises:
        FolderInUse: it still runs after `LOCK_SECONDS`: another process uses it.
    """
    deadline = time.monotonic() + LOCK_SECONDS
    lock = data / "mongod.lock"
    while (pid := _pid_in(lock)) and _runs_mongod(pid):
        if time.monotonic() > deadline:
            raise FolderInUse(
                f"A mongod (process {pid}) already runs on {data}. Wait until the release or demo that uses it has ended, or "
                "stop it, and try again."
            )
        time.sleep(0.1)


def _pid_in(lock: Path) -> int | None:
    try:
        return int(lock.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _runs_mongod(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    # After a reboot the number may belong to any other program.
    try:
        return b"mongod" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
