"""Documents and keys as the tests of this room write and compare them."""

from collections.abc import Iterable, Mapping
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from nmdc_release_ops.mongo.delta.delta import Delta
from nmdc_release_ops.mongo.delta.keys import key_of
from nmdc_release_ops.mongo.delta.read import read_at
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.raw import RAW


def key(identifier: Any) -> bytes:
    """The key of a document with this `_id`, as the driver encodes it."""
    return bson.encode({"_id": identifier})


def keys(*identifiers: Any) -> set[bytes]:
    return {key(identifier) for identifier in identifiers}


def contents(database: Database[Any], name: str) -> dict[bytes, bytes]:
    """The documents of a collection as bytes, by key."""
    found = (document.raw for document in database.get_collection(name, codec_options=RAW).find({}))
    return {key_of(document): document for document in found}


def keys_in(delta: Delta) -> dict[str, set[bytes]]:
    return {name: set(delta.keys(name)) for name in delta.counts}


def patched(
    before: Mapping[bytes, bytes], database: Database[Any], name: str, keys: Iterable[bytes], moment: ClusterTime
) -> dict[bytes, bytes]:
    """What a collection was before, with the documents of a delta as they were at a moment."""
    after = dict(before)
    for one, document in read_at(database, name, keys, moment):
        if document is None:
            after.pop(one, None)
        else:
            after[one] = document
    return after


def insert_raw(database: Database[Any], name: str, *documents: bytes) -> None:
    database.get_collection(name, codec_options=RAW).insert_many(map(RawBSONDocument, documents))
