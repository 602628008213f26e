"""A journal as a release leaves it, for tests that make no release."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from pymongo import MongoClient

from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.state import ledger
from nmdc_release_ops.mongo.state.database import STATE_DATABASE
from nmdc_release_ops.mongo.state.journal import Journal, State, write_journal
from nmdc_release_ops_tests.prepared_release import AFTER, BEFORE


def journal_in(
    state: State, *, database: str = DATABASE, from_version: str = BEFORE, to_version: str = AFTER
) -> Journal:
    """The journal of `a-release`, which moved nothing."""
    now = datetime.now(UTC)
    return Journal(
        release_id="a-release",
        number=1,
        database=database,
        from_version=from_version,
        to_version=to_version,
        migrator_module="",
        state=state,
        started_at=now,
        swapped_at=now if state is State.SWAPPED else None,
        moves=[],
        hashes={},
    )


@contextmanager
def swapped_in(client: MongoClient[Any]) -> Iterator[Journal]:
    """In the block, `a-release` is the last release, by its journal and by the ledger. Then nothing was ever released."""
    journal = journal_in(State.SWAPPED)
    database = client[DATABASE]
    try:
        write_journal(client, journal)
        ledger.record(
            database,
            ledger.Event.COMPLETED,
            from_version=BEFORE,
            to_version=AFTER,
            migrator_module="",
            release_id=journal.release_id,
        )
        yield journal
    finally:
        database[ledger.EVENTS].delete_many({"release_id": journal.release_id})
        client.drop_database(STATE_DATABASE)
