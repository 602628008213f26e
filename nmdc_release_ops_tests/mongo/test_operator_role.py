"""The operator's role: the page that documents it, the code that checks for it and the stack that creates it agree."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freezing.demote_roles import DEMOTING
from nmdc_release_ops.mongo.freezing.demotion import demote, put_back
from nmdc_release_ops.mongo.operator_role import (
    KEEPER_ROLE,
    OPERATOR_ROLE,
    PROMOTER_ROLE,
    VIEWER_ROLE,
    keeper_role,
    needed_privileges,
    operator_role,
    promoter_role,
    viewer_role,
)
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod, private_mongod
from nmdc_release_ops.mongo.server.privileges import missing_privileges

PROJECT = Path(__file__).parent.parent.parent
PAGE = PROJECT / "docs" / "operator-role.md"
INITIALIZE = PROJECT / "docker" / "mongo" / "initialize.js"
DATABASE = "nmdc"
USER = "operator"
KEEPER = "keeper"
PASSWORD = "of the test"


_ELSEWHERE = [{"resource": {"db": name, "collection": "of_ours"}, "actions": ["find"]} for name in ("config", "local")]
_BUILT_IN_ELSEWHERE = [{"role": "read", "db": name} for name in ("config", "local")]


def roles_on_the_page() -> dict[str, dict[str, Any]]:
    """The arguments of `createRole`, by the role's name."""
    found = re.findall(r"db\.createRole\((\{.*?\n\})\)", PAGE.read_text(), flags=re.DOTALL)
    roles = [json.loads(argument) for argument in found]
    return {role.pop("role"): role for role in roles}


def role_on_the_page() -> dict[str, Any]:
    """The role that every release needs."""
    return roles_on_the_page()[OPERATOR_ROLE]


def role_of_the_stack(constant: str) -> dict[str, Any]:
    """What initialize.js creates for the operator: a literal that is JSON too."""
    (literal,) = re.findall(
        rf"^const {constant} = (\{{.*?^\}});$", INITIALIZE.read_text(), flags=re.DOTALL | re.MULTILINE
    )
    role: dict[str, Any] = json.loads(literal)
    return role


def single_actions(role: dict[str, Any]) -> list[tuple[int, str]]:
    """Every action of the role, with the number of the privilege that it belongs to."""
    return [(number, action) for number, privilege in enumerate(role["privileges"]) for action in privilege["actions"]]


def without(role: dict[str, Any], number: int, action: str) -> dict[str, Any]:
    """The role with one action less; a privilege without actions is none."""
    privileges = [
        {**privilege, "actions": [name for name in privilege["actions"] if (place, name) != (number, action)]}
        for place, privilege in enumerate(role["privileges"])
    ]
    return {**role, "privileges": [privilege for privilege in privileges if privilege["actions"]]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateMongod]:
    """A server of its own: roles and users are the server's, and these tests change them."""
    with private_mongod(tmp_path_factory.mktemp("operator-role")) as running:
        yield running


