"""The page of one release, as self-contained HTML. Everything on it comes from elsewhere, and is escaped."""

import os
from collections.abc import Iterator
from html import escape
from pathlib import Path
from urllib.parse import quote

from nmdc_release_ops.mongo.archive.restoring import ArchivedRelease
from nmdc_release_ops.page import rows_of, whole_page
from nmdc_release_ops.pages import timeline
from nmdc_release_ops.pages.restoring import list_commands
from nmdc_release_ops.pages.sentences import (
    describe_blocked,
    describe_outcome,
    describe_undoing,
    moment,
)
from nmdc_release_ops.pages.summary import MigratorRun, Outcome, ReleaseSummary, Standing, Swap
from nmdc_release_ops.units import duration, size

MOST_WARNINGS = 100
"""The run's log has all of them."""


def release_page(summary: ReleaseSummary, standing: Standing, index: Path) -> str:
    """The whole page, to be written into the folder of the release: its links are relative to that.

    Args:
        index: the page that lists all releases.
    """
    return whole_page(describe_outcome(summary, standing), _parts(summary, standing, index), _STYLE)


def mark(summary: ReleaseSummary) -> str:
    """The outcome in a word, in its colour."""
    kind = {Outcome.SUCCEEDED: "good", Outcome.UNDER_WAY: "warn"}.get(summary.outcome, "bad")
    return f'<b class="{kind}">{escape(summary.outcome)}</b>'


def link(text: str, target: Path | None, page_folder: Path) -> str:
    """A relative link, or nothing where there is no such file."""
    if target is None or not target.is_file():
        return ""
    return link_written_later(text, target, page_folder)


def link_written_later(text: str, target: Path, page_folder: Path) -> str:
    """A relative link to a file that need not be there yet."""
    return f'<a href="{escape(quote(os.path.relpath(target, page_folder)))}">{escape(text)}</a>'


def file_of(standing: Standing, path: Path | None) -> Path | None:
    """A file of a release by its path in the summary."""
    return None if path is None else standing.folder / path


def _parts(summary: ReleaseSummary, standing: Standing, index: Path) -> Iterator[str]:
    folder = standing.folder
    yield f'<p class="quiet">{escape(summary.word)} {escape(summary.release_id)} · {mark(summary)}</p>\n'
    links = [
        link("What changed", file_of(standing, summary.difference), folder),
        link("Violations", file_of(standing, summary.validation), folder),
        link("What the schema changes", file_of(standing, summary.schema_changes), folder),
        link_written_later("Its rollback", folder / "rollback.html", folder) if standing.rolled_back else "",
        link("The release", folder / "release.html", folder) if summary.is_rollback else "",
        link_written_later("All releases", index, folder),
    ]
    yield f'<p class="links">{" ".join(one for one in links if one)}</p>\n'
    yield from _facts(summary)
    if summary.failure:
        yield f"<h2>Why it stopped</h2>\n<p>In the step <b>{escape(summary.stopped_in)}</b>:</p>\n"
        yield f'<pre class="failure">{escape(summary.failure)}</pre>\n'
    yield "<h2>How to undo it</h2>\n" if summary.is_released else "<h2>What to do next</h2>\n"
    yield "".join(f"<p>{escape(one)}</p>\n" for one in describe_undoing(summary, standing))
    if summary.conclusion and standing.has_archive and not standing.followed_by:
        yield f'<p class="quiet">{escape(summary.conclusion)}</p>\n'
    if summary.is_released and not standing.followed_by and not standing.rolled_back:
        yield (
            "<p>In Dagster's UI: <i>Jobs</i>, <i>rollback</i>, <i>Launchpad</i>, with this config, so that no other release is "
            f"undone by mistake:</p>\n<pre>{escape(_rollback_config(summary))}</pre>\n"
        )
    if summary.steps:
        yield "<h2>Steps</h2>\n"
        end = summary.ended or max((step.ended or step.started for step in summary.steps), default=summary.started)
        yield timeline.draw_timeline(summary.steps, summary.blocked or [], summary.started, max(end, summary.started))
    if not summary.is_rollback:
        yield from _migrators(summary)
        yield from _difference(summary, standing)
        yield from _validation(summary, standing)
    yield from _warnings(summary)
    if not summary.is_rollback:
        yield from _archive(summary, standing)
    yield from _installed(summary)
    yield '<p class="quiet">This page is written again whenever a release ends, with what became of this one.</p>\n'


