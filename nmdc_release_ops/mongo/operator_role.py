"""The roles that a release needs on the origin's server, as docs/operator-role.md documents them."""

from nmdc_release_ops.mongo.freezing.demote_roles import DEMOTING, LOOKING
from nmdc_release_ops.mongo.freezing.write_block import BLOCKING, LOOKING_AHEAD
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.privileges import Needed
from nmdc_release_ops.mongo.state.database import STATE_DATABASE


def needed_privileges(database: str) -> tuple[Needed, ...]:
    """What a release needs on the origin's server, freezing by a write block included."""
    return (*BLOCKING, *LOOKING_AHEAD, *release_privileges(database))


def release_privileges(database: str) -> tuple[Needed, ...]:
    """What a release needs on the origin's server, however the origin is frozen."""
    return (
        Needed(None, frozenset({"serverStatus", "inprog"}), "to see whether the origin is frozen, and who writes"),
        Needed(
            database,
            frozenset({"find", "listCollections", "listIndexes", "collStats", "dbStats", "dbHash", "changeStream"}),
            "to read, and to compare",
        ),
        Needed(
            database,
            frozenset(
                {
                    "insert",
                    "collMod",
                    "createCollection",
                    "dropCollection",
                    "createIndex",
                    "renameCollectionSameDB",
                    "bypassDocumentValidation",
                }
            ),
            "to stage, to swap and to roll back",
        ),
        Needed(
            STATE_DATABASE,
            frozenset({"find", "insert", "update", "remove"}),
            "to keep the lease and the journal",
        ),
    )


def promotion_privileges(database: str) -> tuple[Needed, ...]:
    """What a promotion needs besides: it does not replace what it staged, but keeps it up to date, document by document."""
    return (Needed(database, frozenset({"update", "remove"}), "to keep staged collections up to date"),)


OPERATOR_ROLE = "nmdc_release_operator"


def operator_role(database: str) -> Document:
    """The role of docs/operator-role.md, as `createRole` takes it: what a release needs on the origin and no more."""
    return _role(needed_privileges(database))


PROMOTER_ROLE = "nmdc_release_promoter"


def promoter_role(database: str) -> Document:
    """The role of docs/operator-role.md, as `createRole` takes it, that promotions need in addition."""
    return _role(promotion_privileges(database))


VIEWER_ROLE = "nmdc_release_account_viewer"


def viewer_role() -> Document:
    """The optional role of docs/operator-role.md, as `createRole` takes it, with which `plan` names who bypasses a freeze."""
    return _role(LOOKING)


KEEPER_ROLE = "nmdc_release_role_keeper"


def keeper_role() -> Document:
    """The second, optional role of docs/operator-role.md, as `createRole` takes it: what freezing by demotion needs."""
    return _role(DEMOTING)


def _role(all_needed: tuple[Needed, ...]) -> Document:
    return {
        "privileges": [
            {
                "resource": {"cluster": True} if needed.database is None else {"db": needed.database, "collection": ""},
                "actions": sorted(needed.actions),
            }
            for needed in _merge(all_needed)
        ],
        "roles": [],
    }


def _merge(all_needed: tuple[Needed, ...]) -> list[Needed]:
    """One entry for each resource."""
    actions: dict[str | None, frozenset[str]] = {}
    for needed in all_needed:
        actions[needed.database] = actions.get(needed.database, frozenset()) | needed.actions
    return [Needed(name, merged, "") for name, merged in actions.items()]
