"""Runs in a schema release's environment: one migrator, on a release's own adapter, and on ours and a database whose documents
are loaded when they are used.

Arguments: database for theirs, database for ours, module of the migrator.
"""

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable
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


def theirs(name: str, module: str) -> None:
    upgrade(MongoAdapter(connect()[name]), module)


def ours(name: str, module: str) -> None:
    database = connect()[name]
    raw = database.client.get_database(name, codec_options=CodecOptions(document_class=RawBSONDocument))
    documents = {one: list(raw[one].find()) for one in database.list_collection_names()}
    for one in documents:
        database[one].delete_many({})
    with on_demand(raw, documents, documents.__getitem__) as (loader, loaded):
        outcome = Outcome(loader=loader)
        upgrade(make_adapter(database, MongoAdapter, outcome), module)
        assert set(loaded) <= set(outcome.uses.used)
        loader.load_all()


def connect() -> MongoClient[dict[str, Any]]:
    return MongoClient(os.environ["NMDC_TRANSFORMER_URI"], datetime_conversion=DatetimeConversion.DATETIME_AUTO)


def run_apart(run: Callable[[str, str], None], name: str, module: str) -> None:
    """In a process of its own, forked from this one: importing what they need takes longer than most migrators."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            run(name, module)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    if os.waitpid(child, 0)[1] != 0:
        sys.exit(f"{module} failed on {name}")


def main() -> None:
    of_theirs, of_ours, module = sys.argv[1:]
    importlib.import_module(f"nmdc_schema.migrators.{module}")
    run_apart(theirs, of_theirs, module)
    run_apart(ours, of_ours, module)


main()
