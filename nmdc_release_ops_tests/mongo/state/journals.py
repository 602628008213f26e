"""A journal as a release leaves it, for tests that make no release."""

from datetime import UTC, datetime

from nmdc_release_ops.demo.origin import DATABASE
from nmdc_release_ops.mongo.state.journal import Journal, State
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
