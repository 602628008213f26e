"""Whether the user of a connection may do what a release needs. The role is described in docs/operator-role.md."""

from dataclasses import dataclass

from pymongo import MongoClient

from nmdc_release_ops.mongo.connection import Document

STATE_DATABASE = "nmdc_release_ops"
"""Where the project keeps its own state on the origin's server: lease, journal, saved roles."""


@dataclass(frozen=True)
class Needed:
    """Actions that a release needs on one resource.

    Attributes:
        database: name, or None for the cluster as a whole.
        actions: MongoDB's names of them.
        purpose: what for, in the operator's words.
    """

    database: str | None
    actions: frozenset[str]
    purpose: str


def needed_privileges(database: str) -> tuple[Needed, ...]:
    """What a release needs on the origin's server."""
    return (
        Needed(None, frozenset({"setUserWriteBlockMode", "bypassWriteBlockingMode"}), "to freeze"),
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
    return {
        "privileges": [
            {
                "resource": {"db": needed.database, "collection": ""} if needed.database else {"cluster": True},
                "actions": sorted(needed.actions),
            }
            for needed in _merged(needed_privileges(database))
        ],
        "roles": [],
    }


def _merged(all_needed: tuple[Needed, ...]) -> list[Needed]:
    """One entry for each resource."""
    actions: dict[str | None, frozenset[str]] = {}
    for needed in all_needed:
        actions[needed.database] = actions.get(needed.database, frozenset()) | needed.actions
    return [Needed(name, found, "") for name, found in actions.items()]


def missing_privileges(client: MongoClient[Document], database: str) -> list[str]:
    """What the logged-in user lacks, one line each; empty where nothing is.

    A privilege on one collection does not count: a release meets collections that nobody knows yet.
    """
    status = client.admin.command("connectionStatus", showPrivileges=True)
    granted = status["authInfo"].get("authenticatedUserPrivileges", [])
    lines = []
    for needed in needed_privileges(database):
        lacking = needed.actions - _actions_on(granted, needed.database)
        if lacking:
            where = f"database {needed.database}" if needed.database else "cluster"
            lines.append(f"{', '.join(sorted(lacking))} on {where} ({needed.purpose})")
    return lines


def _actions_on(granted: list[Document], database: str | None) -> frozenset[str]:
    actions: set[str] = set()
    for privilege in granted:
        resource = privilege["resource"]
        everything = resource.get("anyResource", False)
        if database is None:
            applies = everything or resource.get("cluster", False)
        else:
            applies = everything or (resource.get("db") in ("", database) and resource.get("collection") == "")
        if applies:
            actions.update(privilege["actions"])
    return frozenset(actions)
