"""What the journals and the ledger record about past releases of a database, read once."""

from dataclasses import dataclass

from pymongo.database import Database

from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.state import ledger
from nmdc_release_ops.mongo.state.bookkeeping import is_owed
from nmdc_release_ops.mongo.state.journal import Journal, list_journals
from nmdc_release_ops.mongo.state.ledger import Event, Recorded


@dataclass(frozen=True)
class History:
    """The past releases of a database.

    Attributes:
        journals: of all releases that reached their swap, newest first.
        owing: the newest journal, if the ledger lacks its last event; else None.
        last_event: the newest event of the ledger; None where the ledger is empty, or lacks an event.
    """

    journals: tuple[Journal, ...]
    owing: Journal | None
    last_event: Recorded | None

    @property
    def newest(self) -> Journal | None:
        """The journal of the last release that reached its swap; None if there was none."""
        return self.journals[0] if self.journals else None

    @property
    def version(self) -> str | None:
        """The version that the database conforms to; None where neither journals nor ledger have one."""
        if self.owing is not None:
            return self.owing.version
        return self.last_event.version if self.last_event else None

    @property
    def in_force(self) -> tuple[Journal, ...]:
        """The journals of the releases that were swapped in and not rolled back, newest first."""
        return tuple(journal for journal in self.journals if journal.is_in_force)

    def candidate_release(self, version: str) -> Journal | None:
        """The release that brought the data to `version`, if it was of a release candidate; else None.

        The ledger does not show this: its events are the same for a candidate and for the official release of that version.

        Args:
            version: the one that the database conforms to, in three numbers.
        """
        journal = next((one for one in self.in_force if one.to_version == version), None)
        if journal is None or journal.candidate is None:
            return None
        last = self.last_event
        # Another tool, such as the Runtime's own migration, may have brought the data to this version since.
        by_others = last is not None and last.event is Event.COMPLETED and last.release_id != journal.release_id
        return None if by_others else journal


def read_history(database: Database[Document]) -> History:
    """Read the journals and the ledger.

    Raises:
        LedgerUnusable: the ledger cannot be read.
    """
    last_event = ledger.last_event(database)
    journals = tuple(list_journals(database.client, database.name))
    newest = journals[0] if journals else None
    if newest is not None and is_owed(database, newest):
        return History(journals, newest, None)
    return History(journals, None, last_event)
