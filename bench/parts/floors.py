"""`floors`: what nobody can do without, each alone: how fast this machine and its mongod read, hash, copy and compress."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from isal import igzip

from bench.data import AGGREGATES, DATABASE, Data
from bench.report.table import Row
from nmdc_release_ops.mongo.archive.blocks import read_documents, read_runs
from nmdc_release_ops.mongo.server.collections import collection_hashes
from nmdc_release_ops.mongo.server.raw import RawWriter, read_raw

_COPY = "bench_floor"
_LEVEL = 2


def measure(data: Data) -> Iterator[Row]:
    """A row for each. They run in this process, one after another, one thread each."""
    database = data.client[DATABASE]
    archived = data.manifest.collections
    largest = next(one for one in archived if one.name == AGGREGATES)

    def read() -> None:
        for name in data.names:
            for _ in read_raw(database[name]):
                pass

    def uncompress() -> None:
        for one in archived:
            for number in range(1, len(one.blocks) + 1):
                for _ in read_runs(data.archive, one, number):
                    pass

    def compress() -> None:
        for number in range(1, len(largest.blocks) + 1):
            for run in read_runs(data.archive, largest, number):
                igzip.compress(run, _LEVEL)

    def insert() -> None:
        writer = RawWriter(data.client[_COPY], AGGREGATES)
        for document in read_documents(data.archive, largest):
            writer.add(document)
        writer.flush()

    def copy() -> None:
        database[AGGREGATES].aggregate([{"$out": {"db": _COPY, "coll": "copied"}}])

    def row(key: str, what: str, work: Callable[[], Any], documents: int) -> Row:
        started = time.monotonic()
        work()
        return Row(data.documents, f"floors.{key}", what, time.monotonic() - started, processed=documents)

    everything, aggregates = data.documents, largest.documents
    try:
        yield row("read", "reading everything from mongod, undecoded", read, everything)
        yield row("hash", "`dbHash` of everything", lambda: collection_hashes(database, data.names), everything)
        yield row("uncompress", "uncompressing the archive, verified", uncompress, everything)
        yield row("compress", "uncompressing and compressing the aggregates", compress, aggregates)
        yield row("insert", "inserting the aggregates, without an index", insert, aggregates)
        yield row("copy", "copying the aggregates within the server (`$out`)", copy, aggregates)
    finally:
        data.client.drop_database(_COPY)
