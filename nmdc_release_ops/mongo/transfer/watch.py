"""What changes in a database while it is dumped, although it is frozen: then the archive is not what was hashed."""

from collections.abc import Mapping

from pymongo.database import Database

from nmdc_release_ops.mongo.archive.making import DumpFailed
from nmdc_release_ops.mongo.delta.account import touched_since
from nmdc_release_ops.mongo.server.clock import cluster_time
from nmdc_release_ops.mongo.server.collections import Collection, collection_hashes, list_collections
from nmdc_release_ops.mongo.server.comparison import State, compare_collections
from nmdc_release_ops.mongo.server.connection import Document


class Watch:
    """Finds the collections that are written to from now on, so that what was read is what was hashed.

    Nobody proves that later: a collection that no migrator uses never leaves the archive.
    """

    def __init__(self, database: Database[Document], names: set[str]) -> None:
        self._database = database
        self._names = names
        self._since = cluster_time(database.client).next()
        no_stream = touched_since(database, self._since, names) is None
        self._hashes = collection_hashes(database, names) if no_stream else None

    def find_written(self, hashes: Mapping[str, str]) -> set[str] | None:
        """Names of the collections; None where that cannot be determined any more.

        Args:
            hashes: the server's hash of each, now.
        """
        if self._hashes is None:
            return touched_since(self._database, self._since, self._names)
        return {name for name in self._names if self._hashes.get(name) != hashes.get(name)}


def refuse_if_changed(
    database: Database[Document], before: dict[str, Collection], documents: dict[str, int], written: set[str] | None
) -> None:
    """Compare the collections with what was dumped: a user who bypasses the block can change a frozen database.

    Args:
        written: collections that were written to meanwhile; None where that is not known.

    Raises:
        DumpFailed: naming the collections that differ.
    """
    after = list_collections(database, before)
    changed = {name: ["is gone"] for name in before if name not in after}
    for name, found in after.items():
        now = State(found, database[name].count_documents({}))
        differences = compare_collections(State(before[name], documents[name]), now, same_uuid=True)
        if differences:
            changed[name] = [f"has {difference}" for difference in differences]
    if written is None:
        raise DumpFailed(
            "It cannot be determined whether the origin changed while being dumped: its oplog no longer reaches back to the "
            "beginning of the dump. Re-execute the run from this step; if it happens again, enlarge the oplog."
        )
    for name in written - changed.keys():
        changed[name] = ["has documents that were written meanwhile"]
    if changed:
        details = "; ".join(f"{name} {', '.join(differences)}" for name, differences in changed.items())
        raise DumpFailed(
            f"{', '.join(sorted(changed))} changed while being dumped, although the origin is frozen: {details}. Somebody writes "
            "as a user who bypasses the block. Stop them, and re-execute the run from this step."
        )
