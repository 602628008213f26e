"""Whether the user of a connection may do what a release needs. The role is described in docs/operator-role.md."""

from collections.abc import Iterable
from dataclasses import dataclass

from pymongo import MongoClient

from nmdc_release_ops.mongo.connection import Document

STATE_DATABASE = "nmdc_release_ops"
"""Where the project keeps its own state on the origin's server: lease, journal, saved roles."""


@dataclass(frozen=True)
class Needed:
    """Actions that a release needs on one resource.

    Attributes:
        database: name, "" for all databases, or None for the cluster as a whole.
        actions: MongoDB's names of them.
        purpose: what for, in the operator's words.
    """

    database: str | None
    actions: frozenset[str]
    purpose: str


BLOCKING = (Needed(None, frozenset({"setUserWriteBlockMode", "bypassWriteBlockingMode"}), "to freeze"),)
"""What freezing by a write block takes."""
LOOKING_AHEAD = (
    Needed(None, frozenset({"getParameter"}), "to see before the freeze whether the server can block writes"),
)
"""With it, `plan` can check that blocking writes will work. Without it `plan` warns, and `freeze` finds out."""

# A privilege on all databases does not extend to these (the server's own rule).
_NOT_AMONG_ALL = ("config", "local")
_LOOKING = (
    Needed(None, frozenset({"viewUser"}), "to list users"),
    *(Needed(name, frozenset({"viewRole"}), "to see what roles allow") for name in ("", *_NOT_AMONG_ALL)),
)
DEMOTING = (
    *_LOOKING,
    Needed("", frozenset({"revokeRole"}), "to make users and roles read-only"),
    *(Needed(name, frozenset({"grantRole"}), "to put users and roles back") for name in ("", *_NOT_AMONG_ALL)),
    Needed("admin", frozenset({"createRole", "dropRole"}), "to make roles that stand in for built-in ones"),
)
"""What freezing by demotion takes. Whoever may do this may do anything."""


def needed_privileges(database: str) -> tuple[Needed, ...]:
    """What a release needs on the origin's server, freezing by a write block included."""
    return (*BLOCKING, *LOOKING_AHEAD, *release_privileges(database))


def release_privileges(database: str) -> tuple[Needed, ...]:
    """What a release needs on the origin's server, however the origin is frozen."""
    return (
        Needed(None, frozenset({"serverStatus", "inprog"}), "to see whether the origin is frozen, and who writes"),
        Needed(
            database,
            frozenset({"find", "listCollections", "listIndexes", "collStats", "dbStats", "dbHash", "changeStream"}),
            "to read, and to compare",
        ),
        Needed(
            database,
            frozenset(
                {
                    "insert",
                    "collMod",
                    "createCollection",
                    "dropCollection",
                    "createIndex",
                    "renameCollectionSameDB",
                    "bypassDocumentValidation",
                }
            ),
            "to stage, to swap and to roll back",
        ),
        Needed(
            STATE_DATABASE,
            frozenset({"find", "insert", "update", "remove"}),
            "to keep the lease and the journal",
        ),
    )


OPERATOR_ROLE = "nmdc_release_operator"


def operator_role(database: str) -> Document:
    """The role of docs/operator-role.md, as `createRole` takes it: what a release needs on the origin and no more."""
    return _role(needed_privileges(database))


KEEPER_ROLE = "nmdc_release_role_keeper"


def keeper_role() -> Document:
    """The second, optional role of docs/operator-role.md, as `createRole` takes it: what freezing by demotion takes."""
    return _role(DEMOTING)


def _role(all_needed: tuple[Needed, ...]) -> Document:
    return {
        "privileges": [
            {
                "resource": {"cluster": True} if needed.database is None else {"db": needed.database, "collection": ""},
                "actions": sorted(needed.actions),
            }
            for needed in _merged(all_needed)
        ],
        "roles": [],
    }


def _merged(all_needed: tuple[Needed, ...]) -> list[Needed]:
    """One entry for each resource."""
    actions: dict[str | None, frozenset[str]] = {}
    for needed in all_needed:
        actions[needed.database] = actions.get(needed.database, frozenset()) | needed.actions
    return [Needed(name, found, "") for name, found in actions.items()]


def missing_privileges(client: MongoClient[Document], all_needed: Iterable[Needed]) -> list[str]:
    """What the logged-in user lacks, one line each; empty where nothing is.

    A privilege on one collection does not count: a release meets collections that nobody knows yet.
    """
    status = client.admin.command("connectionStatus", showPrivileges=True)
    granted = status["authInfo"].get("authenticatedUserPrivileges", [])
    lines = []
    for needed in all_needed:
        lacking = needed.actions - _actions_on(granted, needed.database)
        if lacking:
            lines.append(f"{', '.join(sorted(lacking))} on {_where(needed.database)} ({needed.purpose})")
    return lines


def _where(database: str | None) -> str:
    if database is None:
        return "cluster"
    return f"database {database}" if database else "all databases"


def _actions_on(granted: list[Document], database: str | None) -> frozenset[str]:
    names = (database,) if database in _NOT_AMONG_ALL else ("", database)
    actions: set[str] = set()
    for privilege in granted:
        resource = privilege["resource"]
        everything = resource.get("anyResource", False)
        if database is None:
            applies = everything or resource.get("cluster", False)
        else:
            applies = everything or (resource.get("db") in names and resource.get("collection") == "")
        if applies:
            actions.update(privilege["actions"])
    return frozenset(actions)
