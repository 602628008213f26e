"""What kind of server it is, and which features it has enabled."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from nmdc_release_ops.mongo.server.connection import Document


class Kind(StrEnum):
    """How the servers behind a connection string are arranged."""

    STANDALONE = "standalone"
    REPLICA_SET = "replica set"
    SHARDED = "sharded cluster"


@dataclass(frozen=True)
class Server:
    """What a server reports about itself.

    Attributes:
        version: as the server spells it, "8.0.4".
        kind: how it is arranged.
        name: of the replica set, else empty.
        guarded: whether it requires authentication: see `requires_authorization`.
        free_bytes: free space on the disk that holds the data; None if the server does not report it.
    """

    version: str
    kind: Kind
    name: str
    guarded: bool
    free_bytes: int | None

    @property
    def release(self) -> tuple[int, int]:
        """Major and minor version."""
        major, minor, *_ = self.version.split(".")
        return int(major), int(minor)

    def __str__(self) -> str:
        return f"MongoDB {self.version}, {self.kind}{f' {self.name}' if self.name else ''}"


def describe_server(client: MongoClient[Document], database: str) -> Server:
    """Ask a server what it is, and for the free space on the disk of `database`."""
    kind, name = find_kind(client)
    return Server(
        version=client.server_info()["version"],
        kind=kind,
        name=name,
        guarded=requires_authorization(client, database),
        free_bytes=_free_bytes(client, database),
    )


def find_kind(client: MongoClient[Document]) -> tuple[Kind, str]:
    """How the servers are arranged, and the name of the replica set, else empty."""
    hello = client.admin.command("hello")
    if hello.get("msg") == "isdbgrid":
        return Kind.SHARDED, ""
    name = hello.get("setName", "")
    return (Kind.REPLICA_SET if name else Kind.STANDALONE), name


def is_write_blocked(client: MongoClient[Document]) -> bool | None:
    """Whether user writes are blocked now; None where the server does not report it (before 6.0, or `mongos`)."""
    try:
        status = client.admin.command("serverStatus", repl=1, metrics=0, wiredTiger=0, tcmalloc=0)
    except OperationFailure:
        return None
    mode = status.get("repl", {}).get("userWriteBlockMode")
    # 1 is off and 2 is on: UserWriteBlockModeEnum of the server.
    return None if mode is None else mode == 2


def feature_compatibility(client: MongoClient[Document]) -> tuple[int, int] | None:
    """The version whose features the server's data may use, which can be one less than the server's; None where the user
    may not ask (`getParameter`)."""
    try:
        answer = client.admin.command({"getParameter": 1, "featureCompatibilityVersion": 1})
    except OperationFailure:
        return None
    major, minor = answer["featureCompatibilityVersion"]["version"].split(".")
    return int(major), int(minor)


def requires_authorization(client: MongoClient[Document], database: str) -> bool:
    """Whether the server refuses clients that have not logged in.

    On a server without authorization every client bypasses a write block, so it protects nothing.
    """
    host, port = client.address or ("127.0.0.1", 27017)
    options: dict[str, Any] = {"directConnection": True, "serverSelectionTimeoutMS": 5000}
    if client.options.pool_options._ssl_context:
        options |= {"tls": True, "tlsAllowInvalidCertificates": True}
    with MongoClient[Document](host, port, **options) as stranger:
        try:
            stranger[database].list_collection_names()
        except PyMongoError:
            return True
    return False


def _free_bytes(client: MongoClient[Document], database: str) -> int | None:
    try:
        statistics = client[database].command("dbStats")
    except OperationFailure:
        return None
    if "fsTotalSize" not in statistics:
        return None
    return int(statistics["fsTotalSize"] - statistics["fsUsedSize"])
