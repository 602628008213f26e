"""The difference for people and programs: `difference.html`, a self-contained page, and `difference.json`.

Everything on the page comes from a database, and is escaped.
"""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from html import escape
from itertools import zip_longest
from pathlib import Path

from nmdc_release_ops.files import write_whole
from nmdc_release_ops.mongo.difference.difference import CollectionDifference, Difference
from nmdc_release_ops.mongo.difference.samples import Sample
from nmdc_release_ops.page import rows_of, whole_page

PAGE = "difference.html"
DATA = "difference.json"
# Lines that are shown around a changed line.
_CONTEXT = 4
_FIRST_LINES = 6


def write_difference(folder: Path, difference: Difference, title: str, subtitle: str = "") -> Path:
    """Write `difference.json` and `difference.html` into `folder`, in place of earlier ones; return the page.

    Raises:
        FileNotWritten: the disk is full. No partial file is left.
    """
    texts = {DATA: difference.model_dump_json(indent=2), PAGE: page(difference, title, subtitle)}
    for name, text in texts.items():
        write_whole(folder / name, text)
    return folder / PAGE


def page(difference: Difference, title: str, subtitle: str = "") -> str:
    """The whole page, as self-contained HTML."""
    return whole_page(title, _parts(difference, subtitle), _STYLE)


def _parts(difference: Difference, subtitle: str) -> Iterator[str]:
    yield f'<p class="quiet">{escape(subtitle)}</p>\n'
    if difference.collections:
        yield _summary(difference.collections)
    else:
        yield "<p>No document changed.</p>\n"
    if difference.renamed:
        names = ", ".join(f"{before} → {after}" for before, after in difference.renamed)
        yield f"<p><b>Renamed, otherwise unchanged:</b> {escape(names)}</p>\n"
    if difference.untouched:
        yield f'<p class="quiet"><b>Unchanged:</b> {escape(", ".join(difference.untouched))}</p>\n'
    if difference.used:
        yield f'<p class="quiet"><b>Used by migrators, and unchanged:</b> {escape(", ".join(difference.used))}</p>\n'
    for number, collection in enumerate(difference.collections):
        yield from _collection(number, collection)


def _summary(collections: Sequence[CollectionDifference]) -> str:
    return rows_of(
        ("collection", "", "changed", "added", "removed", "unchanged"),
        (
            (
                f'<a href="#c{number}">{escape(collection.counts.name)}</a>',
                _unusual(collection),
                *(f"{count:,}" for count in _counts(collection)),
            )
            for number, collection in enumerate(collections)
        ),
        numbers={2, 3, 4, 5},
    )


def _unusual(collection: CollectionDifference) -> str:
    return "" if collection.counts.fate == "changed" else collection.counts.fate


def _counts(collection: CollectionDifference) -> tuple[int, int, int, int]:
    counts = collection.counts
    return counts.changed, counts.added, counts.removed, counts.unchanged


def _collection(number: int, collection: CollectionDifference) -> Iterator[str]:
    counts = collection.counts
    yield f'<h2 id="c{number}">{escape(counts.name)} <small>{_unusual(collection)}</small></h2>\n'
    words = zip(_counts(collection), ("changed", "added", "removed", "unchanged"), strict=True)
    yield f"<p>Documents: {', '.join(f'<b>{count:,}</b> {word}' for count, word in words)}.</p>\n"
    if counts.fate == "changed" and not (counts.changed or counts.added or counts.removed):
        yield "<p>Only its options or indexes changed.</p>\n"
    if collection.paths:
        yield _paths(collection)
    for heading, samples in (
        ("Changed", collection.changed),
        ("Added", collection.added),
        ("Removed", collection.removed),
    ):
        for position, sample in enumerate(samples, start=1):
            name = f"{heading} document {position} of {len(samples)} shown"
            yield from _sample(f"{name}: {escape(sample.document)}", sample, position == 1)
    if counts.added and not collection.added:
        yield "<p>No added document was found to show here.</p>\n"


def _paths(collection: CollectionDifference) -> str:
    rows = [
        (
            f'<span class="path">{escape(path.change.place)}</span>',
            escape(path.change.what),
            f"{path.documents:,}",
        )
        for path in collection.paths
    ]
    if collection.elsewhere:
        rows.append(("<i>other paths</i>", "", f"{collection.elsewhere:,}"))
    return rows_of(("path", "change", "documents"), rows, numbers={2})


def _sample(heading: str, sample: Sample, is_open: bool) -> Iterator[str]:
    """heading: HTML."""
    yield f"<details{' open' if is_open else ''}><summary>{heading}</summary>\n"
    if sample.changes:
        yield f'<p class="path">{"<br>".join(map(escape, sample.changes))}</p>\n'
    if sample.excerpt:
        yield '<p class="quiet">The document is long: fields that did not change are left out.</p>\n'
    if sample.before is not None and sample.after is not None:
        yield '<table class="sides"><tr><th>before</th><th>after</th></tr>\n'
        yield from _side_by_side(sample.before.split("\n"), sample.after.split("\n"))
        yield "</table>\n"
    else:
        yield f"<pre>{escape(sample.before or sample.after or '')}</pre>\n"
    yield "</details>\n"


def _side_by_side(before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    # A comma comes and goes with the line below.
    matcher = SequenceMatcher(
        None, [line.rstrip(",") for line in before], [line.rstrip(",") for line in after], autojunk=False
    )
    for kind, start, end, new_start, new_end in matcher.get_opcodes():
        lines = list(zip_longest(before[start:end], after[new_start:new_end]))
        if kind == "equal":
            yield from _equal(lines, at_start=start == 0, at_end=end == len(before))
        else:
            yield from (f"<tr>{_cell(was, 'was')}{_cell(now, 'now')}</tr>\n" for was, now in lines)


def _equal(lines: Sequence[tuple[str, str]], *, at_start: bool, at_end: bool) -> Iterator[str]:
    """Lines that are the same on both sides; of many, those near a change, and the first, which identify the document."""
    first = _FIRST_LINES if at_start else _CONTEXT
    last = len(lines) - (1 if at_end else _CONTEXT)
    for number, (was, now) in enumerate(lines):
        if number < first or number >= last or last - first == 1:
            yield f"<tr>{_cell(was, '')}{_cell(now, '')}</tr>\n"
        elif number == first:
            yield f'<tr><td colspan="2" class="quiet">{last - first:,} lines that are the same</td></tr>\n'


def _cell(line: str | None, mark: str) -> str:
    if line is None:
        return "<td></td>"
    return f'<td class="{mark}">{escape(line)}</td>' if mark else f"<td>{escape(line)}</td>"


_STYLE = """
.sides td { font: 13px/1.45 ui-monospace, monospace; }
.sides { width: 100%; table-layout: fixed; border: 1px solid var(--line); }
.sides th, .sides td { padding: 0 .6rem; border-right: 1px solid var(--line); }
.sides td { white-space: pre-wrap; min-height: 1em; }
.sides .quiet { font-family: inherit; text-align: center; background: #8881; }
.was { background: #e5534b33; }
.now { background: #46954a33; }
@media (max-width: 640px) {
  /* One below the other: a line that is the same is shown once. */
  .sides, .sides tbody, .sides tr, .sides td { display: block; }
  .sides th, .sides td:empty, .sides td:not([class]) + td:not([class]) { display: none; }
  .sides td { border: 0; font-size: 12px; tab-size: 1; }
  .was::before { content: "- "; }
  .now::before { content: "+ "; }
}
"""
