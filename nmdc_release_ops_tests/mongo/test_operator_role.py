"""The operator's role: the page that documents it, the code that checks for it and the stack that creates it agree."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from nmdc_release_ops.mongo.privileges import OPERATOR_ROLE, missing_privileges, needed_privileges, operator_role
from nmdc_release_ops.mongo.server import PrivateMongod, private_mongod

PROJECT = Path(__file__).parent.parent.parent
PAGE = PROJECT / "docs" / "operator-role.md"
INITIALIZE = PROJECT / "docker" / "mongo" / "initialize.js"
DATABASE = "nmdc"
USER = "operator"
PASSWORD = "of the test"


def role_on_the_page() -> dict[str, Any]:
    """The argument of `createRole`, without the role's name."""
    (argument,) = re.findall(r"db\.createRole\((\{.*?\n\})\)", PAGE.read_text(), flags=re.DOTALL)
    role: dict[str, Any] = json.loads(argument)
    assert role.pop("role") == OPERATOR_ROLE
    return role


def role_of_the_stack() -> dict[str, Any]:
    """What initialize.js creates for the operator: a literal that is JSON too."""
    (literal,) = re.findall(
        r"^const OPERATOR_ROLE = (\{.*?^\});$", INITIALIZE.read_text(), flags=re.DOTALL | re.MULTILINE
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
        client.admin.command("createUser", USER, pwd=PASSWORD, roles=[OPERATOR_ROLE])
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
    assert role_on_the_page() == operator_role(DATABASE)


def test_the_stack_creates_the_role_that_a_release_needs() -> None:
    assert role_of_the_stack() == operator_role(DATABASE)


def test_the_page_says_what_every_action_is_for() -> None:
    explained = set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\|.*\|$", PAGE.read_text(), flags=re.MULTILINE))))
    needed = {action for _, action in single_actions(operator_role(DATABASE))}
    assert needed - explained == set()


def test_the_page_checks_the_role_by_the_numbers_of_its_actions() -> None:
    said = re.findall(r"^// (\S.*): (\d+) actions?$", PAGE.read_text(), flags=re.MULTILINE)
    role = operator_role(DATABASE)
    expected = [
        (privilege["resource"].get("db", "cluster"), str(len(privilege["actions"]))) for privilege in role["privileges"]
    ]
    assert sorted(said) == sorted(expected)


def test_a_user_with_the_role_of_the_page_lacks_nothing(operator: MongoClient[dict[str, Any]]) -> None:
    assert missing_privileges(operator, DATABASE) == []


@pytest.mark.parametrize(("number", "action"), single_actions(operator_role(DATABASE)))
def test_an_action_that_the_role_lacks_is_named(
    operator: MongoClient[dict[str, Any]], administrator: MongoClient[dict[str, Any]], number: int, action: str
) -> None:
    administrator.admin.command("updateRole", OPERATOR_ROLE, **without(role_on_the_page(), number, action))
    (line,) = missing_privileges(operator, DATABASE)
    resource = role_on_the_page()["privileges"][number]["resource"]
    where = f"database {resource['db']}" if "db" in resource else "cluster"
    (purpose,) = {
        needed.purpose
        for needed in needed_privileges(DATABASE)
        if needed.database == resource.get("db") and action in needed.actions
    }
    assert line == f"{action} on {where} ({purpose})"
