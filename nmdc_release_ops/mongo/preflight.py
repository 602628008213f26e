"""Inspecting the origin before anything is done to it: finds everything that would stop a release, all at once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import OperationFailure

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.freezing.thaw import find_leftovers
from nmdc_release_ops.mongo.freezing.write_block import is_blocked_by_others
from nmdc_release_ops.mongo.operator_role import release_privileges
from nmdc_release_ops.mongo.server.collections import Size, collection_size, describe_unrenamable, list_collections
from nmdc_release_ops.mongo.server.connection import Document, is_unauthorized
from nmdc_release_ops.mongo.server.privileges import missing_privileges
from nmdc_release_ops.mongo.server.topology import Kind, Server
from nmdc_release_ops.mongo.state.generations import INTRUDER, OURS, PREVIOUS, STAGED, describe_too_long
from nmdc_release_ops.mongo.state.journal import newest_journal
from nmdc_release_ops.mongo.state.lease import current_lease, describe_holder
from nmdc_release_ops.mongo.state.ledger import EVENTS, LATEST_VERSION
from nmdc_release_ops.mongo.swapping.displaced import describe_displaced, find_displaced
from nmdc_release_ops.mongo.swapping.previous import find_kept

OLDEST_RELEASE = (4, 4)
"""Earlier servers do not support all commands that a release uses."""
# Collections that a release writes and that are not part of the schema.
_OURS = (*OURS, EVENTS, LATEST_VERSION)
# An archive can hold capped collections; staging one would need the privilege to convert any collection into one.
_UNSUPPORTED_OPTIONS = ("capped",)


class TransformerRefused(MongoError):
    """The transformer's user lacks privileges that a migration needs."""


