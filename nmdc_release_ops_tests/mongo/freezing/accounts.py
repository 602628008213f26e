"""The roles and users of a server, to compare before and after."""

import json
from typing import Any

from pymongo import MongoClient


def accounts_of(root: MongoClient[Any]) -> dict[str, list[Any]]:
    """Every role and user as the server stores it, credentials included; only the order of roles is the server's own."""
    found = {name: list(root.admin[f"system.{name}"].find().sort("_id")) for name in ("roles", "users")}
    for account in (*found["roles"], *found["users"]):
        account["roles"].sort(key=json.dumps)
    return found
