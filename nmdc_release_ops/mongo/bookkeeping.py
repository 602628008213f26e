"""The events of a swap: what it and its undoing write into the ledger, together with the journal.

A swap begins only where the ledger takes its first event. Once it has begun, nothing that the ledger refuses keeps it, or its
undoing, from coming to its end: the journal then says what it owes the ledger, and why, and it is written at the next
occasion. Until then the ledger's word is false and the journal's is right, so that whoever asks which version the database
conforms to has to ask here.
"""

from collections.abc import Set
from contextlib import suppress

from pymongo.client_session import ClientSession
from pymongo.database import Database

from nmdc_release_ops.mongo import ledger
from nmdc_release_ops.mongo.connection import Document
from nmdc_release_ops.mongo.errors import MongoError
from nmdc_release_ops.mongo.journal import Journal, Owed, State, journals, newest_journal, read_journal, write_journal
from nmdc_release_ops.mongo.lease import require_lease
from nmdc_release_ops.mongo.ledger import Event, LedgerUnusable

_VIEW_NOT_LOOKED_AT = Owed(event=None, why="Nobody has looked yet whether the ledger's view says the version.")


class LedgerChanged(MongoError):
    """The database has been migrated, or rolled back, by somebody else since the release was planned."""


def begin(origin: Database[Document], journal: Journal, run_id: str) -> Journal:
    """Write the journal of a swap and the ledger's first event of it: both or neither, and only by the holder.

    Returns:
        The journal, numbered after those before it: the last swap is told by its number and no clock.

    Raises:
        LedgerUnusable: nothing was begun.
        LeaseLost: the origin was thawed meanwhile; nothing was begun.
    """
    before = newest_journal(origin.client, origin.name)
    if before is not None and before.owed is not None:
        settle(origin, before)
    ledger.ensure_view(origin)

    def write(session: ClientSession) -> Journal:
        require_lease(origin.client, journal.release_id, run_id, session)
        _record(origin, Event.STARTED, journal, session)
        last = newest_journal(origin.client, origin.name, session)
        numbered = journal.model_copy(update={"number": ((last and last.number) or 0) + 1})
        write_journal(origin.client, numbered, session)
        return numbered

    with origin.client.start_session() as session:
        begun = session.with_transaction(write)
    with suppress(LedgerUnusable):
        ledger.ensure_view_says(origin, None)
    return begun


def conclude(origin: Database[Document], done: Journal, event: Event, run_id: str) -> Journal:
    """Write the last event into the ledger and the last state into the journal, together, and only by the holder.

    Where the ledger refuses the event, the journal is written alone.

    Returns:
        The journal as it was written: with what it owes the ledger, and the intruders that were found meanwhile.

    Raises:
        LeaseLost: another run goes on in place of this one.
    """

    def write(session: ClientSession, owed: Owed) -> Journal:
        require_lease(origin.client, done.release_id, run_id, session)
        if owed.event is None:
            _record(origin, event, done, session)
        current = read_journal(origin.client, done.release_id, session) or done
        written = done.model_copy(update={"owed": owed, "intruders": current.intruders})
        write_journal(origin.client, written, session)
        return written

    with origin.client.start_session() as session:
        try:
            written = session.with_transaction(lambda session: write(session, _VIEW_NOT_LOOKED_AT))
        except LedgerUnusable as refusal:
            owed = Owed(event=event, why=str(refusal), newest=_newest_id(origin))
            return session.with_transaction(lambda session: write(session, owed))
    return _settle_view(origin, written)


