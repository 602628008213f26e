"""The state of the origin as facts: who holds it, whether others can write to it, and how far a swap is."""

from dataclasses import dataclass

from pymongo import MongoClient

from nmdc_release_ops.mongo.freezing.choose import strategy_of
from nmdc_release_ops.mongo.freezing.strategy import Leftover
from nmdc_release_ops.mongo.freezing.thaw import find_leftovers
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.topology import is_write_blocked
from nmdc_release_ops.mongo.state.journal import Journal, newest_journal, read_journal
from nmdc_release_ops.mongo.state.lease import Lease, current_lease


@dataclass(frozen=True)
class OriginState:
    """The state of the origin, by several reads: a thaw or a swap may have begun between them.

    Attributes:
        lease: of the release that holds the origin.
        is_frozen: whether the freeze of `lease` appears to be in force.
        is_write_blocked: whether the server blocks writes, for us or for somebody else; None where it does not report it.
        leftovers: freezes that are in force although no release holds the origin.
        journal: of the release that holds the origin; if none does, of the one that was asked for, else of the last one that
            began its swap.
    """

    lease: Lease | None
    is_frozen: bool
    is_write_blocked: bool | None
    leftovers: tuple[Leftover, ...]
    journal: Journal | None

    @property
    def is_swap_under_way(self) -> bool:
        """Whether a swap or a rollback was begun and is not finished, so that the origin has to stay frozen."""
        return self.journal is not None and self.journal.is_under_way


def read_origin_state(client: MongoClient[Document], database: str, release_id: str | None = None) -> OriginState:
    """Read the lease, the journal and the server's state.

    Args:
        database: the one that is released.
        release_id: the release whose journal to read where nobody holds the origin.
    """
    lease = current_lease(client)
    wanted = lease.release_id if lease else release_id
    return OriginState(
        lease=lease,
        is_frozen=bool(lease and lease.frozen_at and strategy_of(lease.strategy).seems_to_hold(client, lease)),
        is_write_blocked=is_write_blocked(client),
        leftovers=() if lease else find_leftovers(client),
        journal=read_journal(client, wanted) if wanted else newest_journal(client, database),
    )
