"""Which servers a connection reaches, whatever address was used.

An address proves little: one server has many (names, tunnels, options of a connection string). A replica set keeps its id for
life, and each mongod generates an id when it starts and reports it to every client (`hello`).
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import BaseModel, ConfigDict
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.uri_parser import parse_uri

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.connection import Document, nodes_of

MEMBER_SECONDS = 3
"""How long to wait for a member of a set."""
_MEMBERS_AT_ONCE = 16


class TransformerIsOrigin(MongoError):
    """The transformer is a server of the origin: migrators would work on the production data."""


class TransformerUnidentified(MongoError):
    """It cannot be determined whether the transformer is a server of the origin."""


class ServerIdentity(BaseModel):
    """The server that a connection reaches.

    Attributes:
        set_name: of the replica set, empty where there is none.
        set_id: of the replica set, as hexadecimal digits; None where there is none or the server does not report it.
        members: HOST:PORT of the set's members, as they call each other.
        processes: ids of the running processes that were reached; a restart makes new ones.
        unreached: members that did not answer from here.
        is_sharded: whether it is a `mongos`, which does not report the servers behind it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    set_name: str
    set_id: str | None
    members: tuple[str, ...] = ()
    processes: tuple[str, ...] = ()
    unreached: tuple[str, ...] = ()
    is_sharded: bool = False

    def to_keep(self) -> "ServerIdentity":
        """The part that stays true after a restart."""
        return self.model_copy(update={"processes": (), "unreached": ()})


def identify_set(client: MongoClient[Document]) -> ServerIdentity:
    """What the connected server reports about itself and its replica set; no other member is asked."""
    return _identity_in(client, _hello(client))


def identify_server(client: MongoClient[Document], uri: str) -> ServerIdentity:
    """Ask the server, and every other member of its replica set, for its identity. This needs no privilege.

    Args:
        uri: the client's connection string, for its TLS settings; members are asked without logging in.
    """
    hello = _hello(client)
    own = _identity_in(client, hello)
    if own.is_sharded:
        return own
    others = [member for member in own.members if member != hello.get("me")]
    seeds = nodes_of(uri)
    replies = _ask_each(sorted({*others, *seeds}), uri)
    members = {member: replies[member] for member in others if member in replies and _is_of(own, replies[member])}
    # Also the servers that the connection string names besides this one: the next client may choose one of them.
    reached = [hello, *members.values(), *(replies[seed] for seed in seeds if seed in replies)]
    unreached = tuple(member for member in others if member not in members)
    return own.model_copy(update={"processes": _processes(reached), "unreached": unreached})


def _identity_in(client: MongoClient[Document], hello: Document) -> ServerIdentity:
    """What a server's reply says about it and its replica set, and the set's id, for which it may have to be asked."""
    if hello.get("msg") == "isdbgrid":
        return ServerIdentity(set_name="", set_id=None, processes=_processes([hello]), is_sharded=True)
    return ServerIdentity(
        set_name=str(hello.get("setName", "")),
        set_id=_set_id(client, hello),
        members=_members(hello),
        processes=_processes([hello]),
    )


def is_same_server(origin: ServerIdentity, other: ServerIdentity) -> bool | None:
    """Whether two connections reach the same server or replica set; None where that cannot be determined."""
    if set(origin.processes) & set(other.processes):
        return True
    if origin.set_id and other.set_id:
        return origin.set_id == other.set_id
    if origin.is_sharded or other.is_sharded:
        return None
    # All members of a set share its name.
    if origin.set_name != other.set_name:
        return False
    is_complete = origin.processes and other.processes and not origin.unreached and not other.unreached
    return False if is_complete else None


