"""What a release cannot carry over is refused by name, before anything is done."""

from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from nmdc_release_ops.mongo.preflight import inspect_collections
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.topology import describe_server


@pytest.mark.parametrize(
    ("what", "options", "message"),
    [
        ("a capped collection", {"capped": True, "size": 4096}, "odd_set is a collection with the option capped"),
        ("a time series", {"timeseries": {"timeField": "t"}}, "odd_set is a timeseries"),
        ("a view", {"viewOn": "plain_set", "pipeline": []}, "odd_set is a view"),
        ("a clustered collection", {"clusteredIndex": {"key": {"_id": 1}, "unique": True}}, None),
        ("a collection with a collation", {"collation": {"locale": "fr"}}, None),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) and value.startswith("a ") else "",
)
def test_a_collection_is_carried_over_or_refused_by_name(
    scratch_mongod: PrivateMongod, what: str, options: dict[str, Any], message: str | None
) -> None:
    with MongoClient[Any](scratch_mongod.uri) as client:
        name = f"preflight_{ObjectId()}"
        client[name].create_collection("odd_set", **options)
        client[name].plain_set.insert_one({})
        found = inspect_collections(client, describe_server(client, name), name, ["odd_set", "plain_set"])
        client.drop_database(name)
    if message is None:
        assert found.problems == ()
    else:
        (problem,) = found.problems
        assert problem.startswith(f"{message}, which a release cannot carry over.")
