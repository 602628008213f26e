"""What an operator can undo or carry out now: the last release's rollback, and a rehearsal's promotion."""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from pymongo.database import Database

from nmdc_release_ops.folders import find_rehearsals
from nmdc_release_ops.mongo.delta.moment import oplog_reaches_back_to
from nmdc_release_ops.mongo.server.collections import find_names
from nmdc_release_ops.mongo.server.connection import Document
from nmdc_release_ops.mongo.server.identity import identify_set
from nmdc_release_ops.mongo.state.journal import Journal, State
from nmdc_release_ops.mongo.swapping.rollback import describe_superseded
from nmdc_release_ops.planning.rehearsals import NothingToPromote, Rehearsal, choose_rehearsal
from nmdc_release_ops.status.sentences import format_time
from nmdc_release_ops.units import duration


class Way(BaseModel):
    """Whether a job can be launched now.

    Attributes:
        release_id: the one that it would be about; None where there is none.
        says: why, or until when, in sentences.
        oplog_seconds_left: of a promotion: how far the oplog reaches back beyond the rehearsal; None where that is not known.
    """

    model_config = ConfigDict(frozen=True)

    is_possible: bool
    release_id: str | None
    says: str
    oplog_seconds_left: float | None = None


def find_rollback(database: Database[Document], journal: Journal | None) -> Way:
    """Whether the last release can be rolled back.

    Args:
        journal: of the last release that began its swap.
    """
    if journal is None:
        return Way(is_possible=False, release_id=None, says="No release of this project was swapped in.")
    match journal.state:
        case State.SWAPPING:
            says = "The job `rollback` undoes the half-done swap."
        case State.ROLLING_BACK:
            says = "The job `rollback` finishes undoing the swap."
        case State.ROLLED_BACK:
            return Way(is_possible=False, release_id=journal.release_id, says=_describe_rolled_back(journal))
        case State.SWAPPED:
            if lost := _find_lost(database, journal):
                what = f"Somebody dropped or renamed what it swapped out: {', '.join(lost)}."
                says = f"{what} Read docs/runbook.md, RollbackImpossible."
                return Way(is_possible=False, release_id=journal.release_id, says=says)
            if superseded := describe_superseded(database, journal):
                says = f"It cannot be rolled back: {superseded} Undo that one first, with the tool that made it."
                return Way(is_possible=False, release_id=journal.release_id, says=says)
            says = f"Until the next release, the job `rollback` brings back schema {journal.from_version}."
    return Way(is_possible=True, release_id=journal.release_id, says=says)


def _describe_rolled_back(journal: Journal) -> str:
    when = f" at {format_time(journal.rolled_back_at)}" if journal.rolled_back_at else ""
    return f"The last release was rolled back{when}."


def _find_lost(database: Database[Document], journal: Journal) -> list[str]:
    """Names of the collections that the release swapped out and that are no longer where it put them."""
    names = find_names(database)
    return sorted(name for uuid, (name, place) in journal.swapped_out.items() if names.get(uuid) != place)


def find_promotion(database: Database[Document], home: Path) -> Way:
    """Whether a rehearsal can be promoted, and until when.

    Args:
        home: `NMDC_RELEASE_HOME`.
    """
    if obstacle := _find_obstacle(home):
        return Way(is_possible=False, release_id=None, says=obstacle)
    try:
        folders = find_rehearsals(home, identify_set(database.client), database.name)
        rehearsal, warnings = choose_rehearsal(folders, database, home / "schema", None)
    except NothingToPromote as nothing:
        says = "There is no rehearsal." if not nothing.problems else f"The newest cannot be: {nothing.problems[0]}."
        return Way(is_possible=False, release_id=None, says=says)
    except OSError as error:
        return Way(is_possible=False, release_id=None, says=f"The rehearsals in {home} cannot be read: {error}.")
    left = measure_oplog_left(database, rehearsal.manifest.cluster_time.seconds)
    return Way(
        is_possible=True,
        release_id=rehearsal.plan.release_id,
        says=" ".join([_describe_promotion(rehearsal, left), *warnings]),
        oplog_seconds_left=left,
    )


def _find_obstacle(home: Path) -> str:
    """Why it cannot be told which rehearsals there are; empty if it can."""
    if not home.is_dir():
        return f"The folder {home} (NMDC_RELEASE_HOME) is not on this machine, so rehearsals cannot be seen."
    if not os.access(home, os.R_OK | os.X_OK):
        return f"This user may not read {home} (NMDC_RELEASE_HOME), so rehearsals cannot be seen."
    return ""


def measure_oplog_left(database: Database[Document], since: int) -> float | None:
    """Seconds by which the oplog reaches back beyond a moment; None where the user may not ask.

    Args:
        since: the moment, seconds since 1970 by the server's clock.
    """
    oldest = oplog_reaches_back_to(database.client)
    return None if oldest is None else float(since - oldest.seconds)


def _describe_promotion(rehearsal: Rehearsal, left: float | None) -> str:
    plan = rehearsal.plan
    what = f"The job `promote` carries out {plan.release_id}, schema {plan.from_version} -> {plan.to_version}."
    if left is None:
        return what
    return (
        f"{what} That is possible until the oplog no longer reaches back to the rehearsal: it holds another {duration(left)} "
        "of writes from before it."
    )
