"""A server that has just started does not tell its cluster time yet; a release waits for it instead of failing."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from nmdc_release_ops.mongo.difference.changes import ChangeSet
from nmdc_release_ops.mongo.freezing.freeze import freeze
from nmdc_release_ops.mongo.freezing.thaw import thaw
from nmdc_release_ops.mongo.programs.mongod import find_mongod
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server import clock
from nmdc_release_ops.mongo.server.clock import ClusterTimeUnavailable, cluster_time
from nmdc_release_ops.mongo.state.database import STATE_DATABASE
from nmdc_release_ops.mongo.state.lease import Strategy, take_lease
from nmdc_release_ops.mongo.swapping.swap import SwappedRelease, perform_swap, prepare_swap

RESTARTS = 10
NOTHING = ChangeSet(changed=[], created=[], renamed=[], deleted=[], untouched=[])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a server that is stopped and has data."""
    folder = tmp_path_factory.mktemp("clock") / "mongod"
    PrivateMongod.start(folder).stop()
    return folder


@contextmanager
def just_started(folder: Path) -> Iterator[MongoClient[Any]]:
    """A client of a server that was started a moment ago: a reply of its without a cluster time has been seen."""
    for _ in range(RESTARTS):
        server = PrivateMongod.start(folder)
        try:
            with MongoClient[Any](server.uri) as client:
                if "operationTime" in client.admin.command("ping"):
                    continue
                yield client
                client.drop_database(STATE_DATABASE)
                return
        finally:
            server.stop()
    pytest.fail(f"{RESTARTS} times the server told its cluster time at once")


@pytest.mark.parametrize("strategy", list(Strategy))
def test_a_server_that_has_just_started_can_be_frozen(folder: Path, strategy: Strategy) -> None:
    with just_started(folder) as client:
        lease = freeze(client, "a-release", "a-run", strategy, database="clock_test")
        assert lease.cluster_time is not None
        thaw(client, "a-release", "a-run")


def test_a_swap_ends_on_a_server_that_has_just_started(folder: Path) -> None:
    with just_started(folder) as client:
        take_lease(client, "a-release", "a-run", Strategy.NONE)
        versions = {"from_version": "1.0.0", "to_version": "2.0.0", "migrator_module": ""}
        journal = prepare_swap(client.clock_test, NOTHING, SwappedRelease("a-release", **versions), "a-run", staged=[])
        assert perform_swap(client.clock_test, journal, "a-run").swapped_cluster_time is not None


def test_a_server_that_never_tells_its_cluster_time_is_given_up_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is no member of a replica set has none."""
    monkeypatch.setattr(clock, "CLUSTER_TIME_SECONDS", 0.2)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [find_mongod(), "--dbpath", tmp_path, "--port", port, "--bind_ip", "127.0.0.1", "--nounixsocket"]
    server = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
    try:
        with (
            MongoClient[Any](f"mongodb://127.0.0.1:{port}/?directConnection=true") as client,
            pytest.raises(ClusterTimeUnavailable, match=r"reported no cluster time for 0\.2 seconds"),
        ):
            cluster_time(client)
    finally:
        server.terminate()
        server.wait()
