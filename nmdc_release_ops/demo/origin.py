"""A private origin for the demo and the tests: a mongod with authentication that holds a synthetic NMDC database.

Its users and roles are NMDC's own, as the migration CLI of the nmdc-runtime repository describes them, and an operator
whose roles hold only what a release needs (docs/operator-role.md).
"""

import json
import secrets
import shutil
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from pymongo import MongoClient
from pymongo.database import Database

from nmdc_release_ops.demo.database import INDEXES, SCHEMA_VERSION, VIEWS, collections, other_collections
from nmdc_release_ops.files import write_whole
from nmdc_release_ops.mongo.operator_role import (
    OPERATOR_ROLE,
    PROMOTER_ROLE,
    VIEWER_ROLE,
    operator_role,
    promoter_role,
    viewer_role,
)
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.state import ledger, ledger_view

DATABASE = "nmdc"
OPERATOR = "release_operator"
CACHE_GIGABYTES = 1.0
_BATCH = 5_000
_USERS_FILE = "users.json"
_NMDC_DATABASES = ("nmdc", "nmdc_updated", "nmdc_deleted", "nmdc_changesheet_submission_results")
_EVERYTHING = {"db": "", "collection": ""}
_DOCUMENT_ACTIONS = ["find", "insert", "update", "remove"]

Content = Callable[[Database[dict[str, Any]]], None]
"""Fills a database with something other than the usual demo."""
NMDC_ROLES: dict[str, dict[str, list[dict[str, Any]]]] = {
    "nmdc_runtime": {
        "privileges": [],
        "roles": [{"db": "admin", "role": "readWriteAnyDatabase"}, {"db": "admin", "role": "dbAdminAnyDatabase"}],
    },
    "nmdc_scheduler": {
        "privileges": [{"resource": {"db": "nmdc", "collection": "jobs"}, "actions": _DOCUMENT_ACTIONS}],
        "roles": [{"db": "nmdc", "role": "read"}],
    },
    "nmdc_aggregator": {
        "privileges": [
            {"resource": {"db": "nmdc", "collection": "functional_annotation_agg"}, "actions": _DOCUMENT_ACTIONS}
        ],
        "roles": [{"db": "nmdc", "role": "read"}],
    },
    "nmdc_reader": {
        "privileges": [{"resource": _EVERYTHING, "actions": ["changeOwnPassword"]}],
        "roles": [{"db": name, "role": "read"} for name in _NMDC_DATABASES],
    },
    "nmdc_editor": {
        "privileges": [{"resource": _EVERYTHING, "actions": ["changeOwnPassword"]}],
        "roles": [{"db": name, "role": "readWrite"} for name in _NMDC_DATABASES],
    },
    "all_dumper": {
        "privileges": [{"resource": {"db": "config", "collection": "system.preimages"}, "actions": ["find"]}],
        "roles": [{"db": "admin", "role": "backup"}],
    },
}
"""By name, in the form of `createRole`. The demo has one user for each role, of the same name."""


class Server(Protocol):
    """A running server that can become an origin: a private mongod, or a replica set of several.

    Attributes:
        folder: for the file with the passwords of the origin's users.
        uri: the connection string of its administrator.
    """

    folder: Path

    @property
    def uri(self) -> str: ...

    def uri_for(self, user: str, password: str) -> str: ...

    def stop(self) -> None: ...


class DemoOrigin:
    """A running demo origin. Its data and passwords stay in its folder, so that it can be restarted."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._passwords: dict[str, str] = json.loads((server.folder / _USERS_FILE).read_text())

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        scale: int,
        seed: int = 0,
        log: Callable[[str], None] = print,
        content: Content | None = None,
    ) -> "DemoOrigin":
        """Create a new origin in `folder`, with about `scale` documents, or with what `content` puts into it.

        Raises:
            FolderInUse: a demo origin is running there.
        """
        # Starting the old one proves that nobody is using it; then it can be removed.
        if folder.exists():
            PrivateMongod.start(folder).stop()
            shutil.rmtree(folder)
        server = PrivateMongod.start(folder, cache_gigabytes=CACHE_GIGABYTES)
        return cls.fill(server, scale=scale, seed=seed, log=log, content=content)

    @classmethod
    def fill(
        cls,
        server: Server,
        *,
        scale: int,
        seed: int = 0,
        log: Callable[[str], None] = print,
        content: Content | None = None,
    ) -> "DemoOrigin":
        """Turn an empty server into an origin; stop it if that fails."""
        try:
            with MongoClient[dict[str, Any]](server.uri) as client:
                if content is None:
                    _fill(client[DATABASE], scale, seed, log)
                else:
                    content(client[DATABASE])
                _create_users(client, server.folder)
        except BaseException:
            server.stop()
            raise
        return cls(server)

    @classmethod
    def open(cls, folder: Path, port: int | None = None) -> "DemoOrigin":
        """Start the origin in `folder`, on `port` if that is given.

        Raises:
            FileNotFoundError: there is none.
        """
        if not exists(folder):
            raise FileNotFoundError(f"there is no demo origin in {folder}")
        return cls(PrivateMongod.start(folder, cache_gigabytes=CACHE_GIGABYTES, port=port))

    def uri(self, user: str = OPERATOR) -> str:
        """The connection string of a user: the operator, or one named as an NMDC role."""
        return self.server.uri_for(user, self._passwords[user])

    def stop(self) -> None:
        self.server.stop()


def exists(folder: Path) -> bool:
    """Whether a folder contains a complete demo origin."""
    return (folder / _USERS_FILE).is_file()


def _fill(database: Database[dict[str, Any]], scale: int, seed: int, log: Callable[[str], None]) -> None:
    for name, documents in (*collections(scale, seed), *other_collections(seed)):
        database.create_collection(name)
        if name in INDEXES:
            database[name].create_indexes(INDEXES[name])
        count = 0
        for batch in _batches(documents):
            database[name].insert_many(batch, ordered=False)
            count += len(batch)
            if count % 100_000 == 0:
                log(f"  {name}: {count:,} documents")
    for name, (view_on, pipeline) in VIEWS.items():
        database.create_collection(name, viewOn=view_on, pipeline=pipeline)
    ledger.record(
        database,
        ledger.Event.COMPLETED,
        from_version="11.22.0",
        to_version=SCHEMA_VERSION,
        migrator_module="nmdc_schema.migrators.migrator_from_11_22_0_to_11_23_0",
        release_id="demo",
    )
    ledger_view.ensure_view(database)


def _batches(documents: Iterable[dict[str, Any]]) -> Iterable[list[dict[str, Any]]]:
    stream = iter(documents)
    while batch := list(islice(stream, _BATCH)):
        yield batch


def _create_users(client: MongoClient[dict[str, Any]], folder: Path) -> None:
    admin = client.admin
    ours = {
        OPERATOR_ROLE: operator_role(DATABASE),
        PROMOTER_ROLE: promoter_role(DATABASE),
        VIEWER_ROLE: viewer_role(),
    }
    for name, role in {**NMDC_ROLES, **ours}.items():
        admin.command("createRole", name, **role)
    passwords = {user: secrets.token_urlsafe(24) for user in (*NMDC_ROLES, OPERATOR)}
    for user, password in passwords.items():
        admin.command("createUser", user, pwd=password, roles=list(ours) if user == OPERATOR else [user])
    write_whole(folder / _USERS_FILE, json.dumps(passwords, indent=2), private=True)
