"""Migrators never run on a server of the origin, whatever address leads there, and never on another release's database."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient
from pymongo.uri_parser import parse_uri

from nmdc_release_ops.definitions import defs
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.transfer import engine
from nmdc_release_ops.resources.transformer import transformer_database
from nmdc_release_ops_tests.relay import relay_to
from nmdc_release_ops_tests.workplace import Workplace, failure_of, untouched, workplace_fixture

workplace = workplace_fixture(warm=True)


@pytest.fixture(autouse=True)
def the_origin_server_has_no_database_of_a_transformer(workplace: Workplace) -> Iterator[None]:
    with MongoClient[Any](workplace.origin.server.uri) as client, untouched(client):
        before = set(client.list_database_names()) - {"nmdc_release_ops"}
        yield
        assert set(client.list_database_names()) - {"nmdc_release_ops"} == before


def port_of(uri: str) -> int:
    return int(parse_uri(uri)["nodelist"][0][1])


ADDRESSES: dict[str, Callable[[str], str]] = {
    "the-same": lambda uri: uri,
    "other-options": lambda uri: f"{uri}&appName=transformer&retryWrites=false&compressors=zlib",
    "another-name": lambda uri: uri.replace("127.0.0.1", "localhost"),
    "another-name-of-the-set": lambda uri: uri.replace("directConnection=true", "replicaSet=private"),
    "a-database": lambda uri: uri.replace("/?", "/some_other_database?authSource=admin&"),
}


@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
def test_plan_refuses_a_transformer_that_is_the_origin_under_any_address(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, address: Callable[[str], str]
) -> None:
    monkeypatch.setenv("NMDC_TRANSFORMER_URI", address(workplace.origin.server.uri))
    step, message = failure_of(workplace.release(target_version="11.25"))
    assert step == "plan"
    assert "NMDC_TRANSFORMER_URI points to the origin's own server" in message.description
    assert message.metadata["error"].value == "TransformerIsOrigin"


def test_plan_refuses_a_transformer_that_is_the_origin_behind_a_tunnel(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = workplace.origin.server.uri
    with relay_to(port_of(uri)) as port:
        monkeypatch.setenv("NMDC_TRANSFORMER_URI", uri.replace(str(port_of(uri)), str(port)))
        step, message = failure_of(workplace.release(target_version="11.25"))
    assert step == "plan"
    assert "points to the origin's own server" in message.description


@pytest.mark.parametrize("origin_answers", [True, False], ids=["origin-answers", "origin-is-gone"])
def test_migrate_refuses_a_transformer_that_became_the_origin_after_the_plan(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, origin_answers: bool
) -> None:
    dumped = engine.dump

    def dump(*arguments: Any, **options: Any) -> Any:
        made = dumped(*arguments, **options)
        monkeypatch.setenv("NMDC_TRANSFORMER_URI", workplace.origin.server.uri)
        if not origin_answers:
            # The hook that thaws needs it again.
            monkeypatch.setattr("nmdc_release_ops.mongo.server.connection.SELECTION_SECONDS", 1)
            monkeypatch.setenv("NMDC_ORIGIN_URI", "mongodb://127.0.0.1:9/?directConnection=true")
        return made

    monkeypatch.setattr(engine, "dump", dump)
    result = workplace.release(target_version="11.25")
    monkeypatch.undo()
    if not origin_answers:
        unfreeze = defs.get_job_def("unfreeze").execute_in_process(instance=workplace.instance)
        assert unfreeze.success
    step, message = failure_of(result)
    assert step == "migrate"
    assert message.metadata["error"].value == "TransformerIsOrigin"


def test_releases_that_share_a_transformer_have_a_database_each(
    workplace: Workplace, scratch_mongod: PrivateMongod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NMDC_TRANSFORMER_URI", scratch_mongod.uri)
    one, two = (workplace.plan(target_version="11.25").output_for_node("plan") for _ in range(2))
    assert one.release_id != two.release_id
    transformer = defs.resources["transformer"] if defs.resources else None
    with dg.build_resources({"transformer": transformer}) as resources:
        with resources.transformer.open(one, transformer_database(one.release_id, "run")) as first:
            first.database.kept.insert_one({"_id": "of the first"})
        with resources.transformer.open(two, transformer_database(two.release_id, "run")) as second:
            # As loading an archive does first.
            second.database.client.drop_database(second.database.name)
        with resources.transformer.open(one, transformer_database(one.release_id, "run")) as again:
            assert again.database.kept.find_one() == {"_id": "of the first"}
        assert resources.transformer.find_databases(two, [one.release_id, two.release_id]) == [one.release_id]
        resources.transformer.drop_databases(two, one.release_id)
        assert resources.transformer.find_databases(two, [one.release_id]) == []


def test_plan_refuses_a_transformer_on_which_no_database_can_be_made(
    workplace: Workplace, guarded_mongod: PrivateMongod, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MongoClient[Any](guarded_mongod.uri) as client:
        roles = [{"role": "readWrite", "db": "nmdc_release_ops_transformer"}]
        client.admin.command("createUser", "narrow", pwd="x", roles=roles)
        monkeypatch.setenv("NMDC_TRANSFORMER_URI", guarded_mongod.uri_for("narrow", "x"))
        step, message = failure_of(workplace.release(target_version="11.25"))
        client.admin.command("dropUser", "narrow")
        assert not [name for name in client.list_database_names() if name.startswith("nmdc_release_ops_transformer")]
    assert step == "plan"
    assert "Grant it readWriteAnyDatabase and dbAdminAnyDatabase on the transformer" in message.description
