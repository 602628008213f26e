"""A private mongod starts, is found again, and never outlives who asked for it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from nmdc_release_ops.mongo.programs.mongod import MongodNotFound, find_mongod
from nmdc_release_ops.mongo.programs.private_mongod import (
    FolderInUse,
    MongodFailedToStart,
    PrivateMongod,
    private_mongod,
)


def test_it_accepts_transactions_and_keeps_its_data_over_a_restart_on_another_port(tmp_path: Path) -> None:
    with private_mongod(tmp_path) as server, MongoClient(server.uri) as client:
        first_port = server.port
        with client.start_session() as session, session.start_transaction():
            client.kept.things.insert_one({"_id": 1}, session=session)
    with private_mongod(tmp_path) as server, MongoClient(server.uri) as client:
        assert client.kept.things.count_documents({}) == 1
        client.kept.things.insert_one({"_id": 2})
        assert client.admin.command("hello")["me"] == f"127.0.0.1:{server.port}"
    assert first_port != server.port


def test_strangers_may_not_read_when_authentication_is_on(tmp_path: Path) -> None:
    with private_mongod(tmp_path) as server:
        with (
            MongoClient(f"mongodb://127.0.0.1:{server.port}/?directConnection=true") as stranger,
            pytest.raises(OperationFailure, match="requires authentication"),
        ):
            stranger.admin.command("listDatabases")
        for name in ("key", "administrator.json"):
            assert (tmp_path / name).stat().st_mode & 0o077 == 0
        assert tmp_path.stat().st_mode & 0o077 == 0


def test_long_transactions_are_allowed_where_they_are_asked_for(tmp_path: Path) -> None:
    with private_mongod(tmp_path, authentication=False, transaction_seconds=86_400) as server:
        parameter = MongoClient(server.uri).admin.command({"getParameter": 1, "transactionLifetimeLimitSeconds": 1})
        assert parameter["transactionLifetimeLimitSeconds"] == 86_400


_OWNER = """
import sys, time
from pathlib import Path
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
server = PrivateMongod.start(Path(sys.argv[1]), authentication=False)
print(server.pid, server._guard.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("killed", ["owner", "guard"])
def test_it_is_not_left_behind_when_the_process_that_started_it_is_killed(tmp_path: Path, killed: str) -> None:
    owner = subprocess.Popen([sys.executable, "-c", _OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout is not None
        mongod, guard = (int(word) for word in owner.stdout.readline().split())
        assert psutil.Process(mongod).name() == "mongod"
        os.kill(owner.pid if killed == "owner" else guard, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while psutil.pid_exists(mongod) and psutil.Process(mongod).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "mongod still runs"
            time.sleep(0.1)
    finally:
        owner.kill()
        owner.wait()
    # The next process gets the folder, data and all.
    with private_mongod(tmp_path, authentication=False) as server:
        assert MongoClient(server.uri).admin.command("ping")["ok"] == 1


def test_a_folder_that_is_in_use_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmdc_release_ops.mongo.programs.private_mongod.LOCK_SECONDS", 0.5)
    with private_mongod(tmp_path, authentication=False) as server:
        with pytest.raises(FolderInUse, match=f"process {server.pid}"):
            PrivateMongod.start(tmp_path, authentication=False)
        assert MongoClient(server.uri).admin.command("ping")["ok"] == 1


def test_a_mongod_that_dies_while_starting_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with private_mongod(tmp_path, authentication=False):
        pass
    (tmp_path / "data" / "WiredTiger.turtle").write_text("nonsense")
    with pytest.raises(MongodFailedToStart, match="WiredTiger"):
        PrivateMongod.start(tmp_path, authentication=False)


def test_a_missing_mongod_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MONGOD", str(tmp_path / "absent"))
    with pytest.raises(MongodNotFound, match="MONGOD is set to"):
        find_mongod()
    monkeypatch.delenv("MONGOD")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("nmdc_release_ops.mongo.programs.mongod.find_spec", lambda name: None)
    with pytest.raises(MongodNotFound, match="embedded"):
        find_mongod()
