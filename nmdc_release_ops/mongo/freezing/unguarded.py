"""Freezing an origin that does not require authentication: nobody is blocked.

A write block there would also refuse the release's own writes. The lease still excludes other releases, and `restore` refuses
if it finds that somebody wrote.
"""

from collections.abc import Callable

from pymongo import MongoClient
from pymongo.errors import OperationFailure

from nmdc_release_ops.mongo.freezing.strategy import FreezeStrategy, Leftover, NotEngaged, Preview, PutBack
from nmdc_release_ops.mongo.server.clock import ClusterTime, cluster_time
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.topology import Server
from nmdc_release_ops.mongo.state.lease import Lease, Strategy


class Unguarded(FreezeStrategy):
    """No guard but the lease. Only for servers without authorization."""

    name = Strategy.NONE
    reason = "The origin does not require authentication, so a freeze cannot distinguish users from the release."
    is_configurable = False
    blocks_writes = False

    def suits(self, server: Server) -> bool:
        return not server.guarded

    def find_obstacles(self, client: MongoClient[Document], server: Server, database: str) -> list[str]:
        return []

    def preview(self, client: MongoClient[Document], server: Server, database: str) -> Preview:
        return Preview(
            warnings=("Nobody is prevented from writing to the origin: it does not require authentication.",)
        )

    def note_attempt(self, client: MongoClient[Document], lease: Lease) -> Callable[[], None]:
        return lambda: None

    def engage(self, client: MongoClient[Document], lease: Lease, database: str, drain_timeout: float) -> ClusterTime:
        return cluster_time(client)

    def lift_if_it_blocks_us(self, client: MongoClient[Document], refusal: OperationFailure) -> NotEngaged | None:
        return None

    def engage_again(self, client: MongoClient[Document], drain_timeout: float) -> bool:
        return False

    def holds(self, client: MongoClient[Document], lease: Lease) -> bool:
        return True

    def seems_to_hold(self, client: MongoClient[Document], lease: Lease) -> bool:
        return False

    def lift(self, client: MongoClient[Document], lease: Lease) -> PutBack:
        return PutBack()

    def find_leftover(self, client: MongoClient[Document]) -> Leftover | None:
        return None

    def undo_leftover(
        self, client: MongoClient[Document], leftover: Leftover, thaw_under_lease: Callable[[], PutBack]
    ) -> PutBack:
        return PutBack()
