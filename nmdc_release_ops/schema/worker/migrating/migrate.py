"""Runs migrators of the release on the transformer, one after the other.

Parameters: `database`, `schema_version`, `migrators` (module names within `nmdc_schema.migrators`, in order). `unloaded`:
collections of which the transformer holds no documents yet, and which are requested from the process that started this one;
absent where everything is loaded.
Messages: `progress`; `migrator` after each, or `migrator_failed` and exit code 1.
"""

import importlib
import inspect
import logging
import os
import time
import traceback
from collections.abc import Callable
from typing import Any

from dagster_pipes import PipesContext, open_dagster_pipes
from pymongo.database import Database

from ..disk import full_disk, run_main
from ..ending import die_with_parent, end_now
from ..messages import ProgressReports, forward_messages
from ..release import require_version, transformer
from ..task import take_channel, wait_for_task
from .adapter import Outcome, make_adapter
from .deferred import defer
from .loader import Loader

# The package's own code imports LinkML's validator, which takes seconds, and which migrators rarely use.
defer("nmdc_schema")


def main() -> int:
    die_with_parent(os.getppid())
    channel = take_channel()
    wait_for_task(channel)
    with open_dagster_pipes() as pipes, forward_messages(pipes) as logger:
        extras = pipes.extras
        require_version(extras["schema_version"])
        loader = Loader(channel, extras.get("unloaded", ()))
        with transformer(extras["database"]) as database:
            # Migrators use the adapter: what they did with a connection of their own would not be noticed.
            del os.environ["NMDC_TRANSFORMER_URI"]
            for name in extras["migrators"]:
                if not _run(pipes, logger, database, loader, name):
                    return 1
    return 0


def _run(
    pipes: PipesContext, logger: logging.Logger, database: Database[dict[str, Any]], loader: Loader, name: str
) -> bool:
    """Run one migrator and report the outcome; return whether it succeeded."""
    started = time.monotonic()
    outcome = Outcome(progress=_report_reading(pipes), loader=loader)
    try:
        migrator_class = importlib.import_module(f"nmdc_schema.migrators.{name}").Migrator
        from_version, to_version = migrator_class.get_origin_version(), migrator_class.get_destination_version()
        pipes.log.info(f"{name}: from {from_version} to {to_version}")
        adapter = make_adapter(database, _release_adapter(), outcome)
        migrator = migrator_class(adapter=adapter, logger=logger)
        migrator.upgrade(**_arguments(migrator.upgrade))
    except Exception as error:
        pipes.report_custom_message(
            {
                "kind": "migrator_failed",
                "module": name,
                "type": type(error).__name__,
                "message": str(error),
                "document": _failed_document(outcome),
                "disk": full_disk(error),
                "traceback": traceback.format_exc(),
            }
        )
        return False
    seconds = time.monotonic() - started
    pipes.log.info(f"{name}: done in {seconds:.1f} s, {sum(outcome.written.values()):,} documents written")
    pipes.report_custom_message(
        {
            "kind": "migrator",
            "module": name,
            "from": from_version,
            "to": to_version,
            "seconds": seconds,
            "written": dict(outcome.written),
            "touched": {collection: sorted(how) for collection, how in sorted(outcome.uses.used.items())},
        }
    )
    return True


def _release_adapter() -> Any:
    return importlib.import_module("nmdc_schema.migrators.adapters.mongo_adapter").MongoAdapter


def _arguments(upgrade: Any) -> dict[str, bool]:
    """Newer migrators roll back unless called with `commit_changes=True`; older ones do not take that argument."""
    return {"commit_changes": True} if "commit_changes" in inspect.signature(upgrade).parameters else {}


def _report_reading(pipes: PipesContext) -> Callable[[str, int], None]:
    """Reports how many documents of each collection a migrator has read; it may read one several times."""
    reports = ProgressReports(pipes, "read")
    read: dict[str, int] = {}

    def report(collection: str, documents: int) -> None:
        read[collection] = documents
        reports.report(read)

    return report


def _failed_document(outcome: Outcome) -> dict[str, str] | None:
    if outcome.failed_at is None:
        return None
    collection, identifier = outcome.failed_at
    return {"collection": collection, "id": str(identifier)}


if __name__ == "__main__":
    end_now(run_main(main))