def _facts(summary: ReleaseSummary) -> Iterator[str]:
    facts = [
        ("schema", f"{summary.from_version} → {summary.to_version}"),
        ("writes blocked", describe_blocked(summary)),
        *([(f"documents {_changed(summary)}", f"{summary.documents_changed:,}")] if summary.changes else []),
        *([("documents validated", f"{summary.validated.documents:,}")] if summary.validated else []),
        ("began", moment(summary.started)),
        ("took", duration((summary.ended - summary.started).total_seconds()) if summary.ended else "not known yet"),
        ("database", f"{summary.database}, {summary.server}" if summary.server else summary.database),
        ("launched by", summary.launched_by),
        ("run", summary.run_id),
        *([("re-executes", ", ".join(summary.earlier_runs))] if summary.earlier_runs else []),
        *([("promotes", summary.rehearsal)] if summary.rehearsal else []),
        *([("schema source", summary.schema_source)] if summary.schema_source else []),
        *([("compared again", summary.verification)] if summary.verification else []),
        *([("after it", summary.follow_up)] if summary.follow_up else []),
    ]
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>\n" for name, text in facts)
    yield f'<dl class="facts">\n{rows}</dl>\n'


def _changed(summary: ReleaseSummary) -> str:
    """For whoever reads of a release that failed, or of a rehearsal: nothing on the origin changed."""
    return "would change" if summary.swap is Swap.NOT_BEGUN else "changed"


def _rollback_config(summary: ReleaseSummary) -> str:
    return f"ops:\n  roll_back:\n    config:\n      release_id: {summary.release_id}"


def _migrators(summary: ReleaseSummary) -> Iterator[str]:
    yield "<h2>Migrators</h2>\n"
    if not summary.migrators:
        yield "<p>None.</p>\n"
        return
    yield rows_of(
        ("migrator", "schema", "documents written", "took"),
        (
            (
                f'<span class="path">{escape(one.module)}</span>',
                f"{escape(one.from_version)}&nbsp;→&nbsp;{escape(one.to_version)}",
                _written(one),
                "" if one.seconds is None else duration(one.seconds),
            )
            for one in summary.migrators
        ),
        numbers={3},
    )


def _written(one: MigratorRun) -> str:
    if one.does_nothing:
        return '<span class="quiet">a no-op, not run</span>'
    if one.seconds is None:
        return '<span class="quiet">not run</span>'
    return ", ".join(f"{escape(name)} {count:,}" for name, count in one.written.items()) or "none"


def _difference(summary: ReleaseSummary, standing: Standing) -> Iterator[str]:
    if summary.changes is None:
        return
    yield f"<h2>What {_changed(summary)}</h2>\n"
    shown = link("Documents before and after", file_of(standing, summary.difference), standing.folder)
    yield f"<p>{escape(summary.changes.describe())}. {shown}</p>\n"
    if summary.counts:
        yield rows_of(
            ("collection", "", "changed", "added", "removed", "unchanged"),
            (
                (
                    escape(one.name),
                    "" if one.fate == "changed" else escape(one.fate),
                    *(f"{count:,}" for count in (one.changed, one.added, one.removed, one.unchanged)),
                )
                for one in summary.counts
            ),
            numbers={2, 3, 4, 5},
        )
    if renamed := [f"{one.old} → {one.new}" for one in summary.changes.renamed]:
        yield f"<p><b>Renamed:</b> {escape(', '.join(renamed))}</p>\n"
    if summary.changes.untouched:
        yield f'<p class="quiet"><b>Untouched:</b> {escape(", ".join(summary.changes.untouched))}</p>\n'


