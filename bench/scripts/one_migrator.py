"""Runs in a schema release's environment: one migrator, on a release's own adapter or on ours.

Arguments: database, module of the migrator, "theirs" or "ours", and where to write a profile (optional).
Prints what `upgrade` alone took, in seconds.
"""

import cProfile
import importlib
import json
import os
import sys
import time
from typing import Any

from bson.codec_options import DatetimeConversion
from nmdc_schema.migrators.adapters.mongo_adapter import MongoAdapter
from pymongo import MongoClient
from worker.migrating.adapter import Outcome, make_adapter


def main() -> None:
    name, module, whose, *profile = sys.argv[1:]
    client: MongoClient[dict[str, Any]] = MongoClient(
        os.environ["NMDC_TRANSFORMER_URI"], datetime_conversion=DatetimeConversion.DATETIME_AUTO
    )
    outcome = Outcome()
    adapter = MongoAdapter(client[name]) if whose == "theirs" else make_adapter(client[name], MongoAdapter, outcome)
    upgrade = importlib.import_module(f"nmdc_schema.migrators.{module}").Migrator(adapter=adapter).upgrade
    profiler = cProfile.Profile()
    if profile:
        profiler.enable()
    started = time.monotonic()
    upgrade(commit_changes=True)
    seconds = time.monotonic() - started
    if profile:
        profiler.disable()
        profiler.dump_stats(profile[0])
    sys.stdout.write(json.dumps({"seconds": seconds, "written": sum(outcome.written.values())}))


main()
