"""Which release brought the data to the version that they have: a published one, or a candidate."""

from pymongo import DESCENDING
from pymongo.database import Database

from nmdc_release_ops.mongo import ledger
from nmdc_release_ops.mongo.connection import Document
from nmdc_release_ops.mongo.journal import Journal, State, journals, read_journal


def candidate_release(origin: Database[Document], version: str) -> Journal | None:
    """The release that brought the data to `version`, where that was a release candidate's; else None.

    The ledger does not know: a candidate and the official release of the same version look the same in it.

    Args:
        version: the one that the database conforms to, in three numbers.
    """
    found = journals(origin.client).find_one(
        {"database": origin.name, "to_version": version, "state": str(State.SWAPPED)}, sort=[("started_at", DESCENDING)]
    )
    journal = None if found is None else read_journal(origin.client, found["_id"])
    if journal is None or journal.candidate is None:
        return None
    last = ledger.last_event(origin) or {}
    # Another tool, such as the Runtime's own migration, may have brought them there since.
    by_others = last.get("event") == ledger.Event.COMPLETED and last.get("release_id") != journal.release_id
    return None if by_others else journal
