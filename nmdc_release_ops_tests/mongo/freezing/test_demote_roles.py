"""Demoting users and roles prevents all others from writing and nobody from reading, and is undone exactly."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymongo import DeleteOne, InsertOne, MongoClient, UpdateOne
from pymongo.database import Database
from pymongo.errors import BulkWriteError, OperationFailure

from nmdc_release_ops.demo.origin import NMDC_ROLES
from nmdc_release_ops.mongo.freezing import demote_roles, demotion
from nmdc_release_ops.mongo.freezing.accounts import read_accounts
from nmdc_release_ops.mongo.freezing.demoted_accounts import LEFT, DemotionFailed, Phase, read_header
from nmdc_release_ops.mongo.freezing.demotion import demote, is_in_force, put_back, still_left, who_can_write
from nmdc_release_ops.mongo.freezing.freeze import freeze, require_frozen
from nmdc_release_ops.mongo.freezing.readonly import who_could_undo_it
from nmdc_release_ops.mongo.freezing.strategy import FreezeFailed
from nmdc_release_ops.mongo.freezing.thaw import LateThaw, thaw
from nmdc_release_ops.mongo.operator_role import KEEPER_ROLE, OPERATOR_ROLE, keeper_role, operator_role
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod, private_mongod
from nmdc_release_ops.mongo.state.database import STATE_DATABASE
from nmdc_release_ops.mongo.state.lease import Strategy
from nmdc_release_ops_tests.mongo.freezing.accounts import accounts_of

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
    "edits_users": {
        "privileges": [{"resource": {"db": "admin", "collection": "system.users"}, "actions": ["find", "update"]}],
        "roles": [],
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
COULD_UNDO_IT = {"administrator", "may_do_anything", "owns_nmdc", "owner", "is_the_system", "restores"}


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
    root[STATE_DATABASE][LEFT].drop()


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


def test_while_demoted_nobody_writes_everybody_reads_and_afterwards_all_accounts_are_as_before(
    operator: MongoClient[Any], root: MongoClient[Any], everybody: dict[str, MongoClient[Any]], server: PrivateMongod
) -> None:
    accounts, before = accounts_of(root), data(root)
    could_read = {name: readable(client) for name, client in everybody.items()}
    assert any(could_read["nmdc_reader"]["jobs"]) and could_read["has_nothing"]["jobs"] == UNAUTHORIZED
    demote(operator, RELEASE, ORIGIN, 5)
    assert is_in_force(operator, RELEASE) and who_can_write(operator) == []
    for database, name in USERS:
        with log_in(server, database, name) as new:
            for client in (everybody[name], new):
                assert readable(client) == could_read[name], name
                accepted = {write for write, act in WRITES.items() if outcome(act, client) == 0}
                assert accepted == set(), (name, accepted)
        assert data(root) == before, name
    # Writes to other databases continue.
    everybody["from_elsewhere"].elsewhere.things.insert_one({"_id": "other"})
    everybody["writes_elsewhere"].elsewhere.things.delete_one({"_id": "other"})
    assert put_back(operator, RELEASE).left == ()
    assert accounts_of(root) == accounts
    assert read_header(operator) is None and not is_in_force(operator, RELEASE)
    assert could_write(everybody) >= {"nmdc_runtime", "nmdc_editor", "chained", "direct", "owner", "from_elsewhere"}
    root[ORIGIN].jobs.delete_many({"new": 1})


def test_root_cannot_write_either_and_can_still_read(
    operator: MongoClient[Any], root: MongoClient[Any], server: PrivateMongod
) -> None:
    with MongoClient[Any](server.uri) as administrator:
        before, could_read = data(root), readable(administrator)
        demote(operator, RELEASE, ORIGIN, 5)
        assert readable(administrator) == could_read
        assert {write for write, act in WRITES.items() if outcome(act, administrator) == 0} == set()
        assert data(root) == before
        put_back(operator, RELEASE)
        assert outcome(WRITES["insert"], administrator) == 0
    root[ORIGIN].jobs.delete_many({"new": 1})


def could_write(everybody: dict[str, MongoClient[Any]]) -> set[str]:
    return {name for name, client in everybody.items() if outcome(WRITES["insert"], client) == 0}


def test_users_who_could_make_themselves_able_to_write_are_known(operator: MongoClient[Any]) -> None:
    found = {name.name for name in who_could_undo_it(read_accounts(operator, ORIGIN), ORIGIN)}
    assert found == COULD_UNDO_IT


def test_no_account_gains_a_privilege(operator: MongoClient[Any], root: MongoClient[Any]) -> None:
    before = {name: allowed(root, database, name) for database, name in USERS}
    demote(operator, RELEASE, ORIGIN, 5)
    for database, name in USERS:
        if name not in ("may_do_anything", "is_the_system"):
            assert allowed(root, database, name) <= before[name], name


def allowed(root: MongoClient[Any], database: str, name: str) -> set[tuple[str, str]]:
    (user,) = root[database].command("usersInfo", {"user": name, "db": database}, showPrivileges=True)["users"]
    return {
        (json.dumps(privilege["resource"], sort_keys=True), action)
        for privilege in user["inheritedPrivileges"]
        for action in privilege["actions"]
    }


def test_the_operator_can_still_write(operator: MongoClient[Any]) -> None:
    demote(operator, RELEASE, ORIGIN, 5)
    operator[ORIGIN].create_collection("_release.staged.jobs")
    operator[ORIGIN]["_release.staged.jobs"].insert_one({"_id": 1})
    operator[ORIGIN]["_release.staged.jobs"].rename("_release.previous.jobs")
    operator[ORIGIN]["_release.previous.jobs"].drop()


def test_an_open_transaction_is_waited_for_then_named_and_everything_is_put_back(
    operator: MongoClient[Any], root: MongoClient[Any], server: PrivateMongod
) -> None:
    accounts = accounts_of(root)
    with (
        MongoClient[Any](server.uri_for("nmdc_runtime", PASSWORD), appname="the-runtime") as writer,
        writer.start_session() as session,
    ):
        session.start_transaction()
        writer[ORIGIN].jobs.insert_one({"_id": "in a transaction"}, session=session)
        with pytest.raises(
            DemotionFailed,
            match=r"the-runtime from 127\.0\.0\.1:\d+ as nmdc_runtime@admin, a transaction open for .* what they were before",
        ):
            demote(operator, RELEASE, ORIGIN, 0.3)
        assert accounts_of(root) == accounts and read_header(operator) is None
        session.abort_transaction()
    demote(operator, RELEASE, ORIGIN, 5)


def test_what_a_transaction_commits_while_it_is_waited_for_comes_before_the_freeze(
    operator: MongoClient[Any], root: MongoClient[Any], server: PrivateMongod
) -> None:
    with log_in(server, "admin", "nmdc_runtime") as writer, writer.start_session() as session:
        session.start_transaction()
        writer[ORIGIN].jobs.insert_one({"_id": "in a transaction"}, session=session)
        timer = threading.Timer(0.7, session.commit_transaction)
        timer.start()
        frozen = demote(operator, RELEASE, ORIGIN, 10)
        assert root[ORIGIN].jobs.find_one({"_id": "in a transaction"}) is not None
        assert session.operation_time is not None and session.operation_time <= frozen.timestamp()
        timer.join()
    root[ORIGIN].jobs.delete_one({"_id": "in a transaction"})


def test_a_transaction_begun_before_cannot_write_any_more(operator: MongoClient[Any], server: PrivateMongod) -> None:
    with log_in(server, "admin", "nmdc_runtime") as writer, writer.start_session() as session:
        session.start_transaction()
        assert writer[ORIGIN].jobs.find_one({}, session=session)
        waiting = threading.Thread(target=lambda: demote(operator, RELEASE, ORIGIN, 10))
        waiting.start()
        while not _is_demoting(operator):
            time.sleep(0.05)
        time.sleep(0.5)
        with pytest.raises(OperationFailure) as refusal:
            writer[ORIGIN].jobs.insert_one({"new": 1}, session=session)
        assert refusal.value.code == UNAUTHORIZED
        session.abort_transaction()
        waiting.join()
    assert is_in_force(operator, RELEASE)


def _is_demoting(client: MongoClient[Any]) -> bool:
    header = read_header(client)
    return header is not None and header.phase is Phase.DEMOTING


def slow_update(server: PrivateMongod, milliseconds: int) -> threading.Thread:
    """One update of one user that takes its time, begun."""

    def update() -> None:
        with log_in(server, "admin", "nmdc_runtime") as writer:
            writer[ORIGIN].study_set.update_many(
                {"$where": f"sleep({milliseconds / 20});return true"}, {"$set": {"n": -1}}
            )

    thread = threading.Thread(target=update)
    thread.start()
    time.sleep(0.3)
    return thread


def test_a_write_that_takes_long_is_waited_for_or_named(
    operator: MongoClient[Any], root: MongoClient[Any], server: PrivateMongod
) -> None:
    thread = slow_update(server, 3000)
    with pytest.raises(DemotionFailed, match=r"as nmdc_runtime@admin, at update nmdc.study_set"):
        demote(operator, RELEASE, ORIGIN, 0.2)
    demote(operator, RELEASE, ORIGIN, 20)
    # It ended before the freeze began: nobody sees it change anything now.
    assert root[ORIGIN].study_set.count_documents({"n": -1}) == 20
    thread.join()
    put_back(operator, RELEASE)
    root[ORIGIN].study_set.drop()
    root[ORIGIN].study_set.insert_many([{"_id": number, "n": number} for number in range(20)])


def test_an_output_that_was_asked_for_before_and_not_fetched_is_not_written(
    operator: MongoClient[Any], server: PrivateMongod
) -> None:
    """A cursor with an empty first batch writes when it is read from for the first time."""
    with log_in(server, "admin", "nmdc_runtime") as writer:
        asked = {"aggregate": "jobs", "pipeline": [{"$out": "new"}], "cursor": {"batchSize": 0}}
        cursor = writer[ORIGIN].command(asked)["cursor"]
        demote(operator, RELEASE, ORIGIN, 5)
        with pytest.raises(OperationFailure) as refusal:
            writer[ORIGIN].command("getMore", cursor["id"], collection="jobs")
    assert refusal.value.code == UNAUTHORIZED
    assert "new" not in operator[ORIGIN].list_collection_names()


def test_nothing_that_hammering_writers_are_acknowledged_comes_after_the_freeze(
    operator: MongoClient[Any], root: MongoClient[Any], everybody: dict[str, MongoClient[Any]]
) -> None:
    acknowledged: list[Any] = []
    ending = threading.Event()

    def hammer(client: MongoClient[Any]) -> None:
        with client.start_session() as session:
            while not ending.is_set():
                try:
                    client[ORIGIN].hammered.insert_one({}, session=session)
                except OperationFailure:
                    continue
                acknowledged.append(session.operation_time)

    writers = [
        client for name, client in everybody.items() if name in ("nmdc_runtime", "nmdc_editor", "chained", "owner")
    ]
    threads = [threading.Thread(target=hammer, args=[client]) for client in writers for _ in range(2)]
    for thread in threads:
        thread.start()
    while len(acknowledged) < 200:
        time.sleep(0.01)
    frozen = demote(operator, RELEASE, ORIGIN, 20)
    counted = root[ORIGIN].hammered.count_documents({})
    time.sleep(0.5)
    ending.set()
    for thread in threads:
        thread.join()
    assert root[ORIGIN].hammered.count_documents({}) == counted == len(acknowledged)
    assert max(acknowledged) <= frozen.timestamp()
    root[ORIGIN].hammered.drop()


def test_demoting_again_changes_nothing_and_saves_what_was_there_first(
    operator: MongoClient[Any], root: MongoClient[Any]
) -> None:
    accounts = accounts_of(root)
    demote(operator, RELEASE, ORIGIN, 5)
    demoted = accounts_of(root)
    demote(operator, RELEASE, ORIGIN, 5)
    assert accounts_of(root) == demoted != accounts
    put_back(operator, RELEASE)
    assert accounts_of(root) == accounts


@pytest.mark.parametrize("step", ["put_back", "_define"])
def test_a_thaw_that_comes_late_does_not_put_back_what_the_next_run_has_demoted(
    operator: MongoClient[Any], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Suspended before it puts anybody back, or in the middle of it; at most one account is put back, and that is noticed."""
    module = {"put_back": demote_roles, "_define": demotion}[step]
    real = getattr(module, step)

    def suspended(*args: Any) -> Any:
        monkeypatch.setattr(module, step, real)
        freeze(operator, RELEASE, "the second", Strategy.DEMOTE_ROLES, database=ORIGIN)
        return real(*args)

    freeze(operator, RELEASE, "the first", Strategy.DEMOTE_ROLES, database=ORIGIN)
    monkeypatch.setattr(module, step, suspended)
    try:
        with pytest.raises(LateThaw, match="run the second of release a-release took the origin over"):
            thaw(operator, RELEASE, "the watchdog")
        assert len(who_can_write(operator)) <= (step == "_define")
        assert is_in_force(operator, RELEASE)
        with pytest.raises(FreezeFailed, match=r"Somebody lifted the freeze|can write to it"):
            require_frozen(operator, RELEASE, "the second")
    finally:
        thaw(operator, RELEASE, "the test")


