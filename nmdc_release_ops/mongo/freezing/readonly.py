"""Who can write to a database, and what is left of each role and user when it may only read.

The privileges of each role, built-in roles included, are those that the server reports. So no account gains a privilege that
it did not have, on any version.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freezing.accounts import ADMIN, Accounts, Name, Role, User
from nmdc_release_ops.mongo.server.connection import Document

# Any other action counts as writing: a later version of MongoDB may add actions that are unknown here.
READING_ACTIONS = frozenset(
    {
        *("find", "changeStream", "killCursors", "listCollections", "listIndexes", "listSearchIndexes"),
        *("collStats", "dbStats", "dbHash", "indexStats", "storageDetails", "validate", "checkMetadataConsistency"),
        *("planCacheRead", "planCacheWrite", "planCacheIndexFilter", "splitVector", "getDatabaseVersion"),
        *("getShardVersion", "listCachedAndActiveUsers", "viewRole", "viewUser"),
    }
)
ACCOUNT_ACTIONS = frozenset(
    {
        *("changeOwnPassword", "changeOwnCustomData", "changePassword", "changeCustomData", "createUser", "dropUser"),
        *("createRole", "dropRole", "grantRole", "revokeRole", "setAuthenticationRestriction"),
    }
)
"""Actions that manage users and roles. Accounts keep them; `plan` warns of users who could use them to write."""
_KEPT_ON_DATA = READING_ACTIONS | ACCOUNT_ACTIONS
_WRITING_ON_CLUSTER = frozenset({"anyAction", "applyOps", "importCollection", "internal", "runTenantMigration"})
_ACCOUNT_COLLECTIONS = ("system.users", "system.roles", "system.backup_users", "tempusers", "temproles")
_DOCUMENT_ACTIONS = frozenset({"insert", "update", "remove"})
_SELF_PROMOTING = frozenset({"grantRole", "changePassword"})
_READERS = {"readWrite": "read", "readWriteAnyDatabase": "readAnyDatabase"}
_BYPASS = "bypassWriteBlockingMode"

Comparable = frozenset[tuple[frozenset[tuple[str, Any]], frozenset[str]]]


class RoleMissing(MongoError):
    """A user or role holds a role that does not exist."""


class Kind(StrEnum):
    """The kinds of accounts."""

    ROLE = "role"
    USER = "user"
    STAND_IN = "stand-in"
    """A role that a freeze creates, to be held instead of a built-in one that has no read-only equivalent."""


class Definition(BaseModel):
    """The part of a role or a user that a freeze changes. A user has privileges only by its roles."""

    model_config = ConfigDict(frozen=True)

    privileges: list[Document]
    roles: list[Document]

    @classmethod
    def of(cls, account: Role | User) -> Self:
        privileges = list(account.privileges) if isinstance(account, Role) else []
        return cls(privileges=privileges, roles=[name.as_role for name in account.roles])

    def is_same_as(self, other: "Definition | None") -> bool:
        """Whether both allow the same in the same way.

        The server returns the inherited roles of an account in no particular order, so order is ignored.
        """
        if other is None:
            return False
        ours, theirs = ({Name.of_role(role) for role in one.roles} for one in (self, other))
        return ours == theirs and _comparable(self.privileges) == _comparable(other.privileges)


class Demotion(BaseModel):
    """One account, before a freeze and during it.

    Attributes:
        before: None for a stand-in, which does not exist before.
    """

    model_config = ConfigDict(frozen=True)

    kind: Kind
    name: Name
    before: Definition | None
    during: Definition

    def __str__(self) -> str:
        return f"{'user' if self.kind is Kind.USER else 'role'} {self.name}"


def demotions(accounts: Accounts, database: str, release_id: str) -> list[Demotion]:
    """The changes, stand-ins first, after which nobody but ourselves can write to `database`.

    "Ourselves" are the users that we are logged in as, and their roles. Nobody loses a way to read.

    Raises:
        RoleMissing: an account could not be put back.
    """
    reader = Reader.of(accounts, database)
    stand_ins: dict[Name, Demotion] = {}
    changed: list[Demotion] = []
    for role in accounts.roles.values():
        if not _is_fixed(role, accounts):
            changed += _demotion(Kind.ROLE, role, _read_only_role(role, accounts, reader))
    for user in accounts.others():
        roles: list[Name] = []
        for name in user.roles:
            instead = _instead_of(name, accounts, reader)
            roles += instead.roles
            if instead.privileges:
                stand_in = _stand_in(name, instead.privileges, release_id)
                stand_ins[stand_in.name] = stand_in
                roles.append(stand_in.name)
        changed += _demotion(Kind.USER, user, _definition([], roles))
    for demotion in changed:
        _require_roles(demotion, accounts)
    return [*stand_ins.values(), *changed]


@dataclass(frozen=True)
class Reader:
    """Finds the part of a privilege that only reads.

    Attributes:
        database: the one that users cannot write to.
        known_actions: all actions that the server knows.
        cluster_actions: those of them that apply to the cluster as a whole.
    """

    database: str
    known_actions: frozenset[str]
    cluster_actions: frozenset[str]

    @classmethod
    def of(cls, accounts: Accounts, database: str) -> Self:
        built_in = [privilege for role in accounts.roles.values() if role.built_in for privilege in role.effective]
        return cls(
            database=database,
            known_actions=_actions(built_in),
            cluster_actions=_actions(one for one in built_in if one["resource"].get("cluster")),
        )

    def reading_part(self, privileges: Iterable[Document]) -> list[Document]:
        """`privileges` without the actions that write to the database, or to the collections of users and roles."""
        kept = (
            {"resource": one["resource"], "actions": sorted(self._keep_reading(one["resource"], set(one["actions"])))}
            for one in privileges
        )
        return [privilege for privilege in kept if privilege["actions"]]

    def _keep_reading(self, resource: Document, actions: set[str]) -> set[str]:
        if resource.get("cluster"):
            return actions - _WRITING_ON_CLUSTER
        if resource.get("anyResource"):
            harmless = (_KEPT_ON_DATA & self.known_actions) | (self.cluster_actions - _WRITING_ON_CLUSTER)
            # `anyAction` becomes all actions except those that write.
            return set(harmless) if "anyAction" in actions else actions & harmless
        if resource.get("db", "") in ("", self.database):
            return actions & _KEPT_ON_DATA
        holds_accounts = resource["db"] == ADMIN and resource.get("collection") in _ACCOUNT_COLLECTIONS
        return actions - _DOCUMENT_ACTIONS if holds_accounts else actions


def who_could_undo_it(accounts: Accounts, database: str) -> list[Name]:
    """Other users that may grant themselves roles, or change passwords, and so could write in spite of a demotion."""
    return [
        user.name for user in accounts.others() if any(_promotes(one, database) for one in accounts.privileges_of(user))
    ]


def who_bypasses_a_block(accounts: Accounts) -> list[Name]:
    """Other users that a write block does not prevent from writing."""
    return [
        user.name
        for user in accounts.others()
        if any({_BYPASS, "anyAction"} & set(privilege["actions"]) for privilege in accounts.privileges_of(user))
    ]


@dataclass(frozen=True)
class _Instead:
    """What replaces a role: other roles (itself, where it may stay), or privileges."""

    roles: tuple[Name, ...] = ()
    privileges: tuple[Document, ...] = ()


def _instead_of(name: Name, accounts: Accounts, reader: Reader) -> _Instead:
    role = accounts.roles.get(name)
    if role is None or not _is_fixed(role, accounts):
        return _Instead(roles=(name,))
    rest = reader.reading_part(role.effective)
    if _comparable(rest) == _comparable(role.effective):
        return _Instead(roles=(name,))
    equivalent = accounts.roles.get(Name(name.database, _READERS.get(name.name, "")))
    if role.built_in and equivalent and _comparable(equivalent.effective) == _comparable(rest):
        return _Instead(roles=(equivalent.name,))
    return _Instead(privileges=tuple(rest))


def _is_fixed(role: Role, accounts: Accounts) -> bool:
    """Whether a role is not changed, but replaced where others hold it: built-in roles, and ours."""
    return role.built_in or role.name in accounts.own_roles


def _read_only_role(role: Role, accounts: Accounts, reader: Reader) -> Definition:
    privileges = reader.reading_part(role.privileges)
    roles: list[Name] = []
    for name in role.roles:
        instead = _instead_of(name, accounts, reader)
        roles += instead.roles
        privileges += instead.privileges
    return _definition(privileges, roles)


def _definition(privileges: Iterable[Document], roles: Iterable[Name]) -> Definition:
    return Definition(privileges=_merge(privileges), roles=[name.as_role for name in dict.fromkeys(roles)])


def _stand_in(name: Name, privileges: Iterable[Document], release_id: str) -> Demotion:
    return Demotion(
        kind=Kind.STAND_IN,
        name=Name(ADMIN, f"nmdc_release_ops reading part of {name} ({release_id})"),
        before=None,
        during=_definition(privileges, []),
    )


def _demotion(kind: Kind, account: Role | User, during: Definition) -> Iterator[Demotion]:
    before = Definition.of(account)
    if not during.is_same_as(before):
        yield Demotion(kind=kind, name=account.name, before=before, during=during)


def _require_roles(demotion: Demotion, accounts: Accounts) -> None:
    roles = demotion.before.roles if demotion.before else []
    missing = [str(name) for name in map(Name.of_role, roles) if name not in accounts.roles]
    if missing:
        raise RoleMissing(
            f"The {demotion} has the role {', '.join(missing)}, which does not exist, so it could not be put back after "
            "a freeze. Create that role, or revoke it."
        )


def _promotes(privilege: Document, database: str) -> bool:
    resource = privilege["resource"]
    where = resource.get("anyResource") or (not resource.get("cluster") and resource.get("db") in ("", ADMIN, database))
    return bool(where) and bool((_SELF_PROMOTING | {"anyAction"}) & set(privilege["actions"]))


def _actions(privileges: Iterable[Document]) -> frozenset[str]:
    return frozenset(action for privilege in privileges for action in privilege["actions"])


def _merge(privileges: Iterable[Document]) -> list[Document]:
    """One privilege for each resource, as the server merges them."""
    resources: dict[frozenset[tuple[str, Any]], Document] = {}
    actions: dict[frozenset[tuple[str, Any]], set[str]] = {}
    for privilege in privileges:
        key = frozenset(privilege["resource"].items())
        resources.setdefault(key, privilege["resource"])
        actions.setdefault(key, set()).update(privilege["actions"])
    return [{"resource": resources[key], "actions": sorted(actions[key])} for key in resources]


def _comparable(privileges: Iterable[Document]) -> Comparable:
    return frozenset(
        (frozenset(privilege["resource"].items()), frozenset(privilege["actions"])) for privilege in _merge(privileges)
    )
