"""Which release brought the data to their version: a published one, or a candidate."""

from pymongo.database import Database

from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.state import ledger
from nmdc_release_ops.mongo.state.bookkeeping import LedgerChanged, is_owed
from nmdc_release_ops.mongo.state.journal import Journal, journals_in_force


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


def release_in_force(origin: Database[Document]) -> str | None:
    """The release that swapped last and was not rolled back; None where there is none."""
    in_force = journals_in_force(origin.client, origin.name)
    return in_force[0].release_id if in_force else None


def require_in_force(origin: Database[Document], planned: str | None, release_id: str) -> None:
    """Make sure that the data are still those of the release that was in force when this one was planned. Their version alone
    does not show it: a candidate and the official release have the same.

    Args:
        planned: the release that was in force then.
        release_id: this release, which may have swapped already.

    Raises:
        LedgerChanged: another release, or a rollback, came in between.
    """
    found = release_in_force(origin)
    if found not in (planned, release_id):
        raise LedgerChanged(
            f"The data are now those of {_name(found)}, and this release was planned when they were those of {_name(planned)}. "
            "Nothing was written. Launch a new release instead of this run."
        )


def _name(release_id: str | None) -> str:
    return f"release {release_id}" if release_id else "no release of this project"