def test_another_release_neither_demotes_what_is_demoted_nor_puts_it_back(
    operator: MongoClient[Any], root: MongoClient[Any]
) -> None:
    demote(operator, RELEASE, ORIGIN, 5)
    demoted = accounts_of(root)
    with pytest.raises(DemotionFailed, match="Another release has already demoted"):
        demote(operator, "another", ORIGIN, 5)
    assert put_back(operator, "another").accounts == 0
    assert accounts_of(root) == demoted


def test_what_somebody_changed_in_between_is_left_reported_and_kept(
    operator: MongoClient[Any], root: MongoClient[Any]
) -> None:
    accounts = accounts_of(root)
    root.admin.command("createRole", "to_be_dropped", privileges=[], roles=["readWriteAnyDatabase"])
    root.admin.command("createUser", "to_be_dropped", pwd=PASSWORD, roles=["readWriteAnyDatabase"])
    demote(operator, RELEASE, ORIGIN, 5)
    root.admin.command("grantRolesToUser", "has_two", roles=["hostManager"])
    root.admin.command("grantPrivilegesToRole", "nmdc_scheduler", privileges=[_FIND_STUDIES])
    root.admin.command("dropRole", "to_be_dropped")
    root.admin.command("dropUser", "to_be_dropped")
    root.admin.command("createUser", "new", pwd=PASSWORD, roles=["read"])
    result = put_back(operator, RELEASE)
    report = "\n".join(result.left)
    assert "The user has_two@admin was changed while the origin was frozen, and was left unchanged." in report
    assert 'db.getSiblingDB("admin").updateUser("has_two", {"roles": [{"role": "' in report
    assert "The role nmdc_scheduler@admin was changed" in report and '"actions": ["find", "insert"' in report
    assert "The role to_be_dropped@admin was dropped" in report and "The user to_be_dropped@admin was dropped" in report
    assert "The user new@admin was created while the origin was frozen" in report
    assert len(result.left) == 5 and still_left(operator, RELEASE) == result.left[:4]
    assert root[STATE_DATABASE][LEFT].count_documents({}) == 4
    (has_two,) = root.admin.command("usersInfo", "has_two")["users"]
    assert {role["role"] for role in has_two["roles"]} == {"read", "nmdc_reader", "hostManager"}
    # Everybody else is as before, and so are these once they are given back what they had, as the report says.
    root.admin.command("dropUser", "new")
    root.admin.command("updateUser", "has_two", roles=USERS["admin", "has_two"])
    root.admin.command("updateRole", "nmdc_scheduler", **ROLES["nmdc_scheduler"])
    assert accounts_of(root) == accounts
    assert len(still_left(operator, RELEASE)) == 2


