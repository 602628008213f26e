"""What a server does to a release is told by the server's name, and not by the driver's stack trace."""

from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import AutoReconnect, NotPrimaryError, PyMongoError

from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.connection import ServerFailed, naming_failures


def said_of(error: PyMongoError) -> str:
    with pytest.raises(ServerFailed) as raised, naming_failures("origin"):
        raise error
    return str(raised.value)


def test_a_server_that_hangs_up_is_said_to_have_stopped_answering() -> None:
    message = said_of(AutoReconnect("127.0.0.1:27017: connection closed"))
    assert message.startswith("The origin stopped answering: 127.0.0.1:27017: connection closed. ")
    assert "when the origin runs again" in message


def test_a_server_that_is_no_primary_any_more_is_said_to_have_stepped_down() -> None:
    message = said_of(NotPrimaryError("not primary", {"code": 10107, "ok": 0.0}))
    assert message.startswith("The primary of the origin stepped down: not primary. ")


def test_an_error_that_nobody_foresaw_is_told_in_the_servers_words(scratch_mongod: PrivateMongod) -> None:
    with (
        MongoClient[Any](scratch_mongod.uri) as client,
        pytest.raises(ServerFailed, match="The origin answered with an error: no such command"),
        naming_failures("origin"),
    ):
        client.admin.command("noSuchCommand")


def test_a_server_that_does_not_answer_is_not_described_with_its_whole_deployment() -> None:
    with (
        MongoClient[Any]("mongodb://127.0.0.1:9/", serverSelectionTimeoutMS=100) as client,
        pytest.raises(ServerFailed) as raised,
        naming_failures("origin"),
    ):
        client.admin.command("ping")
    assert "Topology Description" not in str(raised.value)


@pytest.mark.parametrize(("address", "meant"), [("127.0.0.1:1111", "transformer"), ("127.0.0.1:2222", "origin")])
def test_of_two_servers_the_one_whose_address_the_error_names_is_meant(address: str, meant: str) -> None:
    with (
        pytest.raises(ServerFailed, match=f"The {meant} stopped answering"),
        naming_failures("origin"),
        naming_failures("transformer", ["127.0.0.1:1111"]),
    ):
        raise AutoReconnect(f"{address}: connection closed")