def _validation(summary: ReleaseSummary, standing: Standing) -> Iterator[str]:
    found = summary.validated
    if found is None:
        return
    yield "<h2>Violations</h2>\n"
    tolerated = f", and <b>{found.tolerated:,}</b> between documents that do not stop it" if found.tolerated else ""
    yield (
        f"<p><b>{found.documents:,}</b> documents and <b>{found.references:,}</b> references were checked: "
        f"<b>{found.violations:,}</b> violations that stop the release{tolerated}. "
        f"{link('All of them, by kind', file_of(standing, summary.validation), standing.folder)}</p>\n"
    )
    if found.by_kind:
        kinds = sorted(found.by_kind.items(), key=lambda pair: -pair[1])
        yield rows_of(("kind", "violations"), ((escape(kind), f"{count:,}") for kind, count in kinds), numbers={1})


def _warnings(summary: ReleaseSummary) -> Iterator[str]:
    if not summary.warnings:
        return
    yield "<h2>Warnings</h2>\n<ul>\n"
    yield "".join(f"<li>{escape(warning)}</li>\n" for warning in summary.warnings[:MOST_WARNINGS])
    yield "</ul>\n"
    if (more := len(summary.warnings) - MOST_WARNINGS) > 0:
        yield f"<p>{more:,} more are in the run's log.</p>\n"


def _archive(summary: ReleaseSummary, standing: Standing) -> Iterator[str]:
    yield "<h2>The archive, and how to restore it</h2>\n"
    if summary.archive is None:
        yield "<p>There is no archive: it did not get that far.</p>\n"
        return
    kept = summary.archive
    facts = f"{kept.documents:,} documents, {size(kept.bytes)} on disk, the state of {moment(kept.dumped_at)}"
    if not standing.has_archive:
        yield f"<p>It was removed ({escape(facts)}): newer ones are kept. Its manifest is still there.</p>\n"
        return
    yield f'<p><span class="path">{escape(str(standing.archive))}</span><br>{escape(facts)}</p>\n'
    if summary.swap in (Swap.DONE, Swap.BEGUN):
        yield "<p>To undo the release you need none of this: see above. The archive is for when all else is lost.</p>\n"
    added = None if summary.changes is None else summary.changes.names_added
    commands = list_commands(
        standing.archive,
        summary.database,
        summary.counts,
        has_oplog=standing.has_oplog,
        release=ArchivedRelease(summary.from_version, summary.to_version, added),
    )
    for command in commands:
        yield f"<p>{escape(command.purpose)}</p>\n"
        if command.line:
            yield f"<pre>{escape(command.line)}</pre>\n"


def _installed(summary: ReleaseSummary) -> Iterator[str]:
    if not summary.installed:
        return
    yield "<h2>What was installed</h2>\n"
    for name, packages in summary.installed.items():
        listed = ", ".join(f"{package} {version}" for package, version in packages.items())
        yield (
            f"<details><summary>The environment of schema {escape(name)}: {len(packages):,} packages</summary>\n"
            f"<p>{escape(listed)}</p>\n</details>\n"
        )


_STYLE = (
    """
body { max-width: 62rem; }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); }
.links a { margin-right: 1.2rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(13rem, 45%), 1fr)); gap: .8rem 1.5rem; }
.facts dt { color: var(--quiet); font-size: .87em; }
.facts dd { margin: 0; }
.failure { border-left: 4px solid var(--bad); }
.scale { display: flex; flex-wrap: wrap; gap: 0 1.5rem; justify-content: space-between; margin-top: 0; font-size: .9em; }
li { margin: .3rem 0; }
"""
    + timeline.STYLE
)