_FIND_STUDIES = {"resource": {"db": "nmdc", "collection": "study_set"}, "actions": ["find"]}


def test_a_stand_in_that_was_given_to_somebody_is_not_taken_away(
    operator: MongoClient[Any], root: MongoClient[Any]
) -> None:
    demote(operator, RELEASE, ORIGIN, 5)
    (user,) = root.admin.command("usersInfo", "restores")["users"]
    (stand_in,) = user["roles"]
    root.admin.command("grantRolesToUser", "has_nothing", roles=[stand_in])
    (report,) = put_back(operator, RELEASE).left
    assert "stood in for another during the freeze" in report and "restore@admin" in report
    root.admin.command("revokeRolesFromUser", "has_nothing", roles=[stand_in])
    root.admin.command("dropRole", stand_in["role"])
    assert still_left(operator, RELEASE) == ()


def test_an_account_that_was_put_back_by_hand_is_not_reported(
    operator: MongoClient[Any], root: MongoClient[Any]
) -> None:
    demote(operator, RELEASE, ORIGIN, 5)
    root.admin.command("updateRole", "nmdc_runtime", **ROLES["nmdc_runtime"])
    assert who_can_write(operator) == ["role nmdc_runtime@admin"]
    assert put_back(operator, RELEASE).left == ()


def test_a_new_user_who_can_write_is_noticed(operator: MongoClient[Any], root: MongoClient[Any]) -> None:
    demote(operator, RELEASE, ORIGIN, 5)
    root.admin.command("createUser", "new", pwd=PASSWORD, roles=["readWriteAnyDatabase"])
    assert who_can_write(operator) == ["user new@admin"]
    root.admin.command("dropUser", "new")
    assert who_can_write(operator) == []


def test_no_password_or_credential_is_saved(operator: MongoClient[Any], root: MongoClient[Any]) -> None:
    demote(operator, RELEASE, ORIGIN, 5)
    saved = repr([list(root[STATE_DATABASE][name].find()) for name in root[STATE_DATABASE].list_collection_names()])
    assert "readWriteAnyDatabase" in saved
    for word in ("credential", "storedKey", "serverKey", "salt", "pwd", PASSWORD):
        assert word not in saved
