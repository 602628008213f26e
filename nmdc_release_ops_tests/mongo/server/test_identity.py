"""Two connections are told to lead to one server or to two, and otherwise it is said that nobody can tell."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from nmdc_release_ops.mongo.operator_role import operator_role
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.connection import nodes_of
from nmdc_release_ops.mongo.server.identity import (
    ServerIdentity,
    TransformerIsOrigin,
    TransformerUnidentified,
    identify_server,
    is_same_server,
    require_other_server,
)
from nmdc_release_ops_tests.relay import relay_to
from nmdc_release_ops_tests.replica_set import ReplicaSet, replica_set


def identity_of(uri: str) -> ServerIdentity:
    with MongoClient[Any](uri) as client:
        return identify_server(client, uri)


def test_two_private_servers_are_two_although_their_sets_have_one_name(
    scratch_mongod: PrivateMongod, guarded_mongod: PrivateMongod
) -> None:
    one, two = identity_of(scratch_mongod.uri), identity_of(guarded_mongod.uri)
    assert one.set_name == two.set_name
    assert is_same_server(one, two) is False
    require_other_server(one, two)


def test_a_user_with_the_operator_role_and_one_without_any_see_the_same_identity(guarded_mongod: PrivateMongod) -> None:
    with MongoClient[Any](guarded_mongod.uri) as client:
        client.admin.command("createRole", "identity_operator", **operator_role("nmdc"))
        client.admin.command("createUser", "identity_operator", pwd="x", roles=["identity_operator"])
        client.admin.command("createUser", "identity_nobody", pwd="x", roles=[])
        set_id = client.admin.command("replSetGetConfig")["config"]["settings"]["replicaSetId"]
    try:
        seen = [identity_of(guarded_mongod.uri_for(f"identity_{name}", "x")) for name in ("operator", "nobody")]
    finally:
        with MongoClient[Any](guarded_mongod.uri) as client:
            for name in ("operator", "nobody"):
                client.admin.command("dropUser", f"identity_{name}")
            client.admin.command("dropRole", "identity_operator")
    assert seen[0] == seen[1] == identity_of(guarded_mongod.uri)
    assert seen[0].set_id == str(set_id)


def test_a_restart_changes_the_process_and_not_what_is_kept(tmp_path: Path) -> None:
    found = []
    for _ in range(2):
        server = PrivateMongod.start(tmp_path / "server", authentication=False)
        found.append(identity_of(server.uri))
        server.stop()
    before, after = found
    assert not set(before.processes) & set(after.processes)
    assert is_same_server(before.to_keep(), after) is True


def test_a_server_behind_a_tunnel_is_known_by_its_process_where_no_set_id_is_told(
    scratch_mongod: PrivateMongod,
) -> None:
    with relay_to(scratch_mongod.port) as port:
        near, far = identity_of(scratch_mongod.uri), identity_of(f"mongodb://127.0.0.1:{port}/?directConnection=true")
    assert is_same_server(without_id(near), without_id(far)) is True


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    with replica_set(tmp_path_factory.mktemp("identity") / "three") as members:
        yield members


@pytest.mark.faults
def test_every_member_of_a_set_is_the_set(three: ReplicaSet, scratch_mongod: PrivateMongod) -> None:
    origin = identity_of(three.uri)
    assert len(origin.processes) == len(origin.members) == 3 and not origin.unreached
    for port in three.ports:
        member = identity_of(f"mongodb://127.0.0.1:{port}/?directConnection=true")
        assert is_same_server(origin, member) is True
        assert is_same_server(without_id(origin), without_id(member)) is True
        with relay_to(port) as tunnel, pytest.raises(TransformerIsOrigin):
            require_other_server(origin, identity_of(f"mongodb://127.0.0.1:{tunnel}/?directConnection=true"))
    assert is_same_server(origin, identity_of(scratch_mongod.uri)) is False


def without_id(identity: ServerIdentity) -> ServerIdentity:
    """As a server is seen that does not tell the id of its set."""
    return identity.model_copy(update={"set_id": None})


ORIGIN = ServerIdentity(set_name="rs0", set_id="aa", members=("a:1", "b:1"), processes=("1", "2"))
TRANSFORMER = ServerIdentity(set_name="rs0", set_id="bb", members=("c:1",), processes=("3",))


@pytest.mark.parametrize(
    ("origin", "transformer", "same"),
    [
        (ORIGIN, TRANSFORMER, False),
        # A copy of the origin's files, or a member whose process is not the one that was reached.
        (ORIGIN, TRANSFORMER.model_copy(update={"set_id": "aa"}), True),
        (without_id(ORIGIN), TRANSFORMER, False),
        (without_id(ORIGIN), TRANSFORMER.model_copy(update={"processes": ("2",)}), True),
        (without_id(ORIGIN), TRANSFORMER.model_copy(update={"set_name": "rs1"}), False),
        (without_id(ORIGIN), TRANSFORMER.model_copy(update={"unreached": ("d:1",)}), None),
        (without_id(ORIGIN).model_copy(update={"unreached": ("b:1",)}), TRANSFORMER, None),
        (without_id(ORIGIN), TRANSFORMER.model_copy(update={"processes": ()}), None),
        (without_id(ORIGIN).to_keep(), TRANSFORMER, None),
        (ORIGIN, ServerIdentity(set_name="", set_id=None, processes=("3",)), False),
        (ORIGIN, ServerIdentity(set_name="", set_id=None, processes=("3",), is_sharded=True), None),
    ],
)
def test_servers_are_the_same_or_not_or_nobody_can_tell(
    origin: ServerIdentity, transformer: ServerIdentity, same: bool | None
) -> None:
    assert is_same_server(origin, transformer) is same
    if same is None:
        with pytest.raises(TransformerUnidentified, match="cannot be determined"):
            require_other_server(origin, transformer)


def test_what_cannot_be_told_is_said_with_what_would_tell_it() -> None:
    origin = without_id(ORIGIN).model_copy(update={"unreached": ("b:1",)})
    with pytest.raises(TransformerUnidentified) as refusal:
        require_other_server(origin, TRANSFORMER)
    message = str(refusal.value)
    assert "the origin does not report its id, and b:1 did not answer from this machine" in message
    assert "Grant its user the action replSetGetConfig" in message and "unset NMDC_TRANSFORMER_URI" in message


def test_an_address_that_also_names_the_origin_is_the_origin(
    scratch_mongod: PrivateMongod, guarded_mongod: PrivateMongod
) -> None:
    (origin,), (other,) = nodes_of(guarded_mongod.uri), nodes_of(scratch_mongod.uri)
    with MongoClient[Any](scratch_mongod.uri) as client:
        both = identify_server(client, f"mongodb://{other},{origin}/")
    assert is_same_server(identity_of(guarded_mongod.uri), both) is True
