"""Freezing by demotion: other users and roles are made read-only, and put back afterwards (`demotion`)."""

from collections.abc import Callable

from pymongo import MongoClient
from pymongo.errors import OperationFailure

from nmdc_release_ops.mongo.freezing.accounts import AccountsHidden, read_accounts, warn_of_users
from nmdc_release_ops.mongo.freezing.demoted_accounts import DemotionFailed, read_header
from nmdc_release_ops.mongo.freezing.demotion import demote, is_in_force, put_back, who_can_write
from nmdc_release_ops.mongo.freezing.readonly import Kind, RoleMissing, demotions, who_could_undo_it
from nmdc_release_ops.mongo.freezing.strategy import (
    FreezeFailed,
    FreezeStrategy,
    Leftover,
    NotEngaged,
    Preview,
    PutBack,
)
from nmdc_release_ops.mongo.server.clock import ClusterTime
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.privileges import NOT_AMONG_ALL, Needed, missing_privileges
from nmdc_release_ops.mongo.server.topology import Server
from nmdc_release_ops.mongo.state.lease import Lease, Strategy, beat, current_lease

LOOKING = (
    Needed(None, frozenset({"viewUser"}), "to list users"),
    *(Needed(name, frozenset({"viewRole"}), "to see what roles allow") for name in ("", *NOT_AMONG_ALL)),
)
"""Privileges with which `plan` sees whom a freeze does not prevent from writing."""
DEMOTING = (
    *LOOKING,
    Needed("", frozenset({"revokeRole"}), "to make users and roles read-only"),
    *(Needed(name, frozenset({"grantRole"}), "to put users and roles back") for name in ("", *NOT_AMONG_ALL)),
    Needed("admin", frozenset({"createRole", "dropRole"}), "to make roles that stand in for built-in ones"),
)
"""Privileges that freezing by demotion needs. A user that has them can do anything on the server."""


class DemoteRoles(FreezeStrategy):
    """Makes every other user and role that can write read-only. Works on any version of MongoDB."""

    name = Strategy.DEMOTE_ROLES
    reason = "The operator may make users and roles read-only, and put them back."

    def suits(self, server: Server) -> bool:
        return server.guarded

    def find_obstacles(self, client: MongoClient[Document], server: Server, database: str) -> list[str]:
        if missing := missing_privileges(client, DEMOTING):
            lacking = ", ".join(missing)
            return [
                f"the user in NMDC_ORIGIN_URI lacks {lacking}; grant the role nmdc_release_role_keeper of docs/operator-role.md"
            ]
        try:
            demotions(read_accounts(client, database), database, "plan")
        except (AccountsHidden, RoleMissing) as error:
            return [str(error).rstrip(".")]
        return []

    def preview(self, client: MongoClient[Document], server: Server, database: str) -> Preview:
        try:
            accounts = read_accounts(client, database)
        except AccountsHidden as hidden:
            return Preview(warnings=(f"Which users and roles will be made read-only could not be looked up. {hidden}",))
        changed = len([one for one in demotions(accounts, database, "plan") if one.kind is not Kind.STAND_IN])
        return Preview(
            effect=f"{changed} users and roles will be made read-only by the freeze, and put back by the thaw.",
            warnings=tuple(
                warn_of_users(
                    who_could_undo_it(accounts, database),
                    "may grant roles or change passwords, and so could give themselves write access while the origin is frozen",
                )
            ),
        )

    def note_attempt(self, client: MongoClient[Document], lease: Lease) -> Callable[[], None]:
        # The header of the demotion shows which release demotes.
        return lambda: None

    def engage(self, client: MongoClient[Document], lease: Lease, database: str, drain_timeout: float) -> ClusterTime:
        try:
            return demote(client, lease.release_id, database, drain_timeout)
        except (DemotionFailed, AccountsHidden, RoleMissing) as error:
            raise NotEngaged(str(error)) from error

    def lift_if_it_blocks_us(self, client: MongoClient[Document], refusal: OperationFailure) -> NotEngaged | None:
        # Our own user and roles are not demoted.
        return None

    def engage_again(self, client: MongoClient[Document], drain_timeout: float) -> bool:
        # Accounts that were put back have to be saved again, which only the run that holds the origin can do.
        return False

    def holds(self, client: MongoClient[Document], lease: Lease) -> bool:
        if not is_in_force(client, lease.release_id):
            return False
        if accounts := who_can_write(client):
            # Putting all back and demoting again would let users write for a while, possibly while a swap is half done.
            raise FreezeFailed(
                "Accounts were created or changed while the origin was frozen, and can write to it: "
                f"{', '.join(accounts)}. Drop them or take their roles away, and re-execute the run from the failed step."
            )
        return True

    def seems_to_hold(self, client: MongoClient[Document], lease: Lease) -> bool:
        header = read_header(client)
        return header is not None and header.release_id == lease.release_id

    def lift(self, client: MongoClient[Document], lease: Lease) -> PutBack:
        try:
            return put_back(client, lease.release_id, lambda: beat(client, lease))
        except DemotionFailed:
            # Another process puts the accounts back, or has: then the lease is not ours any more either.
            if beat(client, lease):
                raise
            return PutBack()

    def find_leftover(self, client: MongoClient[Document]) -> Leftover | None:
        """Accounts that are demoted although no release holds the lease."""
        header = read_header(client)
        if header is None or current_lease(client) is not None:
            return None
        return Leftover(
            release_id=header.release_id,
            run_id="",
            effect="made users and roles read-only and holds no lease any more",
            remedy="Launch the job `unfreeze` to put them back.",
            outcome="They were put back.",
            prevents_release=True,
        )

    def undo_leftover(
        self, client: MongoClient[Document], leftover: Leftover, thaw_under_lease: Callable[[], PutBack]
    ) -> PutBack:
        return put_back(client, leftover.release_id)