@dataclass(frozen=True)
class CollectionFindings:
    """The collections of the origin, and what they mean for a release.

    Attributes:
        managed: names of the collections of a release, whether they exist or not.
        collections: those of them that exist, with their sizes.
        left_alone: every other collection and view; a release does not touch them.
        problems: what makes a release impossible, and what to do about it; a message each.
        warnings: what an operator should know; a message each.
    """

    managed: tuple[str, ...]
    collections: Mapping[str, Size]
    left_alone: tuple[str, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


def inspect_server(
    client: MongoClient[Document],
    server: Server,
    database: str,
    *,
    allow_without_authorization: bool,
) -> list[str]:
    """What makes a release, or a rollback, impossible on this server, a message each.

    Whether and how it can be frozen is determined by `choose_strategy`, and by whom it is held by `find_occupants`.
    """
    problems = []
    if server.kind is not Kind.REPLICA_SET:
        problems.append(
            f"The origin is a {server.kind}. A release needs a replica set (one node is enough): it can neither be "
            "frozen nor compared otherwise. Start mongod with --replSet and initiate the set."
        )
    if server.release < OLDEST_RELEASE:
        problems.append(f"The origin runs MongoDB {server.version}. A release needs 4.4 or later. Upgrade the server.")
    if database not in client.list_database_names():
        problems.append(
            f"The origin has no database {database}, or the operator is not allowed to see it. Correct NMDC_ORIGIN_DB, or grant "
            "the role of docs/operator-role.md on it."
        )
        return problems
    if not server.guarded:
        if not allow_without_authorization:
            problems.append(
                "The origin does not require authentication. So it cannot be frozen for others only: a write block "
                "would also refuse the release's own writes. Turn authorization on. If nobody else writes to it, you can launch "
                "with allow_without_authorization: true; then nobody is prevented from writing, and the release is refused if "
                "it finds that somebody did."
            )
    elif missing := missing_privileges(client, release_privileges(database)):
        problems.append(
            "The user in NMDC_ORIGIN_URI lacks privileges: "
            + "; ".join(missing)
            + ". Grant the role of docs/operator-role.md."
        )
        # The other checks may need the privileges that are missing.
        return problems
    return problems


def find_occupants(client: MongoClient[Document], database: str, release_id: str | None = None) -> list[str]:
    """Who holds or blocks the origin, a message each: a release cannot freeze it meanwhile.

    Args:
        release_id: a release that may hold it, because it is to be rolled back.
    """
    problems = []
    lease = current_lease(client)
    journal = newest_journal(client, database)
    if lease is None:
        problems += [str(leftover) for leftover in find_leftovers(client) if leftover.prevents_release]
    if lease is not None:
        if lease.release_id != release_id:
            problems.append(describe_holder(lease))
    elif journal is not None and journal.is_under_way and journal.release_id != release_id:
        problems.append(
            f"The swap of release {journal.release_id} was begun and neither finished nor undone. Re-execute its run from "
            "`restore`, or launch the job `rollback`."
        )
    elif is_blocked_by_others(client):
        problems.append(
            "Writes to the origin are already blocked, and not by this project (there is no lease). Find out who blocked "
            "them, and lift the block with setUserWriteBlockMode."
        )
    return problems


def inspect_ledger(database: Database[Document]) -> list[str]:
    """What is wrong with the kind of the ledger, or of its view, a message each. They need not exist yet.

    `ledger.try_events` checks whether the ledger accepts the events of a release.
    """
    collections = list_collections(database, (EVENTS, LATEST_VERSION))
    problems = []
    events, view = collections.get(EVENTS), collections.get(LATEST_VERSION)
    if events is not None and (what := _unsupported(events.kind, events.options)):
        problems.append(
            f"The ledger {EVENTS} is {what}, and no event can be written into it in one transaction with the swap. Make it an "
            "ordinary collection with the same documents, and launch again."
        )
    if view is not None and (view.kind != "view" or view.options.get("viewOn") != EVENTS):
        what = f"a view of {view.options.get('viewOn')}" if view.kind == "view" else f"a {view.kind}"
        problems.append(
            f"{LATEST_VERSION} is {what}, and has to be a view of {EVENTS} that shows the schema's version. Rename or drop it, "
            "and launch again: the release creates the view."
        )
    return problems


def inspect_collections(
    client: MongoClient[Document], server: Server, database: str, managed: Iterable[str], *, transformer: str = ""
) -> CollectionFindings:
    """Inspect the collections of the origin.

    Args:
        managed: names of the collections of a release, whether they exist or not.
        transformer: name of the database that they are loaded into.
    """
    existing = list_collections(client[database])
    wanted = sorted(set(managed))
    chosen = [name for name in wanted if name in existing]
    sizes = {name: collection_size(client[database], name) for name in chosen if existing[name].kind == "collection"}
    return CollectionFindings(
        managed=tuple(wanted),
        collections=sizes,
        left_alone=tuple(name for name in existing if name not in chosen and not name.startswith(_OURS)),
        problems=(
            *(
                f"{name} is {what}, which a release cannot carry over. Make it an ordinary collection, and launch again."
                for name in chosen
                if (what := _unsupported(existing[name].kind, existing[name].options))
            ),
            *describe_too_long(database, wanted, transformer),
            *describe_unrenamable(existing, (name for name in existing if name.startswith((STAGED, PREVIOUS)))),
            *describe_displaced(find_displaced(client[database])),
        ),
        warnings=(
            *_room_warnings(server, sizes),
            *_intruder_warnings(client, database, existing),
            *_kept_warnings(client[database]),
        ),
    )


def require_scratch_database(scratch: Database[Document]) -> None:
    """Create a database with an index, hash it and drop it, as a release does on the transformer.

    Raises:
        TransformerRefused.
    """
    try:
        try:
            scratch.probe.insert_one({})
            scratch.probe.create_index("probe")
            scratch.probe.drop_indexes()
            scratch.command("dbHash")
        finally:
            scratch.client.drop_database(scratch.name)
    except OperationFailure as error:
        if not is_unauthorized(error):
            raise
        raise TransformerRefused(
            "The user in NMDC_TRANSFORMER_URI is not allowed to create, hash and drop a database for each release "
            f"({scratch.name}). Grant it readWriteAnyDatabase and dbAdminAnyDatabase on the transformer, or unset "
            "NMDC_TRANSFORMER_URI to use a private mongod."
        ) from None


def _unsupported(kind: str, options: Mapping[str, object]) -> str:
    if kind != "collection":
        return f"a {kind}"
    present = [option for option in _UNSUPPORTED_OPTIONS if options.get(option)]
    return f"a collection with the option {', '.join(present)}" if present else ""


def _room_warnings(server: Server, sizes: Mapping[str, Size]) -> Iterable[str]:
    needed = sum(size.bytes for size in sizes.values())
    if server.free_bytes is not None and server.free_bytes < needed:
        yield (
            f"The origin's disk has {server.free_bytes / 1e9:,.1f} GB free. If the migration changed every collection, "
            f"staging them beside the live ones would take up to {needed / 1e9:,.1f} GB."
        )


def _intruder_warnings(client: MongoClient[Document], database: str, names: Iterable[str]) -> Iterable[str]:
    for name in names:
        if name.startswith(INTRUDER):
            documents = collection_size(client[database], name).documents
            yield (
                f"{name} holds {documents:,} documents that somebody wrote under a name that an earlier release or its rollback "
                "needed. Decide whether to keep them, and rename or drop the collection."
            )


def _kept_warnings(database: Database[Document]) -> Iterable[str]:
    displaced = {move.source for move in find_displaced(database)}
    for name in find_kept(database):
        if name not in displaced:
            documents = collection_size(database, name).documents
            yield (
                f"{name} holds {documents:,} documents, and may be their only copy: the collection that replaced it was dropped "
                f"since, or no release made it. The release keeps it, as {INTRUDER}NUMBER.NAME if its name is needed. Decide "
                "whether to keep it, and rename or drop it."
            )
