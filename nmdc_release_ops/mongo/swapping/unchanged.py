"""Whether a database has changed since a moment in the past."""

from collections.abc import Iterable, Mapping, Set

from pymongo.database import Database

from nmdc_release_ops.mongo.archive.manifest import ArchivedCollection
from nmdc_release_ops.mongo.delta.account import MANY_EVENTS, count_writes, touched_since
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.collections import collection_hashes, list_collections
from nmdc_release_ops.mongo.server.comparison import State, compare_collections
from nmdc_release_ops.mongo.server.connection import Document


class OriginChanged(MongoError):
    """The origin is not what was dumped."""


def require_unchanged(
    database: Database[Document],
    archived: Iterable[ArchivedCollection],
    cluster_time: ClusterTime,
    managed: Iterable[str],
) -> None:
    """Check that a database is still what was dumped: the same collections, with the same documents, options and indexes.

    Args:
        archived: the collections as they were dumped.
        cluster_time: of the dump.
        managed: names of the collections that were to be dumped, whether they existed or not.

    Raises:
        OriginChanged: naming the collections, and what differs.
        HashUnavailable: see `collection_hashes`.
    """
    then = {one.name: one for one in archived}
    changed = find_redefined(database, then.values(), managed)
    for name in changed_since(database, cluster_time, {name: one.hash for name, one in then.items()}):
        changed.setdefault(name, []).append("its documents")
    if changed:
        details = "; ".join(f"{name}: {', '.join(found)}" for name, found in sorted(changed.items()))
        raise OriginChanged(
            f"{', '.join(sorted(changed))} of the origin changed since it was dumped ({details}), so swapping would lose what "
            "was written. Re-execute this run from `dump`, or launch a new release."
        )


def refuse_if_written_since(
    database: Database[Document],
    reconciled_at: ClusterTime,
    names: Set[str],
    verified_at: ClusterTime,
    staged: Mapping[str, int],
) -> None:
    """Make sure that nobody wrote to a database since a promotion took everything into account.

    Args:
        reconciled_at: the first moment that was not taken into account.
        names: of the collections of the release.
        verified_at: a moment at which the staged collections were as they should be.
        staged: their names, each with the number of documents that the promotion wrote there since.

    Raises:
        OriginChanged: naming the collections.
    """
    since = dict.fromkeys(names, reconciled_at) | dict.fromkeys(staged, verified_at)
    account = count_writes(database, since, MANY_EVENTS)
    if account is None or not account.is_complete:
        raise OriginChanged(
            "It cannot be told whether somebody wrote since the last delta was taken into account: the oplog does not reach back "
            "so far, or too much was written. Nothing was swapped. Re-execute this run from `reconcile`."
        )
    since_reconciled = sorted(account.writes.keys() & names)
    if since_reconciled or not account.is_exactly(staged):
        touched = since_reconciled or ["staged collections"]
        raise OriginChanged(
            f"Somebody wrote to {', '.join(touched)} since the last delta was taken into account, so swapping would lose "
            "it. Nothing was swapped. Re-execute this run from `reconcile`."
        )


def find_redefined(
    database: Database[Document], archived: Iterable[ArchivedCollection], managed: Iterable[str]
) -> dict[str, list[str]]:
    """The collections that are gone or new, or have other options or indexes than they were dumped with: by name, what differs.

    Arguments as `require_unchanged`.
    """
    then = {one.name: one for one in archived}
    live = list_collections(database, {*managed, *then})
    changed = {name: ["it is gone"] for name in then.keys() - live.keys()}
    changed |= {name: ["it is new"] for name in live.keys() - then.keys()}
    for name in then.keys() & live.keys():
        differences = compare_collections(State(then[name].describe()), State(live[name]))
        if differences:
            changed[name] = [str(difference) for difference in differences]
    return changed


def changed_since(
    database: Database[Document], cluster_time: ClusterTime | None, hashes: Mapping[str, str]
) -> list[str]:
    """Names of the collections that do not hold what they held, in order.

    A change stream shows in milliseconds which collections were written to at all, and only those are hashed. Where there
    is none, or the oplog does not reach back so far, all are hashed.

    Args:
        cluster_time: the moment at which the collections had these hashes; None where it is not known.
        hashes: `dbHash` of each collection then.

    Raises:
        HashUnavailable: see `collection_hashes`.
    """
    touched = touched_since(database, cluster_time, set(hashes)) if cluster_time else None
    return find_differing(database, hashes, touched)


def find_differing(database: Database[Document], hashes: Mapping[str, str], touched: Set[str] | None) -> list[str]:
    """Names of the collections whose hashes differ, in order.

    Args:
        touched: collections to hash; None for all.

    Raises:
        HashUnavailable: see `collection_hashes`.
    """
    candidates = hashes.keys() if touched is None else touched
    found = collection_hashes(database, candidates)
    return sorted(name for name in candidates if found.get(name) != hashes[name])
