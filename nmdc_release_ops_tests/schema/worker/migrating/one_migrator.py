"""Runs in a schema release's environment: one migrator, on a release's own adapter or on ours.

Arguments: database, module of the migrator, "theirs" or "ours".
"""

import importlib
import inspect
import os
import sys
from typing import Any

from bson.codec_options import DatetimeConversion
from nmdc_schema.migrators.adapters.mongo_adapter import MongoAdapter
from pymongo import MongoClient
from worker.migrating.adapter import Outcome, make_adapter


def main() -> None:
    name, module, whose = sys.argv[1:]
    client: MongoClient[dict[str, Any]] = MongoClient(
        os.environ["NMDC_TRANSFORMER_URI"], datetime_conversion=DatetimeConversion.DATETIME_AUTO
    )
    adapter = MongoAdapter(client[name]) if whose == "theirs" else make_adapter(client[name], MongoAdapter, Outcome())
    upgrade = importlib.import_module(f"nmdc_schema.migrators.{module}").Migrator(adapter=adapter).upgrade
    upgrade(**({"commit_changes": True} if "commit_changes" in inspect.signature(upgrade).parameters else {}))


main()
