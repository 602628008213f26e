"""Demoting users and roles keeps everybody else from writing, takes no way to read, and is undone to the letter."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import DeleteOne, InsertOne, MongoClient, UpdateOne
from pymongo.database import Database
from pymongo.errors import BulkWriteError, OperationFailure

from nmdc_release_ops.demo.origin import NMDC_ROLES
from nmdc_release_ops.mongo import demotion
from nmdc_release_ops.mongo.accounts import read_accounts
from nmdc_release_ops.mongo.demotion import DemotionFailed, demote, is_in_force, put_back, read_header, still_left
from nmdc_release_ops.mongo.privileges import KEEPER_ROLE, OPERATOR_ROLE, STATE_DATABASE, keeper_role, operator_role
from nmdc_release_ops.mongo.readonly import demotions, who_could_undo_it
from nmdc_release_ops.mongo.server import PrivateMongod, private_mongod
from nmdc_release_ops_tests.conftest import PROJECT

ORIGIN = "nmdc"
OPERATOR = "release_operator"
PASSWORD = "of the test"
RELEASE = "a-release"
UNAUTHORIZED = 13
COLLECTIONS = ("biosample_set", "jobs", "functional_annotation_agg", "study_set")

ROLES: dict[str, dict[str, list[Any]]] = {
    **NMDC_ROLES,
    "may_do_anything": {"privileges": [{"resource": {"anyResource": True}, "actions": ["anyAction"]}], "roles": []},
    "writes_anywhere": {
        "privileges": [{"resource": {"anyResource": True}, "actions": ["find", "insert", "serverStatus", "update"]}],
        "roles": [],
    },
    "applies_the_oplog": {
        "privileges": [{"resource": {"cluster": True}, "actions": ["applyOps", "serverStatus"]}],
        "roles": [{"db": "nmdc", "role": "read"}],
    },
    "owns_nmdc": {"privileges": [], "roles": [{"db": "nmdc", "role": "dbOwner"}]},
    "shares_ours": {"privileges": [], "roles": [{"db": "admin", "role": OPERATOR_ROLE}]},
    "writes_elsewhere": {"privileges": [], "roles": [{"db": "elsewhere", "role": "readWrite"}]},
}
# A chain of roles in the database itself, where roles may only be granted from.
CHAIN: list[tuple[str, dict[str, list[Any]]]] = [
    ("first", {"privileges": [], "roles": ["readWrite"]}),
    (
        "second",
        {
            "privileges": [
                {"resource": {"db": "nmdc", "collection": "study_set"}, "actions": ["find", "remove", "dropCollection"]}
            ],
            "roles": ["first"],
        },
    ),
    ("third", {"privileges": [], "roles": ["second", "dbAdmin"]}),
]
USERS: dict[tuple[str, str], list[Any]] = {
    **{("admin", name): [name] for name in ROLES},
    ("admin", "holds_our_role"): [OPERATOR_ROLE],
    ("admin", "restores"): ["restore"],
    ("admin", "is_the_system"): ["__system"],
    ("admin", "is_cluster_admin"): ["clusterAdmin", {"db": "nmdc", "role": "read"}],
    ("admin", "is_host_manager"): ["hostManager"],
    ("admin", "administers_data"): [{"db": "nmdc", "role": "dbAdmin"}],
    ("admin", "has_two"): [{"db": "nmdc", "role": "readWrite"}, "nmdc_reader"],
    ("nmdc", "chained"): ["third"],
    ("nmdc", "direct"): ["readWrite"],
    ("nmdc", "owner"): ["dbOwner"],
    ("elsewhere", "from_elsewhere"): [{"db": "nmdc", "role": "readWrite"}, {"db": "elsewhere", "role": "readWrite"}],
    ("admin", "has_nothing"): [],
}
# Whoever may give out roles can give itself one: `plan` warns of these.
COULD_UNDO_IT = {"administrator", "may_do_anything", "owns_nmdc", "owner", "is_the_system"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateMongod]:
    """A server of its own: roles and users are the server's."""
    with private_mongod(tmp_path_factory.mktemp("demotion")) as running:
        with MongoClient[Any](running.uri) as root:
            for name in COLLECTIONS:
                root[ORIGIN][name].insert_many([{"_id": number, "n": number} for number in range(20)])
            root.elsewhere.things.insert_one({"_id": 1})
            make_accounts(root)
        yield running