@pytest.fixture(scope="module")
def administrator(server: PrivateMongod) -> Iterator[MongoClient[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](server.uri) as client:
        client.admin.command("createRole", OPERATOR_ROLE, **role_on_the_page())
        client.admin.command("createRole", KEEPER_ROLE, **keeper_role())
        client.admin.command("createUser", USER, pwd=PASSWORD, roles=[OPERATOR_ROLE])
        client.admin.command("createUser", KEEPER, pwd=PASSWORD, roles=[OPERATOR_ROLE, KEEPER_ROLE])
        # One account for each thing that demoting has to be allowed.
        client.admin.command("createUser", "stands in", pwd=PASSWORD, roles=["restore"])
        client.admin.command("createRole", "elsewhere", privileges=_ELSEWHERE, roles=["readWriteAnyDatabase"])
        client.admin.command("createUser", "elsewhere", pwd=PASSWORD, roles=["elsewhere"])
        client[DATABASE].command("createUser", "direct", pwd=PASSWORD, roles=["readWrite", *_BUILT_IN_ELSEWHERE])
        client[DATABASE].jobs.insert_one({})
        yield client


@pytest.fixture
def operator(
    server: PrivateMongod, administrator: MongoClient[dict[str, Any]]
) -> Iterator[MongoClient[dict[str, Any]]]:
    """The operator, whose role is the page's again after each test."""
    with MongoClient[dict[str, Any]](server.uri_for(USER, PASSWORD)) as client:
        yield client
    administrator.admin.command("updateRole", OPERATOR_ROLE, **role_on_the_page())


def test_the_page_documents_the_role_that_a_release_needs() -> None:
    assert roles_on_the_page() == {
        OPERATOR_ROLE: operator_role(DATABASE),
        PROMOTER_ROLE: promoter_role(DATABASE),
        VIEWER_ROLE: viewer_role(),
        KEEPER_ROLE: keeper_role(),
    }


def test_the_stack_creates_the_role_that_a_release_needs() -> None:
    assert role_of_the_stack("OPERATOR_ROLE") == operator_role(DATABASE)
    assert role_of_the_stack("PROMOTER_ROLE") == promoter_role(DATABASE)
    assert role_of_the_stack("VIEWER_ROLE") == viewer_role()


def test_the_page_says_what_every_action_is_for() -> None:
    explained = set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\|.*\|$", PAGE.read_text(), flags=re.MULTILINE))))
    needed = {
        action
        for role in (operator_role(DATABASE), promoter_role(DATABASE), viewer_role(), keeper_role())
        for _, action in single_actions(role)
    }
    assert needed - explained == set()


def test_the_page_checks_the_role_by_the_numbers_of_its_actions() -> None:
    documented = re.findall(r"^// (\S.*): (\d+) actions?$", PAGE.read_text(), flags=re.MULTILINE)
    expected = [
        (privilege["resource"].get("db", "cluster"), str(len(privilege["actions"])))
        for privilege in operator_role(DATABASE)["privileges"]
    ]
    assert sorted(documented) == sorted(expected)


def test_a_user_with_the_role_of_the_page_lacks_nothing(operator: MongoClient[dict[str, Any]]) -> None:
    assert missing_privileges(operator, needed_privileges(DATABASE)) == []


@pytest.mark.parametrize(("number", "action"), single_actions(operator_role(DATABASE)))
def test_an_action_that_the_role_lacks_is_named(
    operator: MongoClient[dict[str, Any]], administrator: MongoClient[dict[str, Any]], number: int, action: str
) -> None:
    administrator.admin.command("updateRole", OPERATOR_ROLE, **without(role_on_the_page(), number, action))
    (line,) = missing_privileges(operator, needed_privileges(DATABASE))
    resource = role_on_the_page()["privileges"][number]["resource"]
    where = f"database {resource['db']}" if "db" in resource else "cluster"
    (purpose,) = {
        needed.purpose
        for needed in needed_privileges(DATABASE)
        if needed.database == resource.get("db") and action in needed.actions
    }
    assert line == f"{action} on {where} ({purpose})"


@pytest.fixture
def keeper(server: PrivateMongod, administrator: MongoClient[dict[str, Any]]) -> Iterator[MongoClient[dict[str, Any]]]:
    """The operator with the second role too, which is the page's again after each test."""
    with MongoClient[dict[str, Any]](server.uri_for(KEEPER, PASSWORD)) as client:
        yield client
        administrator.admin.command("updateRole", KEEPER_ROLE, **keeper_role())
        put_back(client, "a-release")


def test_with_both_roles_of_the_page_users_and_roles_can_be_made_read_only_and_put_back(
    keeper: MongoClient[dict[str, Any]],
) -> None:
    assert missing_privileges(keeper, DEMOTING) == []
    demote(keeper, "a-release", DATABASE, 5)
    assert put_back(keeper, "a-release").left == ()


@pytest.mark.parametrize(("number", "action"), single_actions(keeper_role()))
def test_an_action_that_the_second_role_lacks_is_named_and_is_really_needed(
    keeper: MongoClient[dict[str, Any]], administrator: MongoClient[dict[str, Any]], number: int, action: str
) -> None:
    administrator.admin.command("updateRole", KEEPER_ROLE, **without(keeper_role(), number, action))
    (line,) = missing_privileges(keeper, DEMOTING)
    resource = keeper_role()["privileges"][number]["resource"]
    where = "cluster" if "db" not in resource else f"database {resource['db']}" if resource["db"] else "all databases"
    assert line.startswith(f"{action} on {where} (")
    with pytest.raises(MongoError):  # noqa: PT012
        demote(keeper, "a-release", DATABASE, 5)
        put_back(keeper, "a-release")
