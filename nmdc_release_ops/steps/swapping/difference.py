"""How `migrate` shows what the migrators changed: in the log, on the run page, and on a page of its own."""

from collections.abc import Container
from pathlib import Path
from typing import Any

import dagster as dg
from pymongo.database import Database

from nmdc_release_ops.mongo.archive.manifest import Manifest
from nmdc_release_ops.mongo.difference.changes import ChangeSet
from nmdc_release_ops.mongo.difference.difference import Difference, find_difference
from nmdc_release_ops.mongo.difference.page import write_difference
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.records.data_release import ReleasePlan
from nmdc_release_ops.resources.release_home import ReleaseHomeResource
from nmdc_release_ops.steps.showing.display import log_progress, table

MOST_PATHS = 50
"""Rows of the run page's table of changed paths; `difference.html` has more."""


def show_difference(
    context: dg.OpExecutionContext,
    plan: ReleasePlan,
    archive: Path,
    manifest: Manifest,
    database: Database[Document],
    changes: ChangeSet,
    used: Container[str],
    home: ReleaseHomeResource,
) -> tuple[Difference, Path]:
    """Compare the archive with the migrated database; log a line per collection; return the difference and its page.

    Args:
        used: the collections that migrators used.

    Raises:
        ArchiveDamaged, FileNotWritten.
    """
    read = {*changes.changed, *(rename.old for rename in changes.renamed if rename.changed)}
    documents = sum(collection.documents for collection in manifest.collections if collection.name in read)
    difference = find_difference(
        archive, manifest, database, changes, used=used, report=log_progress(context, "compared", documents)
    )
    for collection in difference.collections:
        context.log.info(f"{collection.describe()}.")
    title = f"What changed in {plan.database} from schema {plan.from_version} to {plan.to_version}"
    page = write_difference(home.attempt(plan, context.run_id), difference, title, f"Release {plan.release_id}")
    context.log.info(f"What changed, with samples before and after: {page}")
    return difference, page


def describe_difference(difference: Difference, page: Path, home: ReleaseHomeResource) -> dict[str, Any]:
    """The difference as the run page shows it."""
    paths = [(collection.counts.name, path) for collection in difference.collections for path in collection.paths]
    most = sorted(paths, key=lambda pair: -pair[1].documents)[:MOST_PATHS]
    return {
        "documents changed": table(
            {
                "collection": counts.name,
                "changed": counts.changed,
                "added": counts.added,
                "removed": counts.removed,
                "unchanged": counts.unchanged,
            }
            for counts in (collection.counts for collection in difference.collections)
        ),
        "paths changed": table(
            {"collection": name, "path": path.change.place, "change": path.change.what, "documents": path.documents}
            for name, path in most
        ),
        "difference": home.show(page),
    }
