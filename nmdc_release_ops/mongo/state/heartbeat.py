"""The heartbeat of a lease: its holder updates it every few seconds, also while a step works on something else."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.state.lease import Lease, beat

BEAT_SECONDS = 10


def keep_beating(lease: Lease, connect: Callable[[], AbstractContextManager[MongoClient[Document]]]) -> None:
    """Send heartbeats for this lease from a thread, until the lease is given back or this process ends.

    A no-op for a run that already has a heartbeat in this process.

    Args:
        connect: opens a connection to the origin for the thread, which outlives the caller's.
    """
    if lease_of(lease.run_id) is None:
        _Heartbeat(lease, connect).start()


def lease_of(run_id: str) -> Lease | None:
    """The lease of a run for which this process sends heartbeats, as it was taken. Works while the origin is unreachable."""
    beating = (thread for thread in threading.enumerate() if isinstance(thread, _Heartbeat))
    return next((thread.lease for thread in beating if thread.lease.run_id == run_id), None)


class _Heartbeat(threading.Thread):
    def __init__(self, lease: Lease, connect: Callable[[], AbstractContextManager[MongoClient[Document]]]) -> None:
        super().__init__(
            target=_beat_until_over, args=(lease, connect), name=f"heartbeat of run {lease.run_id}", daemon=True
        )
        self.lease = lease


def _beat_until_over(lease: Lease, connect: Callable[[], AbstractContextManager[MongoClient[Document]]]) -> None:
    pause = threading.Event()
    while True:
        try:
            with connect() as client:
                while beat(client, lease):
                    pause.wait(BEAT_SECONDS)
                return
        except (PyMongoError, MongoError):
            # The origin cannot be reached at the moment. The steps that need it fail with that; this only tries again.
            pause.wait(BEAT_SECONDS)
