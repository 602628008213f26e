"""Which release is in force: the one that swapped last and was not rolled back."""

from pymongo.database import Database

from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.state.bookkeeping import LedgerChanged
from nmdc_release_ops.mongo.state.journal import journals_in_force


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
            f"The data now come from {_name(found)}; this release was planned when they came from {_name(planned)}. "
            "Nothing was written. Launch a new run instead of this one."
        )


def _name(release_id: str | None) -> str:
    return f"release {release_id}" if release_id else "no release of this project"
