"""Runs in a process of its own, so that its memory can be measured: a dump, or the load of a dump.

Arguments: "dump" or "load", the archive's folder, the database to dump, the database to load into.
Prints seconds.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from nmdc_release_ops.mongo.archive.manifest import read_manifest
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.transfer.dump import dump
from nmdc_release_ops.mongo.transfer.load import load


def main() -> None:
    work, folder, database, copy = sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4]
    with MongoClient[Any](os.environ["BENCH_URI"]) as client:
        client.admin.command("ping")
        started = time.monotonic()
        if work == "dump":
            names = json.loads(os.environ["BENCH_COLLECTIONS"])
            dump(client[database], names, folder, release_id="bench", cluster_time=ClusterTime(seconds=1, increment=1))
        else:
            load(folder, read_manifest(folder), client[copy])
        print(time.monotonic() - started)


main()
