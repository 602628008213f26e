"""The state of the origin in sentences."""

from datetime import datetime

from nmdc_release_ops.mongo.freezing.choose import strategy_of
from nmdc_release_ops.mongo.origin_state import OriginState
from nmdc_release_ops.mongo.state.journal import Journal, State
from nmdc_release_ops.mongo.state.lease import Lease
from nmdc_release_ops.units import duration

FINISH_OR_UNDO = "Re-execute the run from failure to finish the swap, or launch the job `rollback` to undo it."
FINISH_ROLLBACK = "Launch the job `rollback` to finish undoing it."


def describe_origin(state: OriginState, run_id: str) -> str:
    """Describe who holds the origin, whether others can write to it, how far a swap is, and the action to take.

    Args:
        run_id: of the run to call "this run".
    """
    if state.lease is None:
        return _describe_unheld(state)
    sentences = [_describe_hold(state, state.lease, run_id), describe_swap(state.journal)]
    if state.journal and state.journal.is_under_way:
        if state.is_frozen:
            sentences += ["It stays frozen on purpose.", _advise(state.journal)]
        else:
            sentences += [_advise(state.journal), "Do it at once."]
    return " ".join(sentences)


def _describe_unheld(state: OriginState) -> str:
    frozen = "The origin is not frozen: no release holds it."
    if state.leftovers:
        frozen = " ".join(str(leftover) for leftover in state.leftovers)
    elif state.is_write_blocked:
        frozen = (
            "Writes to the origin are blocked, but no release holds it: somebody else blocked them, so releases do not lift the "
            "block. Find out who blocked them, and lift it with setUserWriteBlockMode."
        )
    if state.journal is None or not state.journal.is_under_way:
        return frozen
    is_blocked = bool(state.leftovers or state.is_write_blocked)
    seen = f"Users see the swap half done{'' if is_blocked else ', and can write to it'}."
    return f"{frozen} {describe_swap(state.journal)} {seen} {_advise(state.journal)} Do it at once."


def _describe_hold(state: OriginState, lease: Lease, run_id: str) -> str:
    who = "this run" if lease.run_id == run_id else f"release {lease.release_id} (run {lease.run_id}, {lease.holder})"
    held = f"The origin has been held by {who} since {format_time(lease.taken_at)}"
    if lease.thawing:
        return f"{held}, and is being thawed{_describe_thaw(lease)}."
    if not strategy_of(lease.strategy).blocks_writes:
        return f"{held}; nobody is prevented from writing, because it does not require authentication."
    if lease.frozen_at is None:
        return f"{held}; freezing was begun and is not finished."
    if not state.is_frozen:
        return f"{held}, and somebody lifted the freeze: users can write to it."
    return f"The origin has been frozen by {who} since {format_time(lease.frozen_at)}."


def _describe_thaw(lease: Lease) -> str:
    return f": that has been tried for {duration(lease.seconds_thawing)}" if lease.seconds_thawing >= 1 else ""


def describe_swap(journal: Journal | None) -> str:
    """How far the swap of a release is."""
    if journal is None:
        return "No swap was begun. The origin's data are unchanged."
    name = f"swap of release {journal.release_id}"
    match journal.state:
        case State.SWAPPING:
            return f"The {name} was begun: {journal.made} of its {len(journal.moves)} moves are on record as made."
        case State.SWAPPED:
            return f"The {name} is complete: the database is at schema {journal.to_version}."
        case State.ROLLING_BACK:
            return f"Undoing the {name} was begun and is not finished."
        case State.ROLLED_BACK:
            return f"The {name} was undone: the database is at schema {journal.from_version}."


def _advise(journal: Journal) -> str:
    return FINISH_ROLLBACK if journal.state is State.ROLLING_BACK else FINISH_OR_UNDO


def format_time(moment: datetime) -> str:
    """A moment as people read it."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
