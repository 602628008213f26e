"""The users and roles of a server: who may do what, as the server reports it.

Passwords and credentials are never read: `usersInfo` leaves them out unless asked.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pymongo import MongoClient
from pymongo.errors import OperationFailure

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.connection import Document, is_unauthorized

ADMIN = "admin"
_NAMES_AT_ONCE = 100
_NAMES_SHOWN = 20


class AccountsHidden(MongoError):
    """Our user may not list the users and roles of the server."""


class Name(NamedTuple):
    """The name of a user or a role, and the database in which it is defined."""

    database: str
    name: str

    def __str__(self) -> str:
        return f"{self.name}@{self.database}"

    @property
    def as_role(self) -> Document:
        """As MongoDB's commands take the name of a role."""
        return {"role": self.name, "db": self.database}

    @classmethod
    def of_role(cls, document: Mapping[str, Any]) -> "Name":
        return cls(document["db"], document["role"])

    @classmethod
    def of_user(cls, document: Mapping[str, Any]) -> "Name":
        return cls(document["db"], document["user"])


@dataclass(frozen=True)
class Role:
    """A role.

    Attributes:
        privileges: its own, as `createRole` takes them.
        roles: those that it inherits from directly.
        effective: its own privileges and all that it inherits.
    """

    name: Name
    privileges: tuple[Document, ...]
    roles: tuple[Name, ...]
    effective: tuple[Document, ...]
    built_in: bool


@dataclass(frozen=True)
class User:
    """A user, without anything that has to do with logging in."""

    name: Name
    roles: tuple[Name, ...]


@dataclass(frozen=True)
class Accounts:
    """All users and roles of a server.

    Attributes:
        roles: every custom role, every role that a user or role holds, and every built-in role of `admin`. A role that is
            held and not in here does not exist.
        own_users: the users that we are logged in as.
        own_roles: our roles, and all that they inherit.
    """

    users: Mapping[Name, User]
    roles: Mapping[Name, Role]
    own_users: frozenset[Name]
    own_roles: frozenset[Name]

    def privileges_of(self, user: User) -> list[Document]:
        """All privileges that a user has by its roles."""
        return [privilege for name in user.roles if name in self.roles for privilege in self.roles[name].effective]

    def held_roles(self) -> set[Name]:
        """Every role that a user has or another role inherits."""
        return _held(self.users, self.roles)

    def others(self) -> list[User]:
        """Every user but the one that we are logged in as."""
        return [user for name, user in sorted(self.users.items()) if name not in self.own_users]


def read_accounts(client: MongoClient[Document], database: str) -> Accounts:
    """Ask the server for all its users and roles. Roles of `database` are included even if the server does not list it.

    Raises:
        AccountsHidden: naming the privileges that are needed.
    """
    try:
        login = client.admin.command("connectionStatus")["authInfo"]
        users = read_users(client)
        roles = _defined_roles(client, {ADMIN, database, *client.list_database_names()} - {"local"})
        # A database that holds roles and no data is not listed; its roles are found where they are held.
        while unknown := _held(users, roles) - roles.keys():
            held_elsewhere = read_roles(client, unknown)
            roles |= held_elsewhere
            if not held_elsewhere:
                break
        roles |= read_roles(client, {Name(name.database, "read") for name in roles if name.name == "readWrite"})
    except OperationFailure as error:
        if is_unauthorized(error):
            raise AccountsHidden(
                "The user in NMDC_ORIGIN_URI is not allowed to list users and roles. It needs viewUser on the cluster, and "
                "viewRole on all databases and on config and local (docs/operator-role.md)."
            ) from error
        raise
    return Accounts(
        users=users,
        roles=roles,
        own_users=frozenset(Name.of_user(user) for user in login["authenticatedUsers"]),
        own_roles=frozenset(Name.of_role(role) for role in login["authenticatedUserRoles"]),
    )


def read_users(client: MongoClient[Document]) -> dict[Name, User]:
    """Every user of every database."""
    listed = client.admin.command("usersInfo", {"forAllDBs": True})["users"]
    return {user.name: user for user in map(_user, listed)}


def read_user(client: MongoClient[Document], name: Name) -> User | None:
    """One user, None if it does not exist."""
    # Asking for one by name requires viewUser on its database; filtering all users does not.
    users = client.admin.command("usersInfo", {"forAllDBs": True}, filter={"user": name.name, "db": name.database})[
        "users"
    ]
    return _user(users[0]) if users else None


def read_roles(client: MongoClient[Document], names: Iterable[Name]) -> dict[Name, Role]:
    """Those of the named roles that exist, built-in ones included."""
    wanted = sorted(names)
    roles: dict[Name, Role] = {}
    for start in range(0, len(wanted), _NAMES_AT_ONCE):
        asked = [name.as_role for name in wanted[start : start + _NAMES_AT_ONCE]]
        roles |= _roles(client.admin.command("rolesInfo", asked, showPrivileges=True))
    return roles


def read_role(client: MongoClient[Document], name: Name) -> Role | None:
    """One role, None if it does not exist."""
    return read_roles(client, [name]).get(name)


def warn_of_users(users: Sequence[Name], ability: str) -> Iterator[str]:
    """A warning that names the users and what they can do; none if there are no users."""
    if users:
        names = ", ".join(str(user) for user in users[:_NAMES_SHOWN])
        more = f" and {len(users) - _NAMES_SHOWN} more" if len(users) > _NAMES_SHOWN else ""
        yield f"{names}{more}: {'this user' if len(users) == 1 else 'these users'} {ability}. Make sure that they do not."


def _defined_roles(client: MongoClient[Document], databases: Iterable[str]) -> dict[Name, Role]:
    roles: dict[Name, Role] = {}
    for database in sorted(databases):
        roles |= _roles(
            client[database].command("rolesInfo", 1, showPrivileges=True, showBuiltinRoles=database == ADMIN)
        )
    return roles


def _held(users: Mapping[Name, User], roles: Mapping[Name, Role]) -> set[Name]:
    held = {name for user in users.values() for name in user.roles}
    return held | {name for role in roles.values() for name in role.roles}


def _roles(answer: Document) -> dict[Name, Role]:
    roles = (
        Role(
            name=Name.of_role(role),
            privileges=tuple(role["privileges"]),
            roles=tuple(Name.of_role(inherited) for inherited in role["roles"]),
            effective=tuple(role["inheritedPrivileges"]),
            built_in=role["isBuiltin"],
        )
        for role in answer["roles"]
    )
    return {role.name: role for role in roles}


def _user(document: Document) -> User:
    return User(Name.of_user(document), tuple(Name.of_role(role) for role in document["roles"]))
