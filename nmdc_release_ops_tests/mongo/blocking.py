"""Freezing by a write block, for tests that need a frozen origin and not how it comes about."""

from collections.abc import Callable
from typing import Any

from pymongo import MongoClient

from nmdc_release_ops.mongo.freezing.freeze import freeze
from nmdc_release_ops.mongo.freezing.strategy import DRAIN_SECONDS
from nmdc_release_ops.mongo.state.lease import Lease, Strategy


def freeze_by_block(
    client: MongoClient[Any],
    release_id: str,
    run_id: str,
    *,
    drain_timeout: float = DRAIN_SECONDS,
    when_taken: Callable[[Lease], None] | None = None,
) -> Lease:
    """Freeze the server; a write block concerns all of its databases."""
    return freeze(
        client,
        release_id,
        run_id,
        Strategy.WRITE_BLOCK,
        database="nmdc",
        drain_timeout=drain_timeout,
        when_taken=when_taken,
    )
