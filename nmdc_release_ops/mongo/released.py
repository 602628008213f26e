"""Which release brought the data to their version: a published one, or a candidate."""

from pymongo.database import Database

from nmdc_release_ops.mongo import ledger
from nmdc_release_ops.mongo.bookkeeping import is_owed
from nmdc_release_ops.mongo.connection import Document
from nmdc_release_ops.mongo.journal import Journal, journals_in_force


def candidate_release(origin: Database[Document], version: str) -> Journal | None:
    """The release that brought the data to `version`, if it was of a release candidate; else None.

    The ledger cannot say: in it, a candidate and the official release of the same version look the same.

    Args:
        version: the one that the database conforms to, in three numbers.
    """
    in_force = journals_in_force(origin.client, origin.name)
    journal = next((one for one in in_force if one.to_version == version), None)
    if journal is None or journal.candidate is None:
        return None
    last = None if is_owed(origin, journal) else ledger.last_event(origin)
    # Another tool, such as the Runtime's own migration, may have brought them there since.
    by_others = last is not None and last.event is ledger.Event.COMPLETED and last.release_id != journal.release_id
    return None if by_others else journal
