"""A small release that is ready to swap: what the tests of the swap and of the rollback share.

The origin and the transformer are two databases of one server; `conftest.py` has them as fixtures.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.database import Database

from nmdc_release_ops.mongo.difference.changes import ChangeSet, compare, snapshot
from nmdc_release_ops.mongo.server.collections import collection_hashes, list_collections
from nmdc_release_ops.mongo.state.database import STATE_DATABASE
from nmdc_release_ops.mongo.state.generations import STAGED
from nmdc_release_ops.mongo.state.journal import Journal, Move
from nmdc_release_ops.mongo.state.lease import Strategy, current_lease, release_lease, take_lease
from nmdc_release_ops.mongo.swapping import moves as moves_module
from nmdc_release_ops.mongo.swapping import swap
from nmdc_release_ops.mongo.swapping.rollback import perform_rollback, prepare_rollback, release_to_roll_back
from nmdc_release_ops.mongo.transfer.stage import Staged, stage

RUN = "a-run"
RELEASE = "a-release"
COLLECTIONS = ("kept_set", "changed_set", "old_set", "moved_set", "gone_set")


class Stopped(Exception):
    """Stands for the death of the process that swaps or rolls back."""


@contextmanager
def connect_origin(uri: str) -> Iterator[MongoClient[Any]]:
    """A client of the server of the origin; the state of all releases is dropped in the end."""
    with MongoClient[Any](uri) as client:
        yield client
        client.drop_database(STATE_DATABASE)


@contextmanager
def make_origin(client: MongoClient[Any]) -> Iterator[Database[Any]]:
    """A database with one document and an index in each of `COLLECTIONS`; it is dropped in the end."""
    database = client[f"origin_{ObjectId()}"]
    for name in COLLECTIONS:
        # Before the document: the server takes a tenth of a second for an index of what is not empty.
        database[name].create_index("version")
        database[name].insert_one({"_id": name, "version": 1})
    yield database
    client.drop_database(database.name)


@contextmanager
def make_transformer(client: MongoClient[Any], origin: Database[Any]) -> Iterator[Database[Any]]:
    """A copy of the origin, for migrators; it is dropped in the end."""
    database = client[f"transformer_{ObjectId()}"]
    for name in origin.list_collection_names():
        database[name].create_index("version")
        database[name].insert_many(origin[name].find())
    yield database
    client.drop_database(database.name)


def migrate(transformer: Any) -> ChangeSet:
    """Everything that a migrator may do to collections."""
    before = snapshot(transformer)
    transformer.changed_set.update_one({}, {"$set": {"version": 2}})
    transformer.old_set.rename("renamed_set")
    transformer.moved_set.rename("moved_and_changed_set")
    transformer.moved_and_changed_set.update_one({}, {"$set": {"version": 2}})
    transformer.gone_set.drop()
    transformer.new_set.insert_one({"_id": "new", "version": 2})
    return compare(before, snapshot(transformer))


def stage_all(transformer: Any, origin: Any, changes: ChangeSet) -> list[Staged]:
    hashes = collection_hashes(transformer, transformer.list_collection_names())
    return [stage(transformer, origin, name, hashes[name]) for name in changes.staged]


def describe_staged(origin: Any, name: str) -> Staged:
    """What is staged for a collection, taken for verified."""
    found = list_collections(origin)[STAGED + name]
    assert found.uuid is not None
    return Staged(
        name=name,
        uuid=found.uuid,
        documents=0,
        indexes=len(found.indexes),
        hash=collection_hashes(origin, [found.name])[found.name],
    )


def prepare(origin: Any, changes: ChangeSet, release_id: str = RELEASE) -> Journal:
    """Take the lease, from another release where it has it, and write the journal of the swap of what is staged."""
    lease = current_lease(origin.client)
    if lease is not None and lease.release_id != release_id:
        release_lease(origin.client, lease, "the test")
    take_lease(origin.client, release_id, RUN, Strategy.NONE)
    return swap.prepare_swap(
        origin,
        changes,
        swap.SwappedRelease(release_id, "1.0.0", "2.0.0", migrator_module="nmdc_schema.migrators.migrator"),
        RUN,
        staged=[describe_staged(origin, name) for name in changes.staged],
    )


def begin_swap(origin: Any, transformer: Any, changes: ChangeSet | None = None, release_id: str = RELEASE) -> Journal:
    """Migrate, stage and prepare. changes: of a migration that was made already."""
    if changes is None:
        changes = migrate(transformer)
    stage_all(transformer, origin, changes)
    return prepare(origin, changes, release_id)


def release(
    origin: Any, transformer: Any, changes: ChangeSet | None = None, release_id: str = RELEASE, log: Any = print
) -> Journal:
    """A whole release."""
    return swap.perform_swap(origin, begin_swap(origin, transformer, changes, release_id), RUN, log=log)


def change_one(transformer: Any, name: str) -> ChangeSet:
    """The migration of a later release, which changes only one collection."""
    transformer[name].insert_one({"_id": "of the next release", "version": 3})
    return ChangeSet(changed=[name], created=[], renamed=[], deleted=[], untouched=[])


def roll_back(origin: Any, **allowed: bool) -> Journal:
    """Roll the last release back."""
    journal = release_to_roll_back(origin, None)
    return perform_rollback(origin, prepare_rollback(origin, journal, RUN, **allowed), RUN)


def state_of(origin: Any) -> tuple[dict[str, str], dict[str, Any]]:
    """Hashes, UUIDs, options and indexes of everything that is no generation and no ledger."""
    found = {
        name: described
        for name, described in list_collections(origin).items()
        if not name.startswith(("_release.", "_migration"))
    }
    return collection_hashes(origin, found), {
        name: (described.uuid, dict(described.options), described.indexes) for name, described in found.items()
    }


@contextmanager
def stopped_after(module: Any, number: int) -> Iterator[None]:
    """`module`, the swap or the rollback, stops in the block when it has made so many moves."""
    made = 0

    def make(database: Any, move: Move) -> None:
        nonlocal made
        if made == number:
            raise Stopped
        made += 1
        moves_module.make(database, move)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "make", make)
        with pytest.raises(Stopped):
            yield


@contextmanager
def stopped_at(module: Any, move: Move, *, made: bool) -> Iterator[None]:
    """`module`, the swap or the rollback, stops in the block at a move: when it was `made` but not noted, or before."""

    def make(database: Any, tried: Move) -> None:
        is_ours = tried.uuid == move.uuid and {tried.source, tried.target} == {move.source, move.target}
        if made or not is_ours:
            moves_module.make(database, tried)
        if is_ours:
            raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "make", make)
        with pytest.raises(Stopped):
            yield