def make_accounts(root: MongoClient[Any]) -> None:
    ours = {OPERATOR_ROLE: operator_role(ORIGIN), KEEPER_ROLE: keeper_role()}
    for name, role in {**ours, **ROLES}.items():
        root.admin.command("createRole", name, **role)
    for name, role in CHAIN:
        root[ORIGIN].command(
            "createRole", name, **role, authenticationRestrictions=[{"clientSource": ["127.0.0.1", "::1"]}]
        )
    root.admin.command("createUser", OPERATOR, pwd=PASSWORD, roles=[OPERATOR_ROLE, KEEPER_ROLE])
    for (database, name), roles in USERS.items():
        root[database].command(
            "createUser",
            name,
            pwd=PASSWORD,
            roles=roles,
            customData={"b": 1, "a": {"of": name}},
            mechanisms=["SCRAM-SHA-256"],
            authenticationRestrictions=[{"clientSource": ["127.0.0.1"]}],
        )


@pytest.fixture
def root(server: PrivateMongod) -> Iterator[MongoClient[Any]]:
    """Somebody who sees everything: by the key of the replica set, so that no demotion concerns it."""
    login: Any = {
        "username": "__system",
        "password": (server.folder / "key").read_text(),
        "authSource": "local",
        "directConnection": True,
    }
    with MongoClient[Any]("127.0.0.1", server.port, **login) as client:
        yield client


@pytest.fixture
def operator(server: PrivateMongod, root: MongoClient[Any]) -> Iterator[MongoClient[Any]]:
    """The operator, with the two roles of docs/operator-role.md; accounts are as before after each test."""
    before = accounts_of(root)
    with MongoClient[Any](server.uri_for(OPERATOR, PASSWORD)) as client:
        yield client
        put_back(client, RELEASE)
    assert accounts_of(root) == before
    root[STATE_DATABASE][demotion.LEFT].drop()


def accounts_of(root: MongoClient[Any]) -> dict[str, list[Any]]:
    """Every role and user as the server stores it, credentials included; only the order of roles is the server's own."""
    found = {name: list(root.admin[f"system.{name}"].find().sort("_id")) for name in ("roles", "users")}
    for account in (*found["roles"], *found["users"]):
        account["roles"].sort(key=json.dumps)
    return found


def log_in(server: PrivateMongod, database: str, name: str) -> MongoClient[Any]:
    return MongoClient(server.uri_for(name, PASSWORD).replace("authSource=admin", f"authSource={database}"))


@pytest.fixture
def everybody(server: PrivateMongod) -> Iterator[dict[str, MongoClient[Any]]]:
    """A connection of each user, opened before the test."""
    clients = {name: log_in(server, database, name) for database, name in USERS}
    for client in clients.values():
        client.admin.command("ping")
    yield clients
    for client in clients.values():
        client.close()


def _in_a_transaction(database: Database[Any]) -> None:
    with database.client.start_session() as session, session.start_transaction():
        database.jobs.insert_one({"new": 1}, session=session)


WRITES: dict[str, Callable[[Database[Any]], Any]] = {
    "insert": lambda nmdc: nmdc.jobs.insert_one({"new": 1}),
    "update": lambda nmdc: nmdc.jobs.update_one({"_id": 1}, {"$set": {"new": 1}}),
    "upsert": lambda nmdc: nmdc.functional_annotation_agg.update_one({"_id": "n"}, {"$set": {"new": 1}}, upsert=True),
    "delete": lambda nmdc: nmdc.study_set.delete_one({"_id": 1}),
    "findAndModify": lambda nmdc: nmdc.jobs.find_one_and_update({"_id": 1}, {"$set": {"new": 1}}),
    "findAndRemove": lambda nmdc: nmdc.study_set.find_one_and_delete({"_id": 1}),
    "bulk": lambda nmdc: nmdc.jobs.bulk_write(
        [InsertOne({"new": 1}), UpdateOne({"_id": 1}, {"$set": {"new": 1}}), DeleteOne({"_id": 1})], ordered=False
    ),
    "drop": lambda nmdc: nmdc.study_set.drop(),
    "drop database": lambda nmdc: nmdc.client.drop_database(nmdc.name),
    "create index": lambda nmdc: nmdc.jobs.create_index("new"),
    "drop indexes": lambda nmdc: nmdc.jobs.drop_indexes(),
    "rename": lambda nmdc: nmdc.jobs.rename("renamed"),
    "rename into": lambda nmdc: nmdc.client.admin.command(
        "renameCollection", "elsewhere.things", to=f"{nmdc.name}.new"
    ),
    "create collection": lambda nmdc: nmdc.create_collection("new"),
    "create view": lambda nmdc: nmdc.create_collection("new_view", viewOn="jobs", pipeline=[]),
    "out": lambda nmdc: list(nmdc.jobs.aggregate([{"$out": "new"}])),
    "out from elsewhere": lambda nmdc: list(
        nmdc.client.elsewhere.things.aggregate([{"$out": {"db": nmdc.name, "coll": "new"}}])
    ),
    "merge": lambda nmdc: list(nmdc.jobs.aggregate([{"$merge": "study_set"}])),
    "map reduce": lambda nmdc: nmdc.command(
        "mapReduce", "jobs", map="function(){emit(1,1)}", reduce="function(k,v){return 1}", out="new"
    ),
    "collMod": lambda nmdc: nmdc.command("collMod", "jobs", validationLevel="off"),
    "convert to capped": lambda nmdc: nmdc.command("convertToCapped", "jobs", size=4096),
    "applyOps": lambda nmdc: nmdc.client.admin.command(
        "applyOps", [{"op": "i", "ns": f"{nmdc.name}.jobs", "o": {"_id": "new"}}]
    ),
    "users by hand": lambda nmdc: nmdc.client.admin["system.users"].update_one(
        {"user": "direct"}, {"$set": {"roles": [{"role": "root", "db": "admin"}]}}
    ),
    "transaction": _in_a_transaction,
}


