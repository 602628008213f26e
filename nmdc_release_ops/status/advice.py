"""What to do next about the state of the origin."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from nmdc_release_ops.mongo.origin_state import OriginState
from nmdc_release_ops.mongo.state.step_report import Stage, StepReport
from nmdc_release_ops.schema.version import InvalidSchemaVersion, SchemaVersion
from nmdc_release_ops.status.ways import Way
from nmdc_release_ops.units import duration

THAW_SECONDS = 60
"""A thaw takes a second; one that has been tried for this long does not succeed by itself."""
_NOTHING = "Nothing has to be done."


class Urgency(StrEnum):
    """Whether somebody has to do something."""

    NOTHING = "nothing"
    WAIT = "wait"
    ACT = "act"


class Advice(BaseModel):
    """The next action."""

    model_config = ConfigDict(frozen=True)

    urgency: Urgency
    says: str


@dataclass(frozen=True)
class Situation:
    """What the advice depends on.

    Attributes:
        is_over: whether nobody is left who finishes what the lease on the origin is for.
        is_displaced: whether a collection that should be live is not, or the other way round.
        ledger_problem: what is wrong with the ledger, a sentence or two; empty if nothing is.
        version: of the schema that the database conforms to; None where that is unknown.
        working: what runs report.
        newest: the newest schema release; None where that is unknown.
    """

    state: OriginState
    is_over: bool
    is_displaced: bool
    ledger_problem: str
    version: str | None
    working: Sequence[StepReport]
    promotion: Way
    newest: str | None


def advise(found: Situation) -> Advice:
    """The next action, the most urgent first."""
    state = found.state
    lease = state.lease
    if lease is not None and lease.thawing and lease.seconds_thawing > THAW_SECONDS:
        return _act(
            f"The thaw has been tried for {duration(lease.seconds_thawing)} without success, and writes may be blocked. The "
            "ticks of frozen_origin_watchdog, or the log of the run, say why: correct the cause, then launch the job `unfreeze`."
        )
    if not found.is_over:
        return _wait("Wait until the release is done.")
    if state.is_swap_under_way:
        return _act("Finish or undo the swap, as said above. Read docs/runbook.md first.")
    if lease is not None:
        return _act(
            "Its run is over: frozen_origin_watchdog thaws the origin within half a minute. So does the job `unfreeze`."
        )
    if state.leftovers:
        return _act("Launch the job `unfreeze`.")
    if state.is_write_blocked:
        return _act("Find out who blocked writes, as said above.")
    if found.is_displaced:
        return _act("Collections are not where they should be: put them back, as the warnings say.")
    if found.ledger_problem:
        return _act("The ledger is not as releases left it: correct it, as the warnings say.")
    at_work = next((one for one in found.working if one.stage is Stage.WORKING and not one.is_silent), None)
    if at_work is not None:
        return _wait(f"Wait until run {at_work.run_id} ({at_work.job}) is done.")
    return Advice(urgency=Urgency.NOTHING, says=_suggest(found))


def _act(says: str) -> Advice:
    return Advice(urgency=Urgency.ACT, says=says)


def _wait(says: str) -> Advice:
    return Advice(urgency=Urgency.WAIT, says=says)


def _suggest(found: Situation) -> str:
    """What an operator can do while nothing has to be done."""
    stopped = next((report for report in found.working if report.stage is not Stage.DONE), None)
    if stopped is not None and stopped.stage is Stage.FAILED:
        return f"{_NOTHING} Run {stopped.run_id} failed in `{stopped.step}`: its run page says what to correct and how to go on."
    if stopped is not None:
        silent = duration(stopped.seconds_silent or 0)
        return (
            f"{_NOTHING} Run {stopped.run_id} has not reported from `{stopped.step}` for {silent}: its run page says whether it "
            "is over. If it was killed, re-execute it from failure."
        )
    if found.promotion.is_possible:
        return f"{_NOTHING} When it suits, launch the job `promote`."
    if found.newest is not None and found.version is not None and _is_newer(found.newest, found.version):
        return (
            f"{_NOTHING} Schema {found.newest} is published: run `nmdc-release check`, then launch the job `rehearsal`."
        )
    return _NOTHING


def _is_newer(newest: str, version: str) -> bool:
    try:
        return SchemaVersion.parse(newest) > SchemaVersion.parse(version)
    except InvalidSchemaVersion:
        return False
