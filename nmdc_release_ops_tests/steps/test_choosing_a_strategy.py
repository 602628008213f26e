"""What `plan` says of how the origin will be frozen, and what it refuses."""

from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient

from nmdc_release_ops.demo.origin import DATABASE, OPERATOR
from nmdc_release_ops.mongo.freezing.demoted_accounts import read_header
from nmdc_release_ops.mongo.operator_role import VIEWER_ROLE
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.mongo.state.lease import Strategy, current_lease
from nmdc_release_ops_tests.workplace import Workplace, failure_of, workplace_fixture

workplace = workplace_fixture(warm=True)


@pytest.fixture
def hidden_accounts(client: MongoClient[Any]) -> Iterator[None]:
    """The operator may not look at accounts."""
    client.admin.command("revokeRolesFromUser", OPERATOR, roles=[VIEWER_ROLE])
    yield
    client.admin.command("grantRolesToUser", OPERATOR, roles=[VIEWER_ROLE])


@pytest.mark.usefixtures("hidden_accounts")
def test_the_plan_takes_the_write_block_where_it_can_and_says_whom_it_could_not_look_up(workplace: Workplace) -> None:
    plan = workplace.plan(target_version="11.25").output_for_node("plan")
    assert plan.strategy is Strategy.WRITE_BLOCK and plan.drain_timeout == 60
    assert plan.strategy_reason == "The server can block writes with one command, and the operator may send it."
    (warning,) = [line for line in plan.warnings if "bypass" in line]
    assert "could not be looked up" in warning and "viewUser on the cluster, and viewRole" in warning


@pytest.fixture
def powerful_users(client: MongoClient[Any]) -> Iterator[None]:
    actions = ["bypassWriteBlockingMode", "setUserWriteBlockMode"]
    client.admin.command(
        "createRole", "bypass", privileges=[{"resource": {"cluster": True}, "actions": actions}], roles=[]
    )
    client[DATABASE].command("createRole", "nothing", privileges=[], roles=[])
    client.admin.command("createUser", "by_a_role", pwd="of the test", roles=["bypass"])
    client.admin.command("createUser", "restores", pwd="of the test", roles=["restore"])
    yield
    for user in ("by_a_role", "restores"):
        client.admin.command("dropUser", user)
    client.admin.command("dropRole", "bypass")
    client[DATABASE].command("dropRole", "nothing")


@pytest.mark.usefixtures("keeper", "powerful_users")
def test_the_plan_names_who_bypasses_the_block(workplace: Workplace) -> None:
    (warning,) = [
        line for line in workplace.plan(target_version="11.25").output_for_node("plan").warnings if "bypass" in line
    ]
    assert warning.startswith("administrator@admin, by_a_role@admin, restores@admin: these users may bypass")
    by_demotion = workplace.plan(target_version="11.25", strategy="demote_roles", drain_timeout=7).output_for_node(
        "plan"
    )
    assert by_demotion.drain_timeout == 7
    (warning,) = [line for line in by_demotion.warnings if "grant roles" in line]
    assert warning.startswith("administrator@admin, restores@admin: these users may grant roles")


@pytest.mark.usefixtures("no_block", "hidden_accounts")
def test_where_neither_is_possible_the_plan_refuses_and_says_what_each_lacks(workplace: Workplace) -> None:
    _, text = failure_of(workplace.plan(target_version="11.25"))
    by_block, by_demotion = [line for line in text.description.splitlines() if "cannot be frozen by" in line]
    assert (
        "by write_block: the user in NMDC_ORIGIN_URI lacks bypassWriteBlockingMode, setUserWriteBlockMode on cluster"
        in by_block
    )
    for lacking in ("viewUser on cluster", "revokeRole on all databases", "createRole, dropRole on database admin"):
        assert lacking in by_demotion


@pytest.mark.usefixtures("keeper", "no_block")
def test_who_insists_on_a_strategy_gets_it_or_a_refusal(workplace: Workplace) -> None:
    _, text = failure_of(workplace.plan(target_version="11.25", strategy="write_block"))
    assert "cannot be frozen by write_block" in text.description and "demote_roles" not in text.description


@pytest.mark.parametrize("config", [{"strategy": "none"}, {"drain_timeout": 0}, {"drain_timeout": 3601}])
def test_config_that_makes_no_sense_does_not_start_a_release(workplace: Workplace, config: dict[str, Any]) -> None:
    result = workplace.plan(target_version="11.25", **config)
    assert not result.success
    assert current_lease(MongoClient(workplace.origin.server.uri)) is None


@pytest.fixture
def editor_with_a_role_that_is_gone(workplace: Workplace, client: MongoClient[Any]) -> Iterator[None]:
    login: Any = {"username": "__system", "authSource": "local", "directConnection": True}
    key = (workplace.origin.server.folder / "key").read_text()
    gone = {"roles": {"role": "gone", "db": "admin"}}
    with MongoClient[Any]("127.0.0.1", client.address[1], password=key, **login) as member:
        member.admin["system.roles"].update_one({"role": "nmdc_editor"}, {"$push": gone})
        yield
        member.admin["system.roles"].update_one({"role": "nmdc_editor"}, {"$pull": gone})


@pytest.mark.usefixtures("keeper", "editor_with_a_role_that_is_gone")
def test_a_role_that_is_gone_is_named_before_anything_is_frozen(workplace: Workplace, client: MongoClient[Any]) -> None:
    _, text = failure_of(workplace.plan(target_version="11.25", strategy="demote_roles"))
    assert "The role nmdc_editor@admin has the role gone@admin, which does not exist" in text.description
    assert is_write_blocked(client) is False and read_header(client) is None
