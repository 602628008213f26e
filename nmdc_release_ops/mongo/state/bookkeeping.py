"""The events that a swap, or its rollback, writes into the ledger together with the journal.

A swap begins only if the ledger accepts its first event. Once it has begun, a ledger that rejects an event stops neither the
swap nor its rollback: the journal records which event it owes the ledger, and why, and the event is written later. Until then
the ledger is wrong and the journal is right; `conforming_version` takes both into account.
"""

from collections.abc import Set
from contextlib import suppress

from pymongo.client_session import ClientSession
from pymongo.database import Database

from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.state import ledger, ledger_view
from nmdc_release_ops.mongo.state.journal import (
    Journal,
    Owed,
    State,
    journals,
    newest_journal,
    read_journal,
    write_journal,
)
from nmdc_release_ops.mongo.state.lease import require_lease
from nmdc_release_ops.mongo.state.ledger import Event, LedgerUnusable

_VIEW_NOT_CHECKED = Owed(event=None, why="The ledger's view has not been checked yet.")


class LedgerChanged(MongoError):
    """Somebody else has migrated or rolled back the database since the release was planned."""


def begin(database: Database[Document], journal: Journal, run_id: str) -> Journal:
    """Write the journal of a swap and its first event in the ledger, in one transaction that checks the lease.

    Returns:
        The journal with its number, one more than the last. The number, and not a clock, determines which swap is the last.

    Raises:
        LedgerUnusable: nothing was begun.
        LeaseLost: the origin was thawed meanwhile; nothing was begun.
    """
    before = newest_journal(database.client, database.name)
    if before is not None and before.owed is not None:
        settle(database, before)
    ledger_view.ensure_view(database)

    def write(session: ClientSession) -> Journal:
        require_lease(database.client, journal.release_id, run_id, session)
        _record(database, Event.STARTED, journal, session)
        last = newest_journal(database.client, database.name, session)
        numbered = journal.model_copy(update={"number": ((last and last.number) or 0) + 1})
        write_journal(database.client, numbered, session)
        return numbered

    with database.client.start_session() as session:
        begun = session.with_transaction(write)
    with suppress(LedgerUnusable):
        ledger_view.ensure_view_shows(database, None)
    return begun


def conclude(database: Database[Document], done: Journal, event: Event, run_id: str) -> Journal:
    """Write the last event into the ledger and the last state into the journal, in one transaction that checks the lease.

    Where the ledger rejects the event, only the journal is written.

    Returns:
        The journal as it was written: with what it owes the ledger, and with intruders that were recorded in the meantime.

    Raises:
        LeaseLost: another run has taken over.
    """

    def write(session: ClientSession, owed: Owed) -> Journal:
        require_lease(database.client, done.release_id, run_id, session)
        if owed.event is None:
            _record(database, event, done, session)
        current = read_journal(database.client, done.release_id, session) or done
        written = done.model_copy(update={"owed": owed, "intruders": current.intruders})
        write_journal(database.client, written, session)
        return written

    with database.client.start_session() as session:
        try:
            written = session.with_transaction(lambda session: write(session, _VIEW_NOT_CHECKED))
        except LedgerUnusable as refusal:
            owed = Owed(event=event, why=str(refusal), newest=_newest_id(database))
            return session.with_transaction(lambda session: write(session, owed))
    return _settle_view(database, written)


def settle(database: Database[Document], journal: Journal) -> Journal:
    """Write what a finished swap or rollback owes the ledger. Safe to call at any time, by any process.

    Returns:
        The journal, with what it still owes.
    """
    if journal.is_under_way:
        return journal
    try:
        superseded = is_superseded(database, journal)

        def write(session: ClientSession) -> Journal:
            current = read_journal(database.client, journal.release_id, session) or journal
            if current.state is not journal.state or current.owed is None or current.owed.event is None:
                return current
            if not superseded:
                _record(database, current.owed.event, current, session)
            paid = current.model_copy(update={"owed": _VIEW_NOT_CHECKED})
            write_journal(database.client, paid, session)
            return paid

        with database.client.start_session() as session:
            current = session.with_transaction(write)
    except LedgerUnusable:
        return journal
    return current if current.is_under_way else _settle_view(database, current)


def conforming_version(database: Database[Document]) -> str | None:
    """The version that the database conforms to, by the ledger, or by the journal where it owes the ledger an event.

    None where neither has a version.

    Raises:
        LedgerUnusable: the ledger cannot be read, and the journal owes it nothing.
    """
    journal = newest_journal(database.client, database.name)
    if journal is not None and is_owed(database, journal):
        return journal.version
    return ledger.recorded_version(database)


def is_owed(database: Database[Document], journal: Journal) -> bool:
    """Whether the ledger lacks the last event of a release, and no other migration was recorded since."""
    return journal.owed is not None and journal.owed.event is not None and not is_superseded(database, journal)


def require_conforming(database: Database[Document], versions: Set[str | None]) -> None:
    """Check that the database is still at the version that a release was planned for.

    Args:
        versions: the acceptable ones; None stands for an unknown version.

    Raises:
        LedgerChanged: it is at another version.
        LedgerUnusable.
    """
    version = conforming_version(database)
    if version not in versions:
        raise LedgerChanged(
            f"The ledger says that the database conforms to schema {version or 'unknown'} now. This run was planned when it "
            f"was {' or '.join(sorted(known for known in versions if known))}: another release, a rollback or the "
            "Runtime's own migration happened in between. Nothing was written. Launch a new run instead of this one."
        )


def _settle_view(database: Database[Document], journal: Journal) -> Journal:
    """Make the view agree with the ledger's newest event if that is this release's; record whether it does."""
    owed = None
    try:
        last = ledger.last_event(database)
        if last is not None and last.release_id == journal.release_id:
            ledger_view.ensure_view_shows(database, journal.version)
    except LedgerUnusable as refusal:
        owed = Owed(event=None, why=str(refusal))
    settled = journal.model_copy(update={"owed": owed})
    journals(database.client).update_one(
        {"_id": journal.release_id, "state": journal.state, "owed.event": None},
        {"$set": {"owed": owed.model_dump(mode="json") if owed else None}},
    )
    return settled


def is_superseded(database: Database[Document], journal: Journal) -> bool:
    """Whether a migration was recorded after the one whose event is owed: then that event would come too late.

    Decided by the times of the events, never by what is missing: an administrator may have removed any of them.
    """
    if journal.owed is None or journal.owed.event is None:
        return False
    try:
        last = ledger.last_event(database)
        if last is None or last.release_id == journal.release_id or last.id == journal.owed.newest:
            return False
        moments = ledger.moments_of(database, journal.release_id, journal.owed.newest)
    except LedgerUnusable:
        return False
    # Each of our events is later than all before it. Where none of them is left, the end of the swap or rollback is used.
    ended = journal.rolled_back_at if journal.state is State.ROLLED_BACK else journal.swapped_at
    since = max(moments, default=ended)
    return since is not None and last.moment > since


def _newest_id(database: Database[Document]) -> str | None:
    try:
        last = ledger.last_event(database)
    except LedgerUnusable:
        return None
    return last.id if last else None


def _record(database: Database[Document], event: Event, journal: Journal, session: ClientSession) -> None:
    ledger.record(
        database,
        event,
        from_version=journal.from_version,
        to_version=journal.to_version,
        migrator_module=journal.migrator_module,
        release_id=journal.release_id,
        session=session,
    )