def settle(origin: Database[Document], journal: Journal) -> Journal:
    """Write what a finished swap, or a finished undoing, owes the ledger. To be called at any time, by anybody.

    Returns:
        The journal, which says what it owes still.
    """
    if journal.is_under_way:
        return journal
    try:
        superseded = is_superseded(origin, journal)

        def write(session: ClientSession) -> Journal:
            current = read_journal(origin.client, journal.release_id, session) or journal
            if current.state is not journal.state or current.owed is None or current.owed.event is None:
                return current
            if not superseded:
                _record(origin, current.owed.event, current, session)
            paid = current.model_copy(update={"owed": _VIEW_NOT_LOOKED_AT})
            write_journal(origin.client, paid, session)
            return paid

        with origin.client.start_session() as session:
            current = session.with_transaction(write)
    except LedgerUnusable:
        return journal
    return current if current.is_under_way else _settle_view(origin, current)


def conforming_version(origin: Database[Document]) -> str | None:
    """The version that the database conforms to: the ledger's word, or the journal's where it owes the ledger an event.

    None where neither says.

    Raises:
        LedgerUnusable: the ledger cannot be read, and the journal does not know better.
    """
    journal = newest_journal(origin.client, origin.name)
    if journal is not None and is_owed(origin, journal):
        return journal.version
    return ledger.recorded_version(origin)


def is_owed(origin: Database[Document], journal: Journal) -> bool:
    """Whether the ledger lacks the last event of a release, and nobody has migrated the database since."""
    return journal.owed is not None and journal.owed.event is not None and not is_superseded(origin, journal)


def require_conforming(origin: Database[Document], versions: Set[str | None]) -> None:
    """Make sure that the database is still at the version that a release was planned for.

    Args:
        versions: what may be known of it; None where nothing is.

    Raises:
        LedgerChanged: it is at another one.
        LedgerUnusable.
    """
    found = conforming_version(origin)
    if found not in versions:
        raise LedgerChanged(
            f"The ledger says that the database conforms to schema {found or 'unknown'} now, and this release was planned when "
            f"it was {' or '.join(sorted(version for version in versions if version))}: another release, a rollback or the "
            "Runtime's own migration came in between. Nothing was written. Launch a new release instead of this run."
        )


def _settle_view(origin: Database[Document], journal: Journal) -> Journal:
    """Make the view say what the ledger's newest event says, where that is this release's; note whether it does."""
    owed = None
    try:
        last = ledger.last_event(origin)
        if last is not None and last.release_id == journal.release_id:
            ledger.ensure_view_says(origin, journal.version)
    except LedgerUnusable as refusal:
        owed = Owed(event=None, why=str(refusal))
    settled = journal.model_copy(update={"owed": owed})
    journals(origin.client).update_one(
        {"_id": journal.release_id, "state": journal.state, "owed.event": None},
        {"$set": {"owed": owed.model_dump(mode="json") if owed else None}},
    )
    return settled


def is_superseded(origin: Database[Document], journal: Journal) -> bool:
    """Whether somebody has recorded a migration after the one whose event is owed: then it would come too late.

    By the moments of the events, never by what is missing: an administrator may have removed any of them.
    """
    if journal.owed is None or journal.owed.event is None:
        return False
    try:
        last = ledger.last_event(origin)
        if last is None or last.release_id == journal.release_id or last.id == journal.owed.newest:
            return False
        moments = ledger.moments_of(origin, journal.release_id, journal.owed.newest)
    except LedgerUnusable:
        return False
    # Events of ours are later than all before them. Where none is left, the end of what is owed has to do.
    ended = journal.rolled_back_at if journal.state is State.ROLLED_BACK else journal.swapped_at
    since = max(moments, default=ended)
    return since is not None and last.moment > since


def _newest_id(origin: Database[Document]) -> str | None:
    try:
        last = ledger.last_event(origin)
    except LedgerUnusable:
        return None
    return last.id if last else None


def _record(origin: Database[Document], event: Event, journal: Journal, session: ClientSession) -> None:
    ledger.record(
        origin,
        event,
        from_version=journal.from_version,
        to_version=journal.to_version,
        migrator_module=journal.migrator_module,
        release_id=journal.release_id,
        session=session,
    )