def outcome(act: Callable[[Database[Any]], Any], client: MongoClient[Any]) -> int:
    """The code of the server's refusal, 0 where it accepted."""
    try:
        act(client[ORIGIN])
    except BulkWriteError as error:
        return int(error.details["writeErrors"][0]["code"])
    except OperationFailure as error:
        return int(error.code or -1)
    return 0


def readable(client: MongoClient[Any]) -> dict[str, Any]:
    """What a user gets to see of everything that a user may want to see."""
    looks: dict[str, Callable[[], Any]] = {
        **{name: lambda name=name: list(client[ORIGIN][name].find()) for name in COLLECTIONS},
        "names": lambda: sorted(client[ORIGIN].list_collection_names()),
        "elsewhere": lambda: list(client.elsewhere.things.find()),
        "statistics": lambda: client[ORIGIN].command("dbStats")["collections"],
        "collection statistics": lambda: client[ORIGIN].command("collStats", "jobs")["count"],
        "indexes": lambda: client[ORIGIN].jobs.index_information(),
        "hashes": lambda: client[ORIGIN].command("dbHash")["collections"],
        "server": lambda: client.admin.command("serverStatus")["process"],
        "aggregate": lambda: list(client[ORIGIN].jobs.aggregate([{"$group": {"_id": 1, "n": {"$sum": "$n"}}}])),
    }
    found = {}
    for name, look in looks.items():
        try:
            found[name] = look()
        except OperationFailure as error:
            found[name] = error.code
    return found


def data(root: MongoClient[Any]) -> Any:
    return root[ORIGIN].command("dbHash")["md5"], sorted(root[ORIGIN].list_collection_names())


def test_while_demoted_nobody_writes_everybody_reads_and_afterwards_all_is_as_it_was(
    operator: MongoClient[Any], root: MongoClient[Any], everybody: dict[str, MongoClient[Any]], server: PrivateMongod
) -> None:
    accounts, before = accounts_of(root), data(root)
    could_read = {name: readable(client) for name, client in everybody.items()}
    assert any(could_read["nmdc_reader"]["jobs"]) and could_read["has_nothing"]["jobs"] == UNAUTHORIZED
    demote(operator, RELEASE, ORIGIN, 5)
    assert is_in_force(operator, RELEASE)
    for database, name in USERS:
        with log_in(server, database, name) as new:
            for client in (everybody[name], new):
                assert readable(client) == could_read[name], name
                accepted = {write for write, act in WRITES.items() if outcome(act, client) == 0}
                assert accepted == set(), (name, accepted)
        assert data(root) == before, name
    # What is none of the origin's business goes on.
    everybody["from_elsewhere"].elsewhere.things.insert_one({"_id": "goes on"})
    everybody["writes_elsewhere"].elsewhere.things.delete_one({"_id": "goes on"})
    assert put_back(operator, RELEASE).left == ()
    assert accounts_of(root) == accounts
    assert read_header(operator) is None and not is_in_force(operator, RELEASE)
    assert could_write(everybody) >= {"nmdc_runtime", "nmdc_editor", "chained", "direct", "owner", "from_elsewhere"}
    root[ORIGIN].jobs.delete_many({"new": 1})


def could_write(everybody: dict[str, MongoClient[Any]]) -> set[str]:
    return {name for name, client in everybody.items() if outcome(WRITES["insert"], client) == 0}
