"""A collection's options and indexes in an archive: canonical Extended JSON, in a file of their own as `mongodump` writes it."""

import gzip
import json
from pathlib import Path
from typing import Any

from bson import json_util
from bson.codec_options import DatetimeConversion

from nmdc_release_ops.mongo.server.collections import Collection

_EXTENDED_JSON = json_util.CANONICAL_JSON_OPTIONS.with_options(datetime_conversion=DatetimeConversion.DATETIME_AUTO)


def write_metadata(path: Path, collection: Collection) -> None:
    """Write a collection's options and indexes as `mongodump --gzip` does."""
    metadata = {
        "options": to_extended_json(dict(collection.options)),
        "indexes": [to_extended_json(dict(index)) for index in collection.indexes],
        "uuid": collection.uuid.hex if collection.uuid else "",
        "collectionName": collection.name,
        "type": collection.kind,
    }
    with gzip.open(path, "wt", encoding="utf-8") as file:
        json.dump(metadata, file)


def to_extended_json(value: dict[str, Any]) -> dict[str, Any]:
    """A document as canonical Extended JSON, ready for a JSON encoder."""
    return dict(json.loads(json_util.dumps(value, json_options=_EXTENDED_JSON)))


def from_extended_json(value: dict[str, Any]) -> dict[str, Any]:
    """The reverse of `to_extended_json`."""
    return dict(json_util.loads(json.dumps(value), json_options=_EXTENDED_JSON))
