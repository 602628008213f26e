"""The benchmark's data: the demo database of one size, and copies of it on the same server."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database

from bench.processes import peak_memory
from nmdc_release_ops.demo.origin import CACHE_GIGABYTES, DATABASE, DemoOrigin
from nmdc_release_ops.mongo.archive.manifest import Manifest
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.collections import list_collections
from nmdc_release_ops.mongo.transfer.dump import dump
from nmdc_release_ops.mongo.transfer.load import load
from nmdc_release_ops.schema.packages.package import SchemaPackages
from nmdc_release_ops.schema.version import SchemaVersion

# The release's own adapter migrates in transactions, which must not be ended because they take long.
_TRANSACTION_SECONDS = 24 * 60 * 60
LONG_AGO = ClusterTime(seconds=1, increment=1)
AGGREGATES = "functional_annotation_agg"

__all__ = ["AGGREGATES", "DATABASE", "LONG_AGO", "Data", "ResultsDiffer", "demo_data"]


class ResultsDiffer(Exception):
    """The compared programs had different results, so their seconds cannot be compared."""


class Data:
    """The demo database at schema 11.23.0 on a server of its own, for as long as `demo_data` lasts.

    Attributes:
        folder: for files of the measurements; removed in the end.
        archive: of the collections that the schema describes.
        manifest: of the archive.
    """

    def __init__(self, folder: Path, origin: DemoOrigin, client: MongoClient[Any], managed: frozenset[str]) -> None:
        self.folder = folder
        self.origin = origin
        self.client = client
        database = client[DATABASE]
        self.names = [name for name in list_collections(database) if name in managed]
        self.archive = folder / "archive"
        self.manifest: Manifest = dump(database, self.names, self.archive, release_id="bench", cluster_time=LONG_AGO)

    @property
    def documents(self) -> int:
        return self.manifest.documents

    @property
    def aggregates(self) -> int:
        """How many of the documents are aggregates."""
        return sum(one.documents for one in self.manifest.collections if one.name == AGGREGATES)

    @property
    def uri(self) -> str:
        return self.origin.server.uri

    @property
    def mongod_version(self) -> str:
        return str(self.client.server_info()["version"])

    @property
    def mongod_memory(self) -> int:
        """The server's peak memory so far, in bytes."""
        server = self.origin.server
        return peak_memory(server.pid) if isinstance(server, PrivateMongod) else 0

    @contextmanager
    def copy(self, name: str) -> Iterator[Database[Any]]:
        """The same documents with the same indexes in another database, which is dropped in the end."""
        database = self.client[name]
        load(self.archive, self.manifest, database)
        try:
            yield database
        finally:
            self.client.drop_database(name)

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """A new folder, removed in the end."""
        folder = self.folder / name
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


@contextmanager
def demo_data(folder: Path, scale: int, packages: SchemaPackages) -> Iterator[Data]:
    """About `scale` documents, in `folder`, for as long as the block lasts."""
    managed = packages.fetch(SchemaVersion.parse("11.23.0")).collections()
    server = PrivateMongod.start(
        folder / "origin", cache_gigabytes=CACHE_GIGABYTES, transaction_seconds=_TRANSACTION_SECONDS
    )
    origin = DemoOrigin.fill(server, scale=scale, log=lambda _: None)
    try:
        with MongoClient[Any](server.uri) as client:
            yield Data(folder, origin, client, managed)
    finally:
        origin.stop()
