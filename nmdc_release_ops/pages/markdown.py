"""A release in short, as Markdown for the run page of its last step."""

from collections.abc import Callable
from pathlib import Path

from nmdc_release_ops.pages.sentences import describe_outcome, list_facts
from nmdc_release_ops.pages.summary import ReleaseSummary, Standing

_AT_THE_END = {"writes blocked", "undo", "next"}
_MARKS = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_{}[]<>#|!~"} | {"\n": " "})


def summarize(
    summary: ReleaseSummary,
    standing: Standing,
    page: Path,
    address: Callable[[Path], str | None],
    state: str | None = None,
) -> str:
    """The outcome, and a table of what changed, how long writes were blocked, where archive and pages are, how to undo it.

    Args:
        page: of the release.
        address: of a page, where the pages are served; None where they are not.
        state: of the origin, where a step has just failed: how long writes are blocked, and what to do, is only known when the
            origin is thawed.
    """

    def show(path: Path) -> str:
        return address(path) or str(path)

    def cell(text: str) -> str:
        # Markdown of Dagster's UI makes a link of a bare address.
        return text if text.startswith(("http://", "https://")) else plain(text)

    facts = list_facts(summary, standing, show)
    if state is None:
        outcome = describe_outcome(summary, standing)
    else:
        outcome = f"{summary.word} {summary.from_version} → {summary.to_version} failed in {summary.stopped_in}."
        facts = [*((name, text) for name, text in facts if name not in _AT_THE_END), ("origin", state)]
    rows = [*facts, ("page", show(page))]
    lines = [f"**{plain(outcome)}**", "", "| | |", "|---|---|"]
    return "\n".join([*lines, *(f"| {plain(name)} | {cell(text)} |" for name, text in rows)])


def plain(text: str) -> str:
    """Text in which nothing is a mark of Markdown."""
    return text.translate(_MARKS)
