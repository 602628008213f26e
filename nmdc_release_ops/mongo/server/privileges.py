"""Whether the user of a connection has the privileges that something needs."""

from collections.abc import Iterable
from dataclasses import dataclass

from pymongo import MongoClient

from nmdc_release_ops.mongo.server.connection import Document


@dataclass(frozen=True)
class Needed:
    """Actions that are needed on one resource.

    Attributes:
        database: name, "" for all databases, or None for the cluster as a whole.
        actions: MongoDB's names of them.
        purpose: what they are needed for, in the operator's words.
    """

    database: str | None
    actions: frozenset[str]
    purpose: str


# A privilege on all databases does not extend to these (the server's own rule).
NOT_AMONG_ALL = ("config", "local")


def missing_privileges(client: MongoClient[Document], all_needed: Iterable[Needed]) -> list[str]:
    """What the logged-in user lacks, one line each.

    A privilege on one collection does not count: a release works on collections that are not known in advance.
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
    names = (database,) if database in NOT_AMONG_ALL else ("", database)
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