def require_other_server(origin: ServerIdentity, transformer: ServerIdentity) -> None:
    """Check that the transformer, as `NMDC_TRANSFORMER_URI` gives it, is not a server of the origin.

    Raises:
        TransformerIsOrigin, TransformerUnidentified.
    """
    same = is_same_server(origin, transformer)
    if same:
        where = f"replica set {transformer.set_name}, " if transformer.set_name else ""
        raise TransformerIsOrigin(
            f"NMDC_TRANSFORMER_URI points to the origin's own server ({where}{', '.join(transformer.members) or 'standalone'}). "
            "Migrators would work on the production server. Nothing was written to it. Point NMDC_TRANSFORMER_URI at "
            "another MongoDB, or unset it to use a private mongod, and restart the process that runs releases. If that "
            "server was made from a copy of the origin's files, give it a replica set of its own first."
        )
    if same is None:
        raise TransformerUnidentified(
            "It cannot be determined whether NMDC_TRANSFORMER_URI points to the origin's own server: "
            f"{_why(origin, transformer)}, or unset NMDC_TRANSFORMER_URI to use a private mongod. Nothing was written to the "
            "transformer."
        )


def _why(origin: ServerIdentity, transformer: ServerIdentity) -> str:
    """What is unknown, and what to do about it."""
    if origin.is_sharded or transformer.is_sharded:
        which = "transformer" if transformer.is_sharded else "origin"
        return (
            f"the {which} is a sharded cluster, whose mongos does not report the servers behind it. Name a replica set"
        )
    needed = (
        "Grant its user the action replSetGetConfig on the cluster (the role clusterMonitor has it), or give the "
        "transformer's replica set another name"
    )
    which = " and ".join(name for name, one in (("origin", origin), ("transformer", transformer)) if one.set_id is None)
    unreached = sorted({*origin.unreached, *transformer.unreached})
    silent = f", and {', '.join(unreached)} did not answer from this machine" if unreached else ""
    return f"both call their replica set {transformer.set_name!r}, the {which} does not report its id{silent}. {needed}"


def _hello(client: MongoClient[Any]) -> Document:
    """What the server reports about itself; with `$replData` also about its set, as members ask each other."""
    try:
        return dict(client.admin.command({"hello": 1, "$replData": 1}))
    except OperationFailure:
        return dict(client.admin.command("hello"))


def _set_id(client: MongoClient[Document], hello: Document) -> str | None:
    set_id = hello.get("$replData", {}).get("replicaSetId")
    if set_id is None and hello.get("setName"):
        try:
            config = client.admin.command("replSetGetConfig")["config"]
        except OperationFailure:
            return None
        set_id = config.get("settings", {}).get("replicaSetId")
    return None if set_id is None else str(set_id)


def _ask_each(members: Sequence[str], uri: str) -> dict[str, Document]:
    """The reply of each member that gave one."""
    if not members:
        return {}
    options = parse_uri(uri, validate=False)["options"]
    tls = {name: value for name, value in options.items() if name.lower().startswith(("tls", "ssl"))}

    def ask(member: str) -> Document | None:
        milliseconds = MEMBER_SECONDS * 1000
        try:
            with MongoClient[Document](
                f"mongodb://{member}/",
                directConnection=True,
                serverSelectionTimeoutMS=milliseconds,
                connectTimeoutMS=milliseconds,
                socketTimeoutMS=milliseconds,
                **tls,
            ) as stranger:
                return _hello(stranger)
        except PyMongoError:
            return None

    with ThreadPoolExecutor(_MEMBERS_AT_ONCE) as pool:
        replies = dict(zip(members, pool.map(ask, members), strict=True))
    return {member: reply for member, reply in replies.items() if reply is not None}


def _members(hello: Document) -> tuple[str, ...]:
    return tuple(sorted({*hello.get("hosts", ()), *hello.get("passives", ()), *hello.get("arbiters", ())}))


def _is_of(identity: ServerIdentity, reply: Document) -> bool:
    """Whether a reply came from a member of this set: from this machine its name may resolve to another server."""
    set_id = reply.get("$replData", {}).get("replicaSetId")
    is_other = set_id is not None and identity.set_id is not None and str(set_id) != identity.set_id
    return reply.get("setName") == identity.set_name and not is_other


def _processes(replies: Iterable[Document]) -> tuple[str, ...]:
    return tuple(sorted({str(one["topologyVersion"]["processId"]) for one in replies if "topologyVersion" in one}))
