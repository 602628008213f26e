"""Everything about the origin that a release might change, to compare before and after."""

from typing import Any

from pymongo import MongoClient

from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.server.collections import collection_hashes, list_collections
from nmdc_release_ops.mongo.server.comparison import comparable_indexes

Facts = dict[str, Any]


def look_at(client: MongoClient[Any]) -> Facts:
    """Everything about the database that a release might change."""
    database = client[DATABASE]
    found = {name: one for name, one in list_collections(database).items() if not name.startswith("_release.")}
    collections = {name: one for name, one in found.items() if one.kind == "collection"}
    return {
        "uuids": {name: one.uuid for name, one in collections.items()},
        "indexes": {name: comparable_indexes(one.indexes) for name, one in collections.items()},
        "options": {name: dict(one.options) for name, one in found.items()},
        "hashes": collection_hashes(database, collections),
        "roles": in_any_order(client.admin.command("rolesInfo", 1, showPrivileges=True)["roles"]),
        "users": in_any_order(client.admin.command("usersInfo", 1, showCredentials=True)["users"]),
    }


def in_any_order(value: Any) -> Any:
    """Lists sorted, since the server gives inherited roles and privileges in whatever order they come."""
    if isinstance(value, dict):
        return {key: in_any_order(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return sorted((in_any_order(inner) for inner in value), key=repr)
    return value
