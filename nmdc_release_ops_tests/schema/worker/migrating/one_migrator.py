"""Runs in a schema release's environment: one migrator, on a release's own adapter, or on ours and a database whose documents
are loaded when they are used.

Arguments: database, module of the migrator, "theirs" or "ours".
"""

import importlib
import inspect
import os
import sys
from pathlib import Path
from typing import Any

from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from nmdc_schema.migrators.adapters.mongo_adapter import MongoAdapter
from pymongo import MongoClient
from worker.migrating.adapter import Outcome, make_adapter

sys.path.append(str(Path(__file__).parent))
from on_demand import on_demand


def upgrade(adapter: Any, module: str) -> None:
    run = importlib.import_module(f"nmdc_schema.migrators.{module}").Migrator(adapter=adapter).upgrade
    run(**({"commit_changes": True} if "commit_changes" in inspect.signature(run).parameters else {}))


def main() -> None:
    name, module, whose = sys.argv[1:]
    client: MongoClient[dict[str, Any]] = MongoClient(
        os.environ["NMDC_TRANSFORMER_URI"], datetime_conversion=DatetimeConversion.DATETIME_AUTO
    )
    database = client[name]
    if whose == "theirs":
        upgrade(MongoAdapter(database), module)
        return
    raw = client.get_database(name, codec_options=CodecOptions(document_class=RawBSONDocument))
    documents = {one: list(raw[one].find()) for one in database.list_collection_names()}
    for one in documents:
        database[one].delete_many({})
    with on_demand(raw, documents, documents.__getitem__) as (loader, loaded):
        outcome = Outcome(loader=loader)
        upgrade(make_adapter(database, MongoAdapter, outcome), module)
        assert set(loaded) <= set(outcome.uses.used)
        loader.load_all()


main()
