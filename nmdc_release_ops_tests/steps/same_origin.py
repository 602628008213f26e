"""A workplace in which one history after the other begins with the same origin."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.database import Database

from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.programs.private_mongod import PrivateMongod
from nmdc_release_ops.mongo.state.ledger import EVENTS
from nmdc_release_ops_tests.prepared_release import put_back
from nmdc_release_ops_tests.workplace import Workplace, drop_transformed, make_workplace

SCALE = 450
UNIQUE = ("biosample_set", "processed_sample_set", "study_set")
"""Collections in which people can give an id to two documents: an index prevents it in the others."""
_RAW = CodecOptions(document_class=RawBSONDocument)


class SameOrigin:
    """Puts a workplace's origin, transformer and release home back to what they were."""

    def __init__(self, workplace: Workplace, client: MongoClient[Any], transformer: PrivateMongod) -> None:
        self._client = client
        self._transformer = transformer
        self.workplace = workplace
        self._before = {name: self._read(name) for name in self._names()}

    @property
    def database(self) -> Database[Any]:
        """The origin's."""
        return self._client[DATABASE]

    def put_back(self) -> None:
        put_back(self._client)
        for name in set(self._names()) - self._before.keys():
            self.database[name].drop()
        for name, documents in self._before.items():
            if self._read(name) != documents:
                self.database[name].delete_many({})
                if documents:
                    self.database[name].with_options(_RAW).insert_many(map(RawBSONDocument, documents))
        assert {name: self._read(name) for name in self._names()} == self._before
        drop_transformed(self._transformer)
        for path in ("origins", "records"):
            shutil.rmtree(self.workplace.home / path, ignore_errors=True)

    def _names(self) -> list[str]:
        names = self.database.list_collection_names(filter={"type": "collection"})
        return [name for name in names if not name.startswith("system.") and name != EVENTS]

    def _read(self, name: str) -> list[bytes]:
        return [one.raw for one in self.database[name].with_options(_RAW).find().sort("_id")]


@contextmanager
def same_origin(folder: Path, schema: Path, transformer: PrivateMongod) -> Iterator[SameOrigin]:
    """One with an origin of its own.

    Args:
        schema: the folder of schema releases.
    """
    making = contextmanager(make_workplace)(folder / "workplace", schema, SCALE, transformer=transformer)
    with making as workplace, MongoClient[Any](workplace.origin.server.uri) as client:
        for name in UNIQUE:
            client[DATABASE][name].drop_index("id_1")
        yield SameOrigin(workplace, client, transformer)
