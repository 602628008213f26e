"""The list of all releases, newest first, as self-contained HTML."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from nmdc_release_ops.page import rows_of, whole_page
from nmdc_release_ops.pages.release_page import file_of, link, mark
from nmdc_release_ops.pages.sentences import describe_blocked
from nmdc_release_ops.pages.summary import ReleaseSummary, Standing
from nmdc_release_ops.units import size

_HEADS = ("when", "what", "database", "schema", "outcome", "writes blocked", "archive", "pages")


@dataclass(frozen=True)
class Entry:
    """One release of the list, and where its page is."""

    summary: ReleaseSummary
    standing: Standing
    page: Path


def index_page(entries: Sequence[Entry], folder: Path) -> str:
    """The whole page.

    Args:
        entries: newest first.
        folder: where the page is going to be; links are relative to it.
    """
    return whole_page("Releases", _parts(entries, folder), _STYLE)


def _parts(entries: Sequence[Entry], folder: Path) -> Iterator[str]:
    if not entries:
        yield "<p>None yet.</p>\n"
        return
    yield f'<p class="quiet">{len(entries):,} releases, rehearsals, promotions and rollbacks, newest first.</p>\n'
    yield rows_of(_HEADS, (_row(entry, folder) for entry in entries))


def _row(entry: Entry, folder: Path) -> tuple[str, ...]:
    summary, standing = entry.summary, entry.standing
    when = f"{summary.started:%Y-%m-%d %H:%M} UTC"
    where = f" in {escape(summary.stopped_in)}" if summary.stopped_in else ""
    undone = '<br><span class="quiet">rolled back since</span>' if standing.rolled_back else ""
    pages = (
        link("what changed", file_of(standing, summary.difference), folder),
        link("violations", file_of(standing, summary.validation), folder),
    )
    return (
        link(when, entry.page, folder) or when,
        escape(summary.word),
        escape(summary.database),
        f"{escape(summary.from_version)} → {escape(summary.to_version)}",
        f"{mark(summary)}{where}{undone}",
        escape(describe_blocked(summary)),
        _archive(summary, standing),
        " ".join(page for page in pages if page),
    )


def _archive(summary: ReleaseSummary, standing: Standing) -> str:
    if summary.archive is None:
        return ""
    return size(summary.archive.bytes) if standing.has_archive else '<span class="quiet">removed</span>'


_STYLE = """
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); }
td a { margin-right: .6rem; }
.rows td { padding: .4rem .9rem .4rem 0; border-bottom: 1px solid var(--line); }
@media (max-width: 640px) { .rows td { border: 0; padding: .1rem 0; } }
"""
