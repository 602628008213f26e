"""A release in sentences: the outcome in one, how to undo it, and a few lines for a terminal or a run page."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from nmdc_release_ops.pages.summary import Outcome, ReleaseSummary, Standing, Swap
from nmdc_release_ops.units import duration, size

DATA_AS_THEY_WERE = "The origin's data are as they were."
_MOST_COLLECTIONS = 6


def moment(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"


def describe_outcome(summary: ReleaseSummary, standing: Standing) -> str:
    """The outcome in one sentence or two."""
    path = f"{summary.from_version} → {summary.to_version}"
    match summary.outcome:
        case Outcome.UNDER_WAY:
            done = [step.name for step in summary.steps if step.outcome is Outcome.SUCCEEDED]
            after = f"after the step {done[-1]}" if done else "at its begin"
            return f"{summary.word} {path} was under way when this page was written, {after}."
        case Outcome.SUCCEEDED if summary.is_rollback:
            return f"Rolled back: {summary.database} is at schema {summary.to_version} again.{_blocked(summary)}"
        case Outcome.SUCCEEDED if summary.is_rehearsal:
            return (
                f"Rehearsed: {path} would change {_documents(summary)}. Nobody was kept from writing, and the origin stays as "
                "it is."
            )
        case Outcome.SUCCEEDED if summary.swap is Swap.DONE:
            undone = f" It was rolled back at {moment(standing.rolled_back)}." if standing.rolled_back else ""
            return (
                f"Released: {summary.database} went from schema {summary.from_version} to {summary.to_version}."
                f"{_blocked(summary)}{undone}"
            )
    ended = "was cancelled" if summary.outcome is Outcome.CANCELLED else "failed"
    if summary.outcome is Outcome.SUCCEEDED:
        ended = "ended before its swap, because later steps were not selected"
    where = f" in {summary.stopped_in}" if summary.stopped_in else ""
    return f"{summary.word} {path} {ended}{where}. {_describe_swap(summary)}{_describe_thaw(summary)}"


def _describe_thaw(summary: ReleaseSummary) -> str:
    if not summary.blocked or summary.is_rehearsal:
        return ""
    if summary.blocked_seconds is None:
        return f" Writes have been blocked since {moment(summary.blocked[-1].since)}."
    return f" Writes were blocked for {describe_blocked(summary)} and are allowed again."


def _describe_swap(summary: ReleaseSummary) -> str:
    if summary.is_rehearsal:
        return "The origin is as it was."
    match summary.swap:
        case Swap.NOT_BEGUN:
            return DATA_AS_THEY_WERE
        case Swap.BEGUN:
            return "The swap was begun and is not finished: the origin stays frozen on purpose."
        case Swap.DONE if summary.is_rollback:
            return "Nothing was undone."
        case Swap.DONE:
            return f"The swap is complete: the database is at schema {summary.to_version}."
        case Swap.UNDOING:
            return "Undoing the swap was begun and is not finished."
        case Swap.UNDONE if summary.is_rollback:
            return f"The swap is undone: the database is at schema {summary.to_version}."
        case Swap.UNDONE:
            return f"The swap was undone: the database is at schema {summary.from_version}."
        case Swap.UNKNOWN:
            return "The origin could not be asked how far its swap is: launch the job status."


def _blocked(summary: ReleaseSummary) -> str:
    return f" Writes were blocked for {describe_blocked(summary)}."


def describe_blocked(summary: ReleaseSummary) -> str:
    """How long writes were blocked."""
    if summary.is_rehearsal:
        return "never"
    if summary.blocked is None:
        return "a time that is not known"
    if (seconds := summary.blocked_seconds) is None:
        return f"longer: since {moment(summary.blocked[-1].since)}"
    freezes = f", in {len(summary.blocked)} freezes" if len(summary.blocked) > 1 else ""
    return duration(seconds) + freezes


def _documents(summary: ReleaseSummary) -> str:
    if not summary.counts:
        return "no document"
    return f"{summary.documents_changed:,} documents in {len(summary.counts)} collections"


def describe_changes(summary: ReleaseSummary) -> str:
    """Which collections changed, and how many documents of each."""
    if summary.changes is None:
        return "not known: it did not get that far"
    most = sorted(summary.counts, key=lambda one: -(one.changed + one.added + one.removed))
    shown = [f"{one.name} {one.changed + one.added + one.removed:,}" for one in most[:_MOST_COLLECTIONS]]
    more = [f"{len(most) - len(shown)} more"] if len(most) > len(shown) else []
    listed = f"; documents: {', '.join([*shown, *more])}" if shown else ""
    return f"{summary.changes.describe()}{listed}"


def describe_undoing(summary: ReleaseSummary, standing: Standing) -> list[str]:
    """Until when and how it can be undone, or what to do next: a sentence or two each."""
    if summary.is_rollback:
        return _after_rollback(summary)
    if summary.outcome is Outcome.UNDER_WAY:
        return [
            "If its run is over, it was cancelled or killed: its run page says so. Re-execute the run from failure."
        ]
    if summary.is_rehearsal:
        return _after_rehearsal(summary, standing)
    if standing.rolled_back:
        return [
            f"It was rolled back at {moment(standing.rolled_back)}. Launch a new release when the cause is corrected."
        ]
    if summary.is_released and standing.followed_by:
        return [
            f"It can no longer be rolled back: release {standing.followed_by} was swapped in since, and only the last one can "
            "be."
        ]
    if summary.is_released:
        return [
            "Launch the job rollback, until the next release is swapped in. It puts back what this release swapped out; writes "
            "are blocked for about a second. What was written since stops it, until you say what becomes of it.",
            *(["Re-execute the run from failure to complete it."] if summary.outcome is not Outcome.SUCCEEDED else []),
        ]
    if summary.swap is Swap.BEGUN:
        return ["Re-execute the run from failure to finish the swap, or launch the job rollback to undo it."]
    if summary.swap is Swap.UNDOING:
        return ["Launch the job rollback to finish undoing the swap. Do not re-execute this run: it would refuse."]
    if summary.swap is Swap.UNDONE:
        return [
            "The swap was undone. Launch a new release when the cause is corrected; this run would refuse to go on."
        ]
    if summary.swap is Swap.UNKNOWN:
        return ["Launch the job status: it says whether writes are blocked, and what to do."]
    return [
        "There is nothing to undo. Correct the cause; the error says whether to re-execute the run or to launch a new one."
    ]


def _after_rollback(summary: ReleaseSummary) -> list[str]:
    if summary.outcome is Outcome.SUCCEEDED:
        return [
            "What the release had brought is kept as staged until the next release. Correct the cause, then launch a new release."
        ]
    return ["Launch the job rollback again: it finishes what was begun."]


def _after_rehearsal(summary: ReleaseSummary, standing: Standing) -> list[str]:
    if summary.outcome is not Outcome.SUCCEEDED:
        return ["There is nothing to undo. Correct the cause and launch a new rehearsal."]
    if standing.followed_by:
        return [
            f"There is nothing to undo. It can no longer be promoted: release {standing.followed_by} was swapped in since."
        ]
    if not standing.has_archive:
        return [
            "There is nothing to undo. It can no longer be promoted: its archive was removed. Launch a new rehearsal."
        ]
    return [
        "There is nothing to undo. Launch the job promote to carry it out, until its archive is removed (keep_rehearsals), "
        "another release is swapped in, or the origin's oplog no longer reaches back to it."
    ]


def list_facts(summary: ReleaseSummary, standing: Standing, show: Callable[[Path], str] = str) -> list[tuple[str, str]]:
    """What a terminal or a run page shows, as names and texts.

    Args:
        show: an archive or a page, as the reader finds it.
    """
    facts = [("schema", f"{summary.from_version} -> {summary.to_version}")]
    if summary.is_rollback:
        facts.append(("rolled back", f"release {summary.release_id}"))
    else:
        facts.append(("changes", describe_changes(summary)))
    if found := summary.validated:
        facts.append(
            (
                "validated",
                f"{found.documents:,} documents, {found.references:,} references; {found.violations:,} violations, "
                f"{found.tolerated:,} tolerated between documents",
            )
        )
    facts.append(("writes blocked", describe_blocked(summary)))
    if summary.follow_up:
        facts.append(("after it", summary.follow_up))
    if standing.has_archive and summary.archive:
        facts.append(("archive", f"{show(standing.archive)} ({size(summary.archive.bytes)})"))
    for name, path in (("difference", summary.difference), ("violations", summary.validation)):
        if path is not None:
            facts.append((name, show(standing.folder / path)))
    facts.append(("undo" if summary.is_released else "next", " ".join(describe_undoing(summary, standing))))
    return facts
