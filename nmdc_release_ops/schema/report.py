"""The summary of a validation, as the worker wrote it, and as a page for people to open and share."""

from collections.abc import Iterator
from html import escape
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from nmdc_release_ops.files import write_whole
from nmdc_release_ops.page import rows_of, whole_page

VIOLATIONS = "violations.jsonl"
SUMMARY = "validation.json"
PAGE = "validation.html"
"""The files of a validation, in the folder of the run's reports."""
SHOWN_GROUPS = 500


class Group(BaseModel):
    """Violations that differ only in the document, and in their positions in lists.

    Attributes:
        path: JSON pointer within the document; `[]` stands for any place in a list.
        kind: the JSON Schema keyword that is violated, or another name of the fault.
        new: whether the migration caused them; None if that was not determined.
        message: of one of them.
        examples: ids of a few documents.
    """

    model_config = ConfigDict(frozen=True)

    collection: str
    class_name: str
    path: str
    kind: str
    new: bool | None
    count: int
    message: str
    examples: list[str]


class ValidatedCollection(BaseModel):
    """A collection, with the number of documents validated and of violations."""

    model_config = ConfigDict(frozen=True)

    collection: str
    documents: int
    violations: int


class Integrity(BaseModel):
    """The number of violations between documents: dangling or misplaced references, ids that are not unique.

    Attributes:
        new: those that the data did not have before the migration, or of which that was not determined.
        old: the others.
    """

    model_config = ConfigDict(frozen=True)

    found: int
    new: int
    old: int


class Summary(BaseModel):
    """What validation found, of bounded size.

    Attributes:
        kept: documents that are as the last audit judged them, and were not judged again.
        violations: of the schema, by single documents.
        integrity: violations between documents.
        by_kind: both, by kind.
        groups: violations of the schema, then those between documents; the largest first within each.
        beyond: number of violations that are in none of the groups, because there were too many groups.
    """

    model_config = ConfigDict(frozen=True)

    documents: int
    kept: int = 0
    identifiers: int
    references: int
    violations: int
    integrity: Integrity
    by_kind: dict[str, int]
    collections: list[ValidatedCollection]
    groups: list[Group]
    beyond: int


def read_summary(path: Path) -> Summary:
    """The summary that the worker wrote.

    Raises:
        OSError, ValueError: the file is missing, or it is not a summary.
    """
    return Summary.model_validate_json(path.read_bytes())


def write_page(path: Path, summary: Summary, verdict: str, subtitle: str) -> None:
    """Write a summary as one page of HTML.

    Args:
        verdict: one sentence: what the violations mean for the release.
        subtitle: names the release.

    Raises:
        FileNotWritten
    """
    write_whole(path, whole_page(verdict, _parts(summary, subtitle)))


def _parts(summary: Summary, subtitle: str) -> Iterator[str]:
    yield f'<p class="quiet">{escape(subtitle)}</p>\n'
    counts = {
        "documents": summary.documents,
        "different ids": summary.identifiers,
        "references": summary.references,
        "violations of the schema": summary.violations,
        "violations between documents": summary.integrity.found,
    }
    yield f"<p>{', '.join(f'<b>{count:,}</b> {what}' for what, count in counts.items())}.</p>\n"
    shown = summary.groups[:SHOWN_GROUPS]
    if shown:
        yield "<h2>Violations</h2>\n"
        yield rows_of(("where", "how many", "violation", "for example", "documents"), map(_row, shown), numbers={1})
    rest = sum(group.count for group in summary.groups[SHOWN_GROUPS:]) + summary.beyond
    if rest:
        yield f"<p>{rest:,} more violations, of further kinds, are only in the file of all violations.</p>\n"
    yield "<h2>Collections</h2>\n"
    rows = ((escape(one.collection), f"{one.documents:,}", f"{one.violations:,}") for one in summary.collections)
    yield rows_of(("collection", "documents", "violations"), rows, numbers={1, 2})


def _row(group: Group) -> tuple[str, ...]:
    novelty = {None: "", True: "new with this release", False: "the data had it before"}[group.new]
    where = f'{escape(group.collection)}<br><span class="path">{escape(group.path or "/")}</span>'
    about = "<br>".join(text for text in (escape(group.class_name), novelty) if text)
    what = f'{escape(group.kind)}<br><span class="quiet">{about}</span>'
    more = ", ..." if group.count > len(group.examples) else ""
    return where, f"{group.count:,}", what, escape(group.message), escape(", ".join(group.examples) + more)
