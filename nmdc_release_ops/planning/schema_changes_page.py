"""What the target's schema changes, as a page for people to open and share."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path

from nmdc_release_ops.files import write_whole
from nmdc_release_ops.page import whole_page
from nmdc_release_ops.planning.schema_changes import Concern
from nmdc_release_ops.schema.outlines.changes import Effect

PAGE = "schema-changes.html"
"""Its name, among the reports of the run that planned."""
LISTED_CLASSES = 12


def write_changes_page(path: Path, concerns: Sequence[Concern], title: str) -> None:
    """Write all changes of the schema as one page of HTML, what needs a look first.

    Raises:
        FileNotWritten.
    """
    write_whole(path, whole_page(title, _parts(concerns), _STYLE))


def _parts(concerns: Sequence[Concern]) -> Iterator[str]:
    open_ones = [one for one in concerns if one.needs_a_look]
    taken_care_of = [one for one in concerns if one.change.effect is Effect.STRICTER and not one.needs_a_look]
    looser = [one for one in concerns if one.change.effect is Effect.LOOSER]
    yield (
        "<p>Read from the definitions of the two schemas. A rehearsal, or the step <code>validate</code>, finds out whether "
        "the data conform; this page says where to look first.</p>\n"
    )
    yield from _section("Stricter, and no migrator names it", open_ones)
    yield from _section("Stricter, and a migrator names it, or no document is concerned", taken_care_of)
    yield from _section("What conforms now still does", looser)


def _section(title: str, concerns: Sequence[Concern]) -> Iterator[str]:
    yield f"<h2>{escape(title)}: {len(concerns)}</h2>\n"
    yield from map(_entry, concerns)


def _entry(concern: Concern) -> str:
    change = concern.change
    facts = {
        "classes": _shorten(change.classes),
        "collections": ", ".join(concern.collections),
        "documents concerned": "" if concern.documents is None else f"{concern.documents:,}",
        "migrators": ", ".join(concern.migrators),
    }
    listed = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in facts.items() if text)
    return f"<h3><code>{escape(change.element)}</code> {escape(change.what)}</h3>\n<dl>{listed}</dl>\n"


def _shorten(names: Iterable[str]) -> str:
    listed = list(names)
    rest = len(listed) - LISTED_CLASSES
    return ", ".join(listed[:LISTED_CLASSES]) + (f" and {rest} more" if rest > 0 else "")


_STYLE = """
h3 { font-size: 1rem; font-weight: normal; margin: 1.2rem 0 0; overflow-wrap: anywhere; }
h3 code { font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; margin: .2rem 0 0 1rem; font-size: .9rem; }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 600px) { dl { grid-template-columns: 1fr; } dd { margin: 0 0 .3rem 1rem; } }
"""
