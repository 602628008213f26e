"""The heartbeat of a lease: its holder says every few seconds that it goes on, also while a step works elsewhere."""

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
    """Beat for this lease from a thread of its own, until the lease is given back or this process ends.

    Called again for a run that has a heartbeat already, it changes nothing.

    Args:
        connect: a connection to the origin for the thread, which outlives the caller's.
    """
    if lease_of(lease.run_id) is None:
        _Heartbeat(lease, connect).start()


def lease_of(run_id: str) -> Lease | None:
    """The lease, as it was taken, whose heartbeat this process keeps for a run. Works while the origin is unreachable."""
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
            # The origin cannot be reached just now. The steps that need it say so; this only tries again.
            pause.wait(BEAT_SECONDS)
